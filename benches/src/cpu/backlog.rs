//! What happens to a backlog: ingest runs for as long as it takes to collect it while nothing is counted, then a processor
//! works it off, and its rate and its memory are written down as it does.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::installation::{Installation, Service};
use super::process::Process;
use super::store::Tables;
use super::{sender_to, stream_of, tally_binary};
use crate::load::{Delivery, Pace, Progress};

/// Measure how a processor works off a backlog, and what memory it takes meanwhile.
#[derive(Args, Clone, Debug)]
pub struct BacklogArgs {
    /// The `tally` binary to measure; without it the one next to this program.
    #[arg(long, value_name = "FILE")]
    pub tally: Option<PathBuf>,
    /// Files, folders and globs of event and metric definitions; none: Tally's own.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    pub definitions: Vec<String>,
    /// The backlog, rounded up to whole millions: by default an hour of 5,000 events a second.
    #[arg(long, default_value_t = 18_000_000, value_name = "COUNT")]
    pub events: u64,
    /// An empty folder for log and tables; without it a temporary one that is removed at the end.
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// `cargo bench` passes this to every benchmark.
    #[arg(long, hide = true)]
    pub bench: bool,
}

const FOLDER: &str = "backlog";
/// Events made once and sent over and over.
const A_PIECE: u64 = 1_000_000;
const CONNECTIONS: usize = 16;
const SAMPLE_EVERY: Duration = Duration::from_secs(2);
/// How long nothing may be counted before the measurement fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the processor was at one moment.
struct Sample {
    at: Duration,
    counted: u64,
    /// Events a second since the sample before.
    rate: f64,
    /// Resident bytes of the processor, and of the store.
    processor: u64,
    store: u64,
}

impl fmt::Display for Sample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mebibytes = |bytes: u64| bytes >> 20;
        write!(
            formatter,
            "{:>6.0} {:>12} {:>10.0} {:>10} {:>10}",
            self.at.as_secs_f64(),
            self.counted,
            self.rate,
            mebibytes(self.processor),
            mebibytes(self.store)
        )
    }
}

/// Collects the backlog, works it off, and prints the curve on standard output.
pub async fn run(args: BacklogArgs) -> Result<()> {
    let temporary = tempfile::tempdir().context("making a temporary folder")?;
    let data = args.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let installation = Installation::new(tally_binary(args.tally.as_ref())?, &data, &args.definitions)?;
    let store = installation.store("tables").await.context("starting the store")?;
    let events = collect(&args, &installation, &store).await.context("collecting the backlog")?;
    println!("a backlog of {events} events\n");
    println!("{:>6} {:>12} {:>10} {:>10} {:>10}", "s", "counted", "events/s", "MiB", "store MiB");

    let started = Instant::now();
    let processor = installation.only("processor", FOLDER, store.url()).await?;
    work_off(events, &processor.process, &store, started).await?;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), processor.process.cpu()?.as_secs_f64());
    println!(
        "\n{:.0} events/s over all, {:.2} CPU-s per million, at most {} MiB resident",
        events as f64 / elapsed,
        cpu * 1e6 / events as f64,
        processor.process.peak_memory()? >> 20
    );
    processor.process.stop().await?;
    store.process.stop().await
}

/// Fills the log; how many events it has then.
async fn collect(args: &BacklogArgs, installation: &Installation, store: &Service) -> Result<u64> {
    let ingest = installation.only("ingest", FOLDER, store.url()).await?;
    let piece = Delivery::prepared(&*stream_of(&args.definitions, 1, A_PIECE)?);
    let mut sent = 0;
    while sent < args.events {
        let sender = sender_to(ingest.url(), CONNECTIONS)?;
        let summary = sender.send(piece.clone(), Pace::new(0.0), &Progress::silent()).await?;
        ensure!(summary.acked == summary.events, "not every event was acknowledged: {summary}");
        sent += summary.acked;
        eprintln!("{sent} events collected");
    }
    ingest.process.stop().await?;
    Ok(sent)
}

/// Samples until everything is counted.
async fn work_off(events: u64, processor: &Process, store: &Service, started: Instant) -> Result<()> {
    let tables = Tables::new(store.url());
    let (mut counted, mut sampled_at, mut moved_at) = (0, Duration::ZERO, Instant::now());
    while counted < events {
        tokio::time::sleep(SAMPLE_EVERY).await;
        let now = tables.events().await?;
        if now > counted {
            moved_at = Instant::now();
        }
        ensure!(moved_at.elapsed() < PATIENCE, "nothing was counted for {PATIENCE:?}");
        let at = started.elapsed();
        let sample = Sample {
            at,
            counted: now,
            rate: (now - counted) as f64 / at.saturating_sub(sampled_at).as_secs_f64(),
            processor: processor.memory()?,
            store: store.process.memory()?,
        };
        println!("{sample}");
        (counted, sampled_at) = (now, at);
    }
    Ok(())
}
