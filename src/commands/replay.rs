//! `tally replay`: raw rows out of the log once more, where the tables have lost them.

use anyhow::Result;
use tally_processor::recount::Replayed;

use crate::cli::ReplayArgs;
use crate::commands::rebuild;
use crate::recounting::{self, Offsets, Task};

/// Runs `tally replay`.
pub async fn run(args: ReplayArgs) -> Result<()> {
    let ReplayArgs { config, topic, partition, from, to } = args;
    let task = Task::Replay(Offsets { topic, partition, from, to });
    let replayed: Replayed = serde_json::from_str(&recounting::send(&config, task).await?)?;
    let Replayed { records, repetitions, put_back, rebuilt } = replayed;
    print!("{}", rebuild::text(&rebuilt));
    println!("{records} records looked at, {put_back} put back, {repetitions} left out as repetitions");
    Ok(())
}
