//! What a million events cost: starts Tally's processes, loads them from this process, reads each one's own CPU time
//! from `/proc` and prints a table. Runs on Linux only.

pub mod backlog;
mod freshness;
pub(crate) mod installation;
mod process;
mod scenario;
pub(crate) mod store;
pub(crate) mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use tally_schemas::Definitions;

use crate::catalogue::Catalogue;
use crate::load::{Delivery, Sender, Target};
use crate::stream::{Stream, StreamOptions};
use installation::{Installation, TOKEN};
use scenario::Scenario;
use table::Table;

/// Measure CPU-seconds per million events and freshness, and print them as a table.
#[derive(Args, Clone, Debug)]
pub struct CpuTableArgs {
    /// The `tally` binary to measure; without it the one next to this program.
    #[arg(long, value_name = "FILE")]
    pub tally: Option<PathBuf>,
    /// Files, folders and globs of event and metric definitions; none: Tally's own.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    pub definitions: Vec<String>,
    /// Events per measurement; their bodies are held in memory, 400 bytes each.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT")]
    pub events: u64,
    /// The seed of the stream.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// Requests in flight at a time.
    #[arg(long, default_value_t = 16, value_name = "COUNT")]
    pub connections: usize,
    /// Events per second while freshness is measured; 0 is half of what standalone sustained before.
    #[arg(long, default_value_t = 0.0, value_name = "EVENTS")]
    pub freshness_rate: f64,
    /// Seconds for which freshness is measured.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    pub freshness_seconds: u64,
    /// An empty folder for logs and tables; without it a temporary one that is removed at the end.
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// `cargo bench` passes this to every benchmark.
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// How many events a process takes before its CPU time counts.
const WARM_UP_EVENTS: u64 = 50_000;

/// Runs every measurement and prints the table on standard output.
pub async fn run(args: CpuTableArgs) -> Result<()> {
    let temporary = tempfile::tempdir().context("making a temporary folder")?;
    let data = args.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let installation = Installation::new(tally_binary(args.tally.as_ref())?, &data, &args.definitions)?;
    let scenario = scenario(&args)?;
    let mut table = Table::new();

    let store = installation.store("tables").await.context("starting the store")?;
    eprintln!("measuring ingest");
    table.add(scenario.ingest(&installation, &store).await.context("measuring ingest")?);
    eprintln!("measuring the processor");
    table.add(scenario.processor(&installation, &store).await.context("measuring the processor")?);
    store.process.stop().await?;
    eprintln!("measuring standalone");
    let standalone = scenario.start_standalone(&installation).await.context("starting standalone")?;
    let end_to_end = scenario.end_to_end(&standalone).await.context("measuring standalone")?;
    let rate = if args.freshness_rate > 0.0 { args.freshness_rate } else { end_to_end.rate() / 2.0 };
    table.add(end_to_end);
    println!("{table}");

    eprintln!("measuring freshness at {rate:.0} events/s");
    let stream = stream(&args, "freshness", (rate * args.freshness_seconds as f64) as u64)?;
    let freshness = freshness::measure(&standalone, &sender(&args, standalone.url())?, stream, rate)
        .await
        .context("measuring freshness")?;
    println!("{freshness}");
    standalone.process.stop().await
}

pub(crate) fn tally_binary(named: Option<&PathBuf>) -> Result<PathBuf> {
    if let Some(binary) = named {
        return Ok(binary.clone());
    }
    let own = std::env::current_exe().context("finding this program's own path")?;
    let candidates = own.ancestors().skip(1).take(2).map(|folder| folder.join("tally"));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.context("no tally binary next to this program: build it first (cargo build --release), or name it with --tally")
}

fn scenario(args: &CpuTableArgs) -> Result<Scenario> {
    ensure!(args.events > 0, "--events must be at least 1");
    let warm_up = Delivery::prepared(&*stream(args, "warm-up", WARM_UP_EVENTS)?);
    let measured = Delivery::prepared(&*stream(args, "measured", args.events)?);
    Ok(Scenario { warm_up, measured, connections: args.connections })
}

/// A stream of the last minutes; streams of different purposes share no event.
fn stream(args: &CpuTableArgs, purpose: &str, events: u64) -> Result<Arc<Stream>> {
    let seed = purpose.bytes().fold(args.seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    stream_of(&args.definitions, seed, events)
}

fn stream_of(definitions: &[String], seed: u64, events: u64) -> Result<Arc<Stream>> {
    let definitions = Definitions::load_or_built_in(definitions).context("loading the definitions")?;
    let to = Timestamp::now();
    let from = to.checked_sub(SignedDuration::from_mins(10)).context("the clock is before all time")?;
    let options = StreamOptions {
        seed,
        events,
        from,
        to,
        users: 20_000,
        projects: 5_000,
        namespaces: 1_000,
        duplicates: 0.0,
    };
    Ok(Arc::new(Stream::new(Catalogue::from_definitions(&definitions), options)))
}

fn sender(args: &CpuTableArgs, url: &str) -> Result<Sender> {
    sender_to(url, args.connections)
}

fn sender_to(url: &str, connections: usize) -> Result<Sender> {
    let give_up_after = Duration::from_secs(30);
    Sender::new(Target { url: url.to_owned(), token: TOKEN.to_owned(), connections, give_up_after })
}
