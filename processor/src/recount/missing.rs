//! Records of the log that have neither a row of the raw table nor a dead letter, and don't repeat one that has: those whose rows
//! were lost.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use tally_eventlog::{EventLog, FetchLimits, LogRecord, TailReader};
use tally_evolution::Schemas;
use tally_schemas::{CodecError, Contribution, Framings, PageEvent, TrackedEvent, topics};
use tally_store::{Store, StoreError};
use uuid::Uuid;

use super::RecountError;
use crate::fold::calendar::day_of;
use crate::repetitions::ClientId;

/// Records that are looked at at once.
const LIMITS: FetchLimits =
    FetchLimits { max_records: 5_000, max_bytes: 8 << 20, max_wait: Duration::from_millis(500) };

/// Offsets of which the tables are asked at once: each time they are read as a whole.
const OFFSETS_A_LOOK: u64 = 1 << 22;

/// Ids asked for in one statement, which names each of them twice and may have 256 KiB (ClickHouse's `max_query_size`).
const IDS_A_STATEMENT: usize = 2_500;

/// A topic whose records become raw rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTopic {
    pub name: &'static str,
    pub table: &'static str,
    /// Which rows of the table are the topic's.
    pub condition: &'static str,
    pub ids: &'static str,
    /// The same id in another project is another one.
    ids_by_project: bool,
    /// The table tells when a record was received, and whether its client chose the id.
    tells_receipt: bool,
}

/// Those that there are.
pub const RAW_TOPICS: [RawTopic; 3] = [
    RawTopic {
        name: topics::EVENTS,
        table: "events",
        condition: "true",
        ids: "event_ids",
        ids_by_project: false,
        tells_receipt: true,
    },
    RawTopic {
        name: topics::PAGE_EVENTS,
        table: "page_events",
        condition: "source = 'tracker'",
        ids: "page_event_ids",
        ids_by_project: true,
        tells_receipt: true,
    },
    RawTopic {
        name: topics::CONTRIBUTIONS,
        table: "contributions",
        condition: "true",
        ids: "contribution_ids",
        ids_by_project: false,
        tells_receipt: false,
    },
];

/// The log that the tables are compared with, and what its records say.
#[derive(Clone)]
pub struct Source {
    pub log: Arc<dyn EventLog>,
    pub schemas: Arc<Schemas>,
    pub framings: Framings,
}

/// A record whose row was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub record: LogRecord,
    /// Days since 1970-01-01; `None` for what can't be read, which was a dead letter.
    pub day: Option<u16>,
    /// The table of ids has its id.
    pub has_id_row: bool,
}

/// What a record says of itself.
struct Said {
    day: Option<u16>,
    id: Option<ClientId>,
}

/// A partition, and the tables that hold what it became.
#[derive(Clone, Copy)]
struct Place<'a> {
    store: &'a Store,
    topic: RawTopic,
    source: &'a Source,
    partition: u32,
}

/// Goes through a partition.
pub struct Scan<'a> {
    place: Place<'a>,
    reader: Box<dyn TailReader>,
    there: There,
    /// The first offset that is not looked at.
    end: u64,
    pub records: u64,
    pub repetitions: u64,
}

impl<'a> Scan<'a> {
    /// Looks at the offsets from `from` on and below `end`; the log must hold all of these.
    pub async fn start(
        store: &'a Store,
        source: &'a Source,
        topic: RawTopic,
        partition: u32,
        (from, end): (u64, u64),
    ) -> Result<Self, RecountError> {
        let reader = source.log.tail(topic.name, partition, from).await?;
        let place = Place { store, topic, source, partition };
        Ok(Self { place, reader, there: There::default(), end, records: 0, repetitions: 0 })
    }

    /// What is missing of the next records; `None` when there are no more.
    pub async fn next(&mut self) -> Result<Option<Vec<Missing>>, RecountError> {
        while self.reader.next_offset() < self.end {
            let mut records = self.reader.fetch(LIMITS).await?;
            records.retain(|record| record.offset < self.end);
            let Place { topic, source, .. } = self.place;
            let mut translated = source.schemas.translate(topic.name, &records).await?;
            for record in &mut records {
                if let Some(value) = translated.remove(&record.offset) {
                    record.value = value;
                }
            }
            if !records.is_empty() {
                self.records += records.len() as u64;
                return Ok(Some(self.missing_of(records).await?));
            }
        }
        Ok(None)
    }

    async fn missing_of(&mut self, mut records: Vec<LogRecord>) -> Result<Vec<Missing>, RecountError> {
        let place = self.place;
        if let Some(last) = records.last().filter(|last| last.offset >= self.there.offsets.end) {
            // A range of records is smaller than a look.
            let (first, last) = (records[0].offset, last.offset);
            self.there = place.look(first..self.end.min(first + OFFSETS_A_LOOK).max(last + 1)).await?;
        }
        records.retain(|record| !self.there.contains(record.offset));
        let said: Vec<Said> = records.iter().map(|record| place.said_by(record)).collect();
        let ids: Vec<ClientId> = said.iter().filter_map(|said| said.id).collect();
        let mut counted = place.counted(&ids).await?;
        let mut missing = Vec::new();
        for (record, Said { day, id }) in records.into_iter().zip(said) {
            let Some(id) = id else {
                missing.push(Missing { record, day, has_id_row: false });
                continue;
            };
            let of_id = counted.entry((id.project_id, id.event_id.as_u128())).or_default();
            let has_id_row = of_id.iter().any(|one| one.offset == id.offset);
            let repeats = |one: &CountedId| one.offset < id.offset && id.repeats(one.received_ms);
            if !has_id_row && of_id.iter().any(repeats) {
                self.repetitions += 1;
                continue;
            }
            of_id.push(CountedId { offset: id.offset, received_ms: id.received_at });
            missing.push(Missing { record, day, has_id_row });
        }
        Ok(missing)
    }
}

impl Place<'_> {
    /// Which of these offsets have a row or a dead letter.
    async fn look(self, offsets: Range<u64>) -> Result<There, StoreError> {
        let RawTopic { name, table, condition, .. } = self.topic;
        let Range { start, end } = offsets;
        let words = (end - start).div_ceil(u64::BITS.into());
        let within = format!("partition = {} AND offset >= {start} AND offset < {end}", self.partition);
        let sql = format!(
            "SELECT offset FROM {table} WHERE {condition} AND {within} \
             UNION ALL SELECT offset FROM dead_letters WHERE topic = '{name}' AND {within}"
        );
        let mut there = There { offsets, bits: vec![0; words as usize] };
        let mut rows = self.store.client().query_raw(&sql).fetch::<u64>()?;
        while let Some(offset) = rows.next().await? {
            there.insert(offset);
        }
        Ok(there)
    }

    /// Where the ids were counted, by project and id.
    async fn counted(self, ids: &[ClientId]) -> Result<HashMap<(i64, u128), Vec<CountedId>>, StoreError> {
        let project = if self.topic.ids_by_project { "project_id" } else { "toInt64(0)" };
        let columns = format!(
            "SELECT {project} AS project, toUInt128(event_id) AS id, offset, toUnixTimestamp64Milli(received_at) AS received_ms"
        );
        let mut counted: HashMap<_, Vec<CountedId>> = HashMap::new();
        for ids in ids.chunks(IDS_A_STATEMENT) {
            let texts: Vec<String> = ids.iter().map(|id| format!("'{}'", id.event_id)).collect();
            let which = format!("partition = {} AND event_id IN ({})", self.partition, texts.join(", "));
            let of_ids = format!("{columns} FROM {} WHERE {which}", self.topic.ids);
            let RawTopic { table, condition, tells_receipt, .. } = self.topic;
            let sql = if tells_receipt {
                let which = format!("{condition} AND client_event_id AND {which}");
                format!("{of_ids} UNION ALL {columns} FROM {table} WHERE {which}")
            } else {
                of_ids
            };
            let rows: Vec<CountedRow> = self.store.client().query_raw(&sql).fetch_all().await?;
            for CountedRow { project, id, offset, received_ms } in rows {
                counted.entry((project, id)).or_default().push(CountedId { offset, received_ms });
            }
        }
        Ok(counted)
    }

    fn said_by(self, record: &LogRecord) -> Said {
        let id = |chosen: bool, project_id: i64, event_id: Uuid, received_at: i64| {
            chosen.then_some(ClientId { project_id, event_id, received_at, offset: record.offset })
        };
        let read = || -> Result<(i64, Option<ClientId>), CodecError> {
            let Framings { tracked_event, page_event, contribution, .. } = self.source.framings;
            Ok(match self.topic.name {
                topics::EVENTS => {
                    let event = TrackedEvent::decode_framed(tracked_event, &record.value)?;
                    (event.timestamp, id(event.client_event_id, 0, event.event_id, event.received_at))
                }
                topics::PAGE_EVENTS => {
                    let event = PageEvent::decode_framed(page_event, &record.value)?;
                    let id = id(event.client_event_id, event.project_id, event.event_id, event.received_at);
                    (event.timestamp, id)
                }
                _ => {
                    let event = Contribution::decode_framed(contribution, &record.value)?;
                    (event.created_at, id(event.client_event_id, 0, event.event_id, event.received_at))
                }
            })
        };
        match read() {
            Ok((at, id)) => Said { day: day_of(at), id },
            Err(_) => Said { day: None, id: None },
        }
    }
}

/// Offsets of a range that are there, a bit each.
#[derive(Default)]
struct There {
    offsets: Range<u64>,
    bits: Vec<u64>,
}

impl There {
    fn insert(&mut self, offset: u64) {
        let index = offset - self.offsets.start;
        self.bits[(index / 64) as usize] |= 1 << (index % 64);
    }

    fn contains(&self, offset: u64) -> bool {
        let index = offset - self.offsets.start;
        self.bits[(index / 64) as usize] & (1 << (index % 64)) != 0
    }
}

/// A record that was counted under an id.
struct CountedId {
    offset: u64,
    received_ms: i64,
}

#[derive(Row, Deserialize)]
struct CountedRow {
    project: i64,
    id: u128,
    offset: u64,
    received_ms: i64,
}
