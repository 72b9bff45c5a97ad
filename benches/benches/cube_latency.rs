//! `cargo bench -p tally-benches --bench cube_latency`: how long dashboard queries take, beside the engine's own time.

use clap::Parser;
use tally_benches::cube::{self, CubeLatencyArgs};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: CubeLatencyArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    cube::run(Command::parse().arguments).await
}
