//! `tally definitions`: checks definition files, writes new ones, and lists all there are.

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tally_query::dictionary;
use tally_schemas::Definitions;
use tally_schemas::definitions::generate::{GeneratedFile, Measure, NewEvent, NewMetric};
use tally_schemas::definitions::{LintReport, lint};

use crate::cli::{DefinitionsCommand, NewDefinition, NewFile};
use crate::open;

/// Runs `tally definitions …`.
pub fn run(command: DefinitionsCommand) -> Result<ExitCode> {
    match command {
        DefinitionsCommand::Lint { paths } => return Ok(check(&paths)),
        DefinitionsCommand::New(new) => write_new(*new)?,
        DefinitionsCommand::Dictionary { config, out } => {
            let definitions = open::definitions(&open::load_config(&config, &[])?)?;
            let text = match out.extension().and_then(|extension| extension.to_str()) {
                Some("html") => dictionary::render_html(&definitions),
                Some("json") => dictionary::render_json(&definitions),
                _ => bail!("{} is neither .html nor .json", out.display()),
            };
            fs::write(&out, text).with_context(|| format!("can't write {}", out.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error makes it fail, a warning does not.
fn check(paths: &[String]) -> ExitCode {
    let report = lint(paths);
    // A reader that has seen enough (`| head`) closes the pipe; the verdict stands all the same.
    let _ = print(&report, &mut io::stdout().lock());
    if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_new(new: NewDefinition) -> Result<()> {
    match new {
        NewDefinition::Event {
            action,
            description,
            identifiers,
            properties,
            product_group,
            classification,
            file,
        } => {
            let known = known(&file)?;
            let tiers = if file.tiers.is_empty() { all_tiers() } else { file.tiers.clone() };
            let event = NewEvent {
                action,
                description,
                identifiers,
                additional_properties: properties,
                product_group,
                product_categories: file.product_categories.clone(),
                milestone: file.milestone.clone(),
                introduced_by_url: file.introduced_by_url.clone(),
                tiers,
                classification,
            };
            write(&event.generate(&known)?, &file)
        }
        NewDefinition::Metric {
            events,
            count,
            name,
            key_path,
            instrumentation_class,
            description,
            time_frames,
            product_group,
            file,
        } => {
            let known = known(&file)?;
            let measure = match (key_path, instrumentation_class) {
                (Some(key_path), Some(instrumentation_class)) => {
                    Measure::Database { key_path, instrumentation_class }
                }
                _ => Measure::Events { rules: events, counting: count, name },
            };
            let metric = NewMetric {
                measure,
                description,
                time_frames,
                product_group,
                product_categories: file.product_categories.clone(),
                milestone: file.milestone.clone(),
                introduced_by_url: file.introduced_by_url.clone(),
                tiers: file.tiers.clone(),
            };
            write(&metric.generate(&known)?, &file)
        }
    }
}

fn all_tiers() -> Vec<String> {
    ["free", "premium", "ultimate"].map(str::to_owned).to_vec()
}

/// The definitions in force and those below the folder that is written to.
fn known(file: &NewFile) -> Result<Definitions> {
    let mut paths = open::load_config(&file.config, &[])?.definitions.paths;
    for folder in ["config/events", "config/metrics", "ee/config/events", "ee/config/metrics"] {
        let folder = file.root.join(folder);
        if folder.is_dir() {
            paths.push(folder.display().to_string());
        }
    }
    Ok(Definitions::load_or_built_in(&paths)?)
}

fn write(generated: &GeneratedFile, file: &NewFile) -> Result<()> {
    if file.dry_run {
        print!("{}", generated.text);
        return Ok(());
    }
    println!("{}", generated.write(&file.root)?.display());
    if generated.has_url_to_do() {
        eprintln!("introduced_by_url is still to be filled in; until then the definition does not load");
    }
    Ok(())
}

fn print(report: &LintReport, out: &mut impl Write) -> io::Result<()> {
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(
        out,
        "{} event files ({} internal events), {} metric files, {} metrics, {} counters",
        report.event_files,
        report.internal_events,
        report.metric_files,
        report.metrics.values().sum::<usize>(),
        report.counters
    )?;
    for ((data_source, time_frame), count) in &report.metrics {
        writeln!(out, "  {data_source:?}, {time_frame:?}: {count}")?;
    }
    Ok(())
}
