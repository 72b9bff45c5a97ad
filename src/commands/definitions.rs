//! `tally definitions`: checks definition files.

use std::io::{self, Write};
use std::process::ExitCode;

use tally_schemas::definitions::{LintReport, lint};

use crate::cli::DefinitionsCommand;

/// Runs `tally definitions …`. An error makes it fail, a warning does not.
pub fn run(command: DefinitionsCommand) -> ExitCode {
    let DefinitionsCommand::Lint { paths } = command;
    let report = lint(&paths);
    // A reader that has seen enough (`| head`) closes the pipe; the verdict stands all the same.
    let _ = print(&report, &mut io::stdout().lock());
    if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
