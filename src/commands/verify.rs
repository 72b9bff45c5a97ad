//! `tally verify`: recounts from the raw rows, in the running process where there is one, and says what differs.

use std::process::ExitCode;

use anyhow::Result;
use tally_processor::recount::{Difference, Report};

use crate::cli::VerifyArgs;
use crate::recounting::{self, Task};

/// Runs `tally verify`; fails when there are differences.
pub async fn run(args: VerifyArgs) -> Result<ExitCode> {
    let task = Task::Verify { days: args.days.days(), log: args.log };
    let report: Report = serde_json::from_str(&recounting::send(&args.config, task).await?)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report));
    }
    Ok(if report.count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> String {
    let text: String = report.differences.iter().map(line).collect();
    text + &format!("{} differences\n", report.count)
}

fn line(difference: &Difference) -> String {
    let Difference { table, day, what, kept, recounted } = difference;
    let or_nothing = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
    let day = if day.is_empty() { String::new() } else { format!(" {day}") };
    format!("{table}{day} {what}: kept {}, recounted {}\n", or_nothing(kept), or_nothing(recounted))
}
