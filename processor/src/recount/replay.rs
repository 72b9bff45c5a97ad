//! `tally replay`: puts raw rows back that the tables have lost while the log still has their records, and rebuilds what is
//! derived of them.

use std::ops::Range;

use jiff::ToSpan;
use jiff::civil::date;
use rustc_hash::FxHashSet;
use serde::{Deserialize, Serialize};
use tally_schemas::{Framings, Matcher};
use tally_store::{Insert, Store};

use super::missing::{Missing, RAW_TOPICS, RawTopic, Scan, Source};
use super::rebuild::{Rebuilt, Selection, rebuild};
use super::{Days, Recount, RecountError};
use crate::fold::contributions::ContributionsFolder;
use crate::fold::events::EventsFolder;
use crate::fold::page_events::PageEventsFolder;
use crate::fold::{Folder, dead_letters};

/// Which records are looked at.
pub struct Stretch {
    pub topic: RawTopic,
    pub partition: u32,
    /// All of them must have been counted, and the log must hold them.
    pub offsets: Range<u64>,
}

/// What came of a replay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Records that were looked at.
    pub records: u64,
    /// Those that repeat another.
    pub repetitions: u64,
    /// Those whose rows were put back.
    pub put_back: u64,
    /// What was rebuilt of it.
    pub rebuilt: Rebuilt,
}

/// The topic of that name, if its records become raw rows.
pub fn raw_topic(name: &str) -> Option<RawTopic> {
    RAW_TOPICS.into_iter().find(|topic| topic.name == name)
}

/// Puts back what is missing of the stretches, and rebuilds the days that it belongs to. No processor may run meanwhile.
pub async fn replay(
    recount: &Recount<'_>,
    source: &Source,
    stretches: &[Stretch],
) -> Result<Replayed, RecountError> {
    let mut replayed = Replayed::default();
    let mut days: Option<(u16, u16)> = None;
    for Stretch { topic, partition, offsets } in stretches {
        let folder = folder(*topic, source.framings);
        let ends = (offsets.start, offsets.end);
        let mut scan = Scan::start(recount.store, source, *topic, *partition, ends).await?;
        while let Some(missing) = scan.next().await? {
            put_back(recount, &*folder, *topic, *partition, &missing).await?;
            replayed.put_back += missing.len() as u64;
            for day in missing.iter().filter_map(|missing| missing.day) {
                days = Some(days.map_or((day, day), |(first, last)| (first.min(day), last.max(day))));
            }
            (recount.progress)(format!(
                "{} partition {partition}: {} records looked at, {} put back in all",
                topic.name, scan.records, replayed.put_back
            ));
        }
        replayed.records += scan.records;
        replayed.repetitions += scan.repetitions;
    }
    if let Some((first, last)) = days {
        let date_of = |day: u16| date(1970, 1, 1).saturating_add(i64::from(day).days());
        let days = Days { from: date_of(first), to: date_of(last) };
        let affected = Recount { days, run: recount.run.clone(), ..*recount };
        replayed.rebuilt = rebuild(&affected, &Selection::All).await?;
    }
    Ok(replayed)
}

/// A folder whose raw rows are those of the processor; what it counts is of no use here.
fn folder(topic: RawTopic, framings: Framings) -> Box<dyn Folder> {
    match topic.table {
        "events" => Box::new(EventsFolder::new(Matcher::default(), framings.tracked_event, 0)),
        "page_events" => Box::new(PageEventsFolder::new(framings.page_event, 0)),
        _ => Box::new(ContributionsFolder::new(framings.contribution, 0)),
    }
}

/// Inserts the raw rows, and the ids that are not there.
async fn put_back(
    recount: &Recount<'_>,
    folder: &dyn Folder,
    topic: RawTopic,
    partition: u32,
    missing: &[Missing],
) -> Result<(), RecountError> {
    for has_id_row in [false, true] {
        let (mut fold, mut first) = (folder.start(partition), None);
        for Missing { record, .. } in missing.iter().filter(|missing| missing.has_id_row == has_id_row) {
            first.get_or_insert(record.offset);
            fold.add(record);
        }
        let Some(first) = first else { continue };
        // Repetitions are out already.
        fold.settle(&FxHashSet::default());
        for insert in fold.finish().inserts {
            let is_id = insert.table == topic.ids && !has_id_row;
            if is_id || [topic.table, dead_letters::TABLE].contains(&insert.table) {
                let token =
                    format!("replay:{}:{}:{partition}:{first}:{}", recount.run, topic.name, insert.month);
                insert_rows(recount.store, insert.table, insert.columns, insert.body, token).await?;
            }
        }
    }
    Ok(())
}

async fn insert_rows(
    store: &Store,
    table: &str,
    columns: &[&str],
    body: bytes::Bytes,
    token: String,
) -> Result<(), RecountError> {
    Ok(store.insert(&Insert { table, columns, body, token, start_before: None }).await?)
}
