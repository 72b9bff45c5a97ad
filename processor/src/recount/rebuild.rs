//! `tally rebuild`: recounts into staging tables and puts those in place, partition by partition. A reader sees a partition as it was
//! or as it is. What is not recounted is copied over, so no processor may write meanwhile.

use std::collections::BTreeSet;

use clickhouse::Row;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tally_schemas::Counter;
use tally_store::{Insert, Store};

use super::compare::{SPILLING, Sides};
use super::derived::{DERIVED, Derived, Origin, concerned, rendered};
use super::fold::Recounter;
use super::staging::{Purpose, Staging, months_of};
use super::verify::compared;
use super::{Days, Recount, RecountError};
use crate::fold::counters::{COUNTERS, UNIQUE_TOTALS, UNIQUES};
use crate::row_binary::RowWriter;

/// Settings of every insert into a staging table: many partitions at once, and equal blocks are no repetitions.
const STAGING: &str = "max_partitions_per_insert_block = 0, insert_deduplicate = 0";

/// What is recounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// Every derived table.
    All,
    /// The counters with these keys.
    Counters(BTreeSet<String>),
    /// Counters that have no rows of the first days on which their events have; definitions that were added later, for one.
    Missing,
}

/// What was put in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebuilt {
    /// Raw events that were recounted.
    pub events: u64,
    /// Tables and the partitions of them that were replaced; others were what they should be.
    pub replaced: Vec<(String, String)>,
}

/// Makes what is selected anew. No processor may run meanwhile, and none may have left a batch that it announced unfinished.
pub async fn rebuild(recount: &Recount<'_>, selection: &Selection) -> Result<Rebuilt, RecountError> {
    let staging = Staging::begin(recount.store, &recount.run, Purpose::Replacing).await?;
    let outcome = recount_and_replace(recount, selection, &staging).await;
    let ended = staging.end().await;
    let rebuilt = outcome?;
    ended?;
    Ok(rebuilt)
}

async fn recount_and_replace(
    recount: &Recount<'_>,
    selection: &Selection,
    staging: &Staging<'_>,
) -> Result<Rebuilt, RecountError> {
    let selection = match selection {
        Selection::Missing => Selection::Counters(missing_counters(recount).await?),
        other => other.clone(),
    };
    let mut rebuilt = Rebuilt::default();
    if selection == Selection::Counters(BTreeSet::new()) {
        return Ok(rebuilt);
    }
    let today = today(recount.store).await?;
    let known = known_counters(recount, &selection, staging).await?;
    let folded = |derived: &&Derived| selection == Selection::All || derived.origin == Origin::Fold;
    // Sessions are recounted when the page events are as they should be.
    for tables in DERIVED.chunk_by(|_, next| next.table != "session_parts") {
        let tables: Vec<Derived> = tables.iter().filter(folded).copied().collect();
        rebuilt.events += fill(recount, &selection, &tables, staging, today).await?;
        for derived in &tables {
            replace(recount, derived, staging, &known, today, &mut rebuilt).await?;
        }
    }
    Ok(rebuilt)
}

/// Puts those partitions of a table in place that differ from their recount.
async fn replace(
    recount: &Recount<'_>,
    derived: &Derived,
    staging: &Staging<'_>,
    known: &str,
    today: Date,
    rebuilt: &mut Rebuilt,
) -> Result<(), RecountError> {
    let (table, recounted) = (derived.table, staging.recounted(derived.table));
    let days = derived.days(recount.days, today);
    (recount.progress)(format!("comparing {table}"));
    let sides = Sides { before: table, recounted: &recounted, now: table };
    let found = compared(recount, derived, &sides, known, days).await?;
    if found.count == 0 {
        return Ok(());
    }
    let all = [staging.partitions(table).await?, staging.partitions(&recounted).await?].concat();
    for partition in concerned(derived, all, days) {
        if found.count == found.listed.len() as u64 && !found.concerns(derived, &partition) {
            continue;
        }
        (recount.progress)(format!("replacing {partition} of {table}"));
        let replaced = rendered(derived.replaced, table, known, days);
        let others = format!(
            "INSERT INTO {recounted} SELECT * FROM {table} WHERE _partition_id = '{partition}' AND NOT ({replaced}) \
             SETTINGS {STAGING}"
        );
        staging.run(&others).await?;
        // Nothing is what an empty partition is replaced by.
        let change = if staging.has_partition(&recounted, &partition).await? {
            format!("ALTER TABLE {table} REPLACE PARTITION ID '{partition}' FROM {recounted}")
        } else {
            format!("ALTER TABLE {table} DROP PARTITION ID '{partition}'")
        };
        staging.run(&change).await?;
        rebuilt.replaced.push((table.to_owned(), partition));
    }
    Ok(())
}

/// Fills the staging tables with what the derived tables should hold. How many raw events there were.
pub async fn fill(
    recount: &Recount<'_>,
    selection: &Selection,
    tables: &[Derived],
    staging: &Staging<'_>,
    today: Date,
) -> Result<u64, RecountError> {
    for derived in tables {
        staging.like(derived.table, "recounted").await?;
        select(recount, derived, staging, today).await?;
    }
    if tables.iter().all(|derived| derived.origin != Origin::Fold) {
        return Ok(0);
    }
    fold_events(recount, selection, staging).await
}

/// Fills the staging table of one that is a selection.
pub async fn select(
    recount: &Recount<'_>,
    derived: &Derived,
    staging: &Staging<'_>,
    today: Date,
) -> Result<(), RecountError> {
    let Origin::Select { columns, sql } = derived.origin else { return Ok(()) };
    (recount.progress)(format!("recounting {}", derived.table));
    let staged = staging.recounted(derived.table);
    let sql = rendered(sql, derived.table, "", derived.days(recount.days, today));
    staging.run(&format!("TRUNCATE TABLE {staged} SYNC")).await?;
    staging.run(&format!("INSERT INTO {staged} {columns} {sql} SETTINGS {SPILLING}, {STAGING}")).await?;
    Ok(())
}

async fn fold_events(
    recount: &Recount<'_>,
    selection: &Selection,
    staging: &Staging<'_>,
) -> Result<u64, RecountError> {
    let names: Vec<String> = recount.matcher.counters().iter().map(ToString::to_string).collect();
    let only: Vec<bool> = names.iter().map(|name| selection.has(name)).collect();
    let mut recounter = Recounter::new(recount.matcher, &names, &only);
    let target = |table: &str| staging.recounted(table);
    let mut events = 0;
    for month in months_of(recount.store, "events", recount.days).await? {
        (recount.progress)(format!("recounting the events of {month}, after {events} others"));
        events += recounter.count_month(recount.store, month, recount.days, &target).await?;
    }
    Ok(events)
}

impl Selection {
    fn has(&self, counter: &str) -> bool {
        match self {
            Self::All | Self::Missing => true,
            Self::Counters(counters) => counters.contains(counter),
        }
    }
}

/// A table of the counters that are recounted; those that the definitions don't know can't be.
pub async fn known_counters(
    recount: &Recount<'_>,
    selection: &Selection,
    staging: &Staging<'_>,
) -> Result<String, RecountError> {
    let table = staging.name("known");
    staging
        .run(&format!("CREATE TABLE {table} (counter String) ENGINE = MergeTree ORDER BY counter"))
        .await?;
    let mut rows = RowWriter::default();
    for counter in recount.matcher.counters().iter().map(ToString::to_string) {
        if selection.has(&counter) {
            rows.string(&counter);
            rows.end_row();
        }
    }
    if !rows.is_empty() {
        let body = rows.into_insert(COUNTERS, &["counter"], 0).body;
        let insert =
            Insert { table: &table, columns: &["counter"], body, token: table.clone(), start_before: None };
        recount.store.insert(&insert).await?;
    }
    Ok(table)
}

/// The store's day.
pub async fn today(store: &Store) -> Result<Date, RecountError> {
    let today: String = store.client().query("SELECT toString(toDate(now('UTC')))").fetch_one().await?;
    Ok(today.parse().unwrap_or(Days::ALL.to))
}

#[derive(Row, Deserialize)]
struct Since {
    name: String,
    first: u16,
}

async fn since(store: &Store, sql: &str) -> Result<Vec<Since>, RecountError> {
    Ok(store.client().query_raw(sql).fetch_all().await?)
}

/// The counters of events that are older than what the counters' tables have of them. An increment's name tells its counters
/// only by way of the definitions, so what only increments change is always among them.
async fn missing_counters(recount: &Recount<'_>) -> Result<BTreeSet<String>, RecountError> {
    let store = recount.store;
    let events =
        "SELECT toString(name) AS name, toUInt16(min(toDate(timestamp))) AS first FROM events GROUP BY name";
    let events = since(store, events).await?;
    let mut kept = Vec::new();
    for table in [COUNTERS, UNIQUE_TOTALS, UNIQUES] {
        let sql = format!(
            "SELECT toString(counter) AS name, toUInt16(min(day)) AS first FROM {table} GROUP BY counter"
        );
        kept.extend(since(store, &sql).await?);
    }
    let first_of =
        |all: &[Since], name: &str| all.iter().find(|since| since.name == name).map(|since| since.first);
    let tracked = recount.matcher.tracked_counters().len();
    let is_missing = |(index, counter): &(usize, &Counter)| {
        let has = first_of(&kept, &counter.to_string());
        match first_of(&events, &counter.event) {
            Some(first) => has.is_none_or(|has| has > first),
            None => *index >= tracked,
        }
    };
    let counters = recount.matcher.counters().iter().enumerate();
    Ok(counters.filter(is_missing).map(|(_, counter)| counter.to_string()).collect())
}
