//! `cargo bench -p tally-benches -- --definitions PATH…`: the table of CPU-seconds per million events.

use clap::Parser;
use tally_benches::cpu::{self, CpuTableArgs};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: CpuTableArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cpu::run(Command::parse().arguments).await
}
