//! `tally verify`: recounts, compares, and changes nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::compare::{self, Difference, Found, Sides};
use super::derived::{DERIVED, Derived};
use super::lost;
use super::missing::Source;
use super::rebuild::{Selection, fill, known_counters, select, today};
use super::staging::{Purpose, Staging};
use super::{Days, Recount, RecountError, raw};
use crate::fold::counters::UNIQUES;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

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

impl Report {
    fn add(&mut self, found: Found) {
        self.differences.extend(found.listed);
        self.count += found.count;
        self.moving += found.moving;
    }
}

/// Compares every derived table with the raw rows, and looks for what is twice among these, and for what is missing of them
/// that `log` still has. With a log, all days of it are looked at.
pub async fn verify(recount: &Recount<'_>, log: Option<&Source>) -> Result<Report, RecountError> {
    let staging = Staging::begin(recount.store, &recount.run, Purpose::Comparing).await?;
    let outcome = compare_all(recount, log, &staging).await;
    let ended = staging.end().await;
    let report = outcome?;
    ended?;
    Ok(report)
}

async fn compare_all(
    recount: &Recount<'_>,
    log: Option<&Source>,
    staging: &Staging<'_>,
) -> Result<Report, RecountError> {
    let tell = recount.progress;
    tell("looking at the tables as they are".to_owned());
    let today = today(recount.store).await?;
    let known = known_counters(recount, &Selection::All, staging).await?;
    let mut before = Vec::new();
    for derived in &DERIVED {
        let concerned = |partition: &str| derived.concerns(partition, recount.days);
        before.push(staging.freeze(derived.table, "before", concerned).await?);
    }
    let events = fill(recount, &Selection::All, &DERIVED, staging, today).await?;
    // Whatever was under way then.
    let give_up = Instant::now() + recount.patience;
    let mut report = Report { events, ..Report::default() };
    for (derived, before) in DERIVED.iter().zip(&before) {
        tell(format!("comparing {}", derived.table));
        let recounted = staging.recounted(derived.table);
        let sides = Sides { before, recounted: &recounted, now: derived.table };
        report.add(settled(recount, derived, staging, &sides, &known, (today, give_up)).await?);
    }
    tell("looking for what is twice".to_owned());
    for found in raw::check(recount.store, recount.days).await? {
        report.add(found);
    }
    if let Some(log) = log {
        for found in lost::check(recount, log).await? {
            report.add(found);
        }
    }
    Ok(report)
}

/// Compares until nothing differs any more, or what differs stands, or it is time to give up: batches may be under way.
async fn settled(
    recount: &Recount<'_>,
    derived: &Derived,
    staging: &Staging<'_>,
    sides: &Sides<'_>,
    known: &str,
    (today, give_up): (Date, Instant),
) -> Result<Found, RecountError> {
    let days = derived.days(recount.days, today);
    let mut earlier = None;
    loop {
        let found = compared(recount, derived, sides, known, days).await?;
        // What nobody writes to stays as it is; what is lacking may come with the next try of an insert.
        let has_excess = found.count > found.lacking;
        let stands = has_excess && earlier == Some((found.count, found.lacking)) && found.moving == 0;
        if found.count == 0 || stands || Instant::now() >= give_up {
            return Ok(found);
        }
        if has_excess {
            // Raw tables are written side by side: one may have had a batch that the other had not.
            select(recount, derived, staging, today).await?;
        }
        earlier = Some((found.count, found.lacking));
        tokio::time::sleep(PAUSE).await;
    }
}

/// Compares a table once.
pub async fn compared(
    recount: &Recount<'_>,
    derived: &Derived,
    sides: &Sides<'_>,
    known: &str,
    days: Days,
) -> Result<Found, RecountError> {
    let store = recount.store;
    if derived.table != UNIQUES {
        return Ok(compare::contents(store, derived, sides, known, days).await?);
    }
    let mut months = BTreeSet::new();
    for table in [sides.before, sides.recounted, sides.now] {
        months.extend(super::staging::months_of(store, table, days).await?);
    }
    let mut all = Found::default();
    for month in months {
        all.add(compare::uniques(store, sides, known, month, days).await?);
    }
    Ok(all)
}
