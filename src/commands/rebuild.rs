//! `tally rebuild`: derived tables made anew out of the raw rows, in the running process where there is one.

use anyhow::Result;
use tally_processor::recount::Rebuilt;

use crate::cli::RebuildArgs;
use crate::recounting::{self, Task, What};

/// Runs `tally rebuild`.
pub async fn run(args: RebuildArgs) -> Result<()> {
    let what = match (args.metric, args.event, args.missing) {
        (Some(key_path), ..) => What::Metric(key_path),
        (None, Some(name), _) => What::Event(name),
        (None, None, true) => What::Missing,
        (None, None, false) => What::All,
    };
    let task = Task::Rebuild { days: args.days.days(), what };
    let rebuilt: Rebuilt = serde_json::from_str(&recounting::send(&args.config, task).await?)?;
    print!("{}", text(&rebuilt));
    Ok(())
}

/// What was put in place, a line a partition.
pub fn text(rebuilt: &Rebuilt) -> String {
    let replaced = rebuilt.replaced.iter();
    let mut lines: Vec<String> =
        replaced.map(|(table, partition)| format!("replaced {partition} of {table}\n")).collect();
    let (events, partitions) = (rebuilt.events, rebuilt.replaced.len());
    lines.push(format!("{events} events recounted, {partitions} partitions replaced\n"));
    lines.concat()
}
