//! `cargo bench -p tally-benches --bench backlog -- --definitions PATH…`: how a processor works off a backlog.

use clap::Parser;
use tally_benches::cpu::backlog::{self, BacklogArgs};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: BacklogArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    backlog::run(Command::parse().arguments).await
}
