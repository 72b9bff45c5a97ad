//! Raw rows that are gone while the log still has their records: without them, what is derived may be gone too and nothing differ.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::Row;
use jiff::ToSpan;
use jiff::civil::date;
use serde::Deserialize;
use tally_store::{Store, StoreError};

use super::compare::{Difference, Found};
use super::missing::{RAW_TOPICS, RawTopic, Scan, Source};
use super::{Recount, RecountError};

/// How long the rows of a batch that is being written may take.
const PAUSE: Duration = Duration::from_secs(2);

/// The most stretches that are listed.
const MOST_LISTED: usize = 1_000;

/// Offsets of one day without rows.
struct Gap {
    day: Option<u16>,
    first: u64,
    last: u64,
    records: u64,
}

#[derive(Row, Deserialize)]
struct Newest {
    partition: u32,
    end: u64,
}

/// What is gone of every topic, up to the newest row of each partition.
pub async fn check(recount: &Recount<'_>, source: &Source) -> Result<Vec<Found>, RecountError> {
    let mut found = Vec::new();
    for topic in RAW_TOPICS {
        found.push(check_topic(recount, source, topic).await?);
    }
    Ok(found)
}

async fn check_topic(recount: &Recount<'_>, source: &Source, topic: RawTopic) -> Result<Found, RecountError> {
    let ends = ends(recount.store, topic).await?;
    let watermarks = source.log.watermarks(topic.name).await?;
    let mut found = Found::default();
    for (partition, marks) in (0..).zip(watermarks) {
        let Some(&end) = ends.get(&partition) else { continue };
        let offsets = (marks.low, end.min(marks.high));
        let mut gaps = gaps(recount, source, topic, partition, offsets).await?;
        if let (Some(first), Some(last)) = (gaps.first(), gaps.last()) {
            let again = (first.first, last.last + 1);
            tokio::time::sleep(PAUSE).await;
            gaps = self::gaps(recount, source, topic, partition, again).await?;
        }
        found.count += gaps.iter().map(|gap| gap.records).sum::<u64>();
        found.listed.extend(gaps.iter().map(|gap| gap.difference(topic, partition)));
    }
    found.listed.truncate(MOST_LISTED);
    Ok(found)
}

/// The first offset after what the tables know of each partition.
async fn ends(store: &Store, topic: RawTopic) -> Result<HashMap<u32, u64>, StoreError> {
    let RawTopic { name, table, condition, ids, .. } = topic;
    let sql = format!(
        "SELECT partition, max(offset) + 1 AS end FROM \
         (SELECT partition, offset FROM {table} WHERE {condition} UNION ALL SELECT partition, offset FROM {ids} \
          UNION ALL SELECT partition, offset FROM dead_letters WHERE topic = '{name}') GROUP BY partition"
    );
    let newest: Vec<Newest> = store.client().query_raw(&sql).fetch_all().await?;
    Ok(newest.into_iter().map(|newest| (newest.partition, newest.end)).collect())
}

async fn gaps(
    recount: &Recount<'_>,
    source: &Source,
    topic: RawTopic,
    partition: u32,
    offsets: (u64, u64),
) -> Result<Vec<Gap>, RecountError> {
    let mut scan = Scan::start(recount.store, source, topic, partition, offsets).await?;
    let mut gaps: Vec<Gap> = Vec::new();
    while let Some(missing) = scan.next().await? {
        (recount.progress)(format!(
            "{} partition {partition}: {} records compared",
            topic.name, scan.records
        ));
        for missing in missing {
            let offset = missing.record.offset;
            match gaps.last_mut() {
                Some(gap) if gap.day == missing.day && gap.last + 1 == offset => {
                    gap.last = offset;
                    gap.records += 1;
                }
                _ => gaps.push(Gap { day: missing.day, first: offset, last: offset, records: 1 }),
            }
        }
    }
    Ok(gaps)
}

impl Gap {
    fn difference(&self, topic: RawTopic, partition: u32) -> Difference {
        let day = self.day.map(|day| date(1970, 1, 1).saturating_add(i64::from(day).days()).to_string());
        Difference {
            table: topic.table.to_owned(),
            day: day.unwrap_or_default(),
            what: format!("partition {partition}, offsets {} to {} of {}", self.first, self.last, topic.name),
            kept: String::new(),
            recounted: format!("{} records of the log", self.records),
        }
    }
}
