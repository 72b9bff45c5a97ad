//! How long a dashboard waits: ten queries of GitLab's dashboards over generated page events, each asked of Tally and, as the very
//! SQL that Tally makes of it, of the engine itself.

mod events;
mod queries;
mod sample;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use crate::cpu::installation::{Installation, Service};
use crate::cpu::store::Tables;
use sample::{Asked, Client};
use table::{Row, Table};

/// Measure how long dashboard queries take, beside the engine's own time for the same SQL, and print a table.
#[derive(Args, Clone, Debug)]
pub struct CubeLatencyArgs {
    /// The `tally` binary to measure; without it the one next to this program.
    #[arg(long, value_name = "FILE")]
    pub tally: Option<PathBuf>,
    /// How many page events there are; one table each.
    #[arg(long, num_args = 1.., default_values_t = [100_000, 10_000_000], value_name = "COUNT")]
    pub page_events: Vec<u64>,
    /// How often each query is asked each way.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub times: usize,
    /// `cargo bench` passes this to every benchmark.
    #[arg(long, hide = true)]
    pub bench: bool,
}

/// Over how many days the events lie, the last of which is yesterday. The dashboards ask for all of them.
const DAYS: i64 = 30;

/// How long merges may go on before the measurement begins.
const MERGES_PATIENCE: Duration = Duration::from_mins(3);

/// Runs the measurements and prints a table for each number of events.
pub async fn run(args: CubeLatencyArgs) -> Result<()> {
    let binary = crate::cpu::tally_binary(args.tally.as_ref())?;
    for page_events in &args.page_events {
        let temporary = tempfile::tempdir().context("making a temporary folder")?;
        let installation = Installation::new(binary.clone(), &temporary.path().join("data"), &[])?;
        let tally = installation.standalone("data").await.context("starting standalone")?;
        let table = measure(&tally, *page_events, args.times).await;
        println!("{}", table.with_context(|| format!("measuring {page_events} page events"))?);
        tally.process.stop().await?;
    }
    Ok(())
}

async fn measure(tally: &Service, page_events: u64, times: usize) -> Result<Table> {
    let last_day = Zoned::now().with_time_zone(TimeZone::UTC).date().saturating_sub(1.day());
    let first_day = last_day.saturating_sub((DAYS - 1).days());
    let tables = Tables::new(tally.store_url());
    eprintln!("generating {page_events} page events");
    events::generate(&tables, page_events, first_day, DAYS).await?;
    tables.await_merges(MERGES_PATIENCE).await?;
    let client = Client::new(tally.url(), tally.store_url());
    let mut table = Table::new(page_events, times);
    for (name, query) in queries::dashboard(&range(first_day, last_day)) {
        eprintln!("asking for {name}");
        let asked = Asked::new(&client, query).await.context(name)?;
        table.add(Row { name, ..asked.measure(&client, times).await.context(name)? });
    }
    Ok(table)
}

fn range(first_day: Date, last_day: Date) -> [String; 2] {
    [first_day.to_string(), last_day.to_string()]
}
