//! `tally verify`: recounts, compares, and changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tally_schemas::Matcher;
use tally_store::{Insert, Store};

use super::compare::{self, Difference, Found, SPILLING, Sides, with_days};
use super::derived::{DERIVED, Derived, Origin};
use super::fold::Recounter;
use super::staging::Staging;
use super::{Days, RecountError, raw};
use crate::fold::counters::UNIQUES;
use crate::row_binary::RowWriter;

/// How long batches under way may take until what they lack is a difference, and the pause between two looks.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// What to verify, and with what.
pub struct Verification<'a> {
    pub store: &'a Store,
    pub matcher: &'a Matcher,
    pub days: Days,
    /// Names the staging tables: letters and digits, different from run to run.
    pub run: String,
    /// Hears how far the work is.
    pub progress: &'a (dyn Fn(String) + Send + Sync),
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Differences, at most a thousand of each table.
    pub differences: Vec<Difference>,
    /// All of them.
    pub count: u64,
    /// Raw events that were recounted.
    pub events: u64,
    /// Things that processors were writing to meanwhile: they were compared with what they were before and after.
    pub moving: u64,
}

/// Compares every derived table with the raw rows, and looks for what is twice among these.
pub async fn verify(verification: &Verification<'_>) -> Result<Report, RecountError> {
    let staging = Staging::begin(verification.store, &verification.run).await?;
    let outcome = compare_all(verification, &staging).await;
    let ended = staging.end().await;
    let report = outcome?;
    ended?;
    Ok(report)
}

async fn compare_all(work: &Verification<'_>, staging: &Staging<'_>) -> Result<Report, RecountError> {
    let tell = work.progress;
    tell("looking at the tables as they are".to_owned());
    let known = known_counters(work.matcher, staging).await?;
    let mut before = Vec::new();
    for derived in &DERIVED {
        let wanted = |partition: &str| is_wanted(derived, partition, &work.days);
        before.push(staging.freeze(derived.table, "before", wanted).await?);
    }
    let mut report = Report { events: recount(work, staging).await?, ..Report::default() };
    for (derived, before) in DERIVED.iter().zip(&before) {
        tell(format!("comparing {}", derived.table));
        let recounted = staging.name(&format!("recounted_{}", derived.table));
        let sides = Sides { before, recounted: &recounted, now: derived.table };
        report.add(settled(work, derived, &sides, &known).await?);
    }
    tell("looking for what is twice".to_owned());
    for (_, found) in raw::check(work.store, &work.days).await? {
        report.add(found);
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, found: Found) {
        self.differences.extend(found.listed);
        self.count += found.count;
        self.moving += found.moving;
    }
}

/// Fills the staging tables with what the derived tables should hold. How many raw events there were.
async fn recount(work: &Verification<'_>, staging: &Staging<'_>) -> Result<u64, RecountError> {
    for derived in &DERIVED {
        let table = staging.like(derived.table, "recounted").await?;
        if let Origin::Select { columns, sql } = derived.origin {
            (work.progress)(format!("recounting {}", derived.table));
            let sql = with_days(sql, &work.days);
            let setting = "max_partitions_per_insert_block = 0";
            staging
                .run(&format!("INSERT INTO {table} {columns} {sql} SETTINGS {SPILLING}, {setting}"))
                .await?;
        }
    }
    let names: Vec<String> = work.matcher.counters().iter().map(ToString::to_string).collect();
    let mut recounter = Recounter::new(work.matcher, &names, None);
    let target = |table: &str| staging.name(&format!("recounted_{table}"));
    let mut events = 0;
    for month in months_of("events", staging, &work.days).await? {
        (work.progress)(format!("recounting events of {month}, after {events} others"));
        events += recounter.count_month(work.store, month, &work.days, &target).await?;
    }
    Ok(events)
}

/// Compares until nothing is lacking any more that a batch under way may bring.
async fn settled(
    work: &Verification<'_>,
    derived: &Derived,
    sides: &Sides<'_>,
    known: &str,
) -> Result<Found, RecountError> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    let mut previous = None;
    loop {
        let found = compare_once(work, derived, sides, known).await?;
        let is_over = tokio::time::Instant::now() >= give_up;
        if found.lacking == 0
            || is_over
            || (previous == Some((found.count, found.lacking)) && found.moving == 0)
        {
            return Ok(found);
        }
        previous = Some((found.count, found.lacking));
        tokio::time::sleep(PAUSE).await;
    }
}

async fn compare_once(
    work: &Verification<'_>,
    derived: &Derived,
    sides: &Sides<'_>,
    known: &str,
) -> Result<Found, RecountError> {
    if derived.table != UNIQUES {
        return Ok(compare::contents(work.store, derived, sides, known, &work.days).await?);
    }
    let mut all = Found::default();
    let mut months = BTreeSet::new();
    for table in [sides.before, sides.recounted, sides.now] {
        months.extend(months_in(table, work.store, &work.days).await?);
    }
    for month in months {
        let found = compare::uniques(work.store, UNIQUES, sides, known, month, &work.days).await?;
        all.listed.extend(found.listed);
        all.count += found.count;
        all.lacking += found.lacking;
        all.moving += found.moving;
    }
    Ok(all)
}

/// The months in which a raw table has rows.
async fn months_of(table: &str, staging: &Staging<'_>, days: &Days) -> Result<BTreeSet<u32>, RecountError> {
    months_in(table, staging.store(), days).await
}

async fn months_in(table: &str, store: &Store, days: &Days) -> Result<BTreeSet<u32>, RecountError> {
    let partitions: Vec<String> = store
        .client()
        .query(
            "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() AND table = ?",
        )
        .bind(table)
        .fetch_all()
        .await?;
    let months = partitions.iter().filter_map(|partition| partition.parse().ok());
    Ok(months.filter(|month| days.months().contains(month)).collect())
}

fn is_wanted(derived: &Derived, partition: &str, days: &Days) -> bool {
    !derived.monthly || partition.parse().is_ok_and(|month| days.months().contains(&month))
}

/// A table of the counters that the definitions know: others can't be recounted.
async fn known_counters(matcher: &Matcher, staging: &Staging<'_>) -> Result<String, RecountError> {
    let name = staging.name("known");
    staging.run(&format!("CREATE TABLE {name} (counter String) ENGINE = MergeTree ORDER BY counter")).await?;
    let mut rows = RowWriter::default();
    for counter in matcher.counters() {
        rows.string(&counter.to_string());
        rows.end_row();
    }
    if !rows.is_empty() {
        let body = rows.into_insert(UNIQUES, &["counter"], 0).body;
        let insert =
            Insert { table: &name, columns: &["counter"], body, token: name.clone(), start_before: None };
        staging.store().insert(&insert).await?;
    }
    Ok(name)
}
