//! `tally definitions`: checks definition files.

use std::process::ExitCode;

use tally_schemas::definitions::lint;

use crate::cli::DefinitionsCommand;

/// Runs `tally definitions …`. An error makes it fail, a warning does not.
pub fn run(command: DefinitionsCommand) -> ExitCode {
    let DefinitionsCommand::Lint { paths } = command;
    let report = lint(&paths);
    for finding in &report.findings {
        println!("{finding}");
    }
    println!(
        "{} event files ({} internal events), {} metric files, {} metrics, {} counters",
        report.event_files,
        report.internal_events,
        report.metric_files,
        report.metrics.values().sum::<usize>(),
        report.counters
    );
    for ((data_source, time_frame), count) in &report.metrics {
        println!("  {data_source:?}, {time_frame:?}: {count}");
    }
    if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
