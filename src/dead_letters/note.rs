//! The notes that make a replay happen once: `started` before anything is appended, `done` or `refused` after. Who notes the
//! same attempt of the same letter second is told by the table: both notes bear one token, and only the first is kept.

use anyhow::{Context, Result};
use jiff::Timestamp;
use tally_eventlog::Appended;
use tally_query::dead_letters::{Letter, Readable, find};
use tally_query::warehouse::Warehouse;
use tally_store::{Insert, Store};
use uuid::Uuid;

const TABLE: &str = "dead_letter_replays";
const COLUMNS: &[&str] =
    &["letter_id", "attempt", "replay_id", "at", "state", "by", "detail", "topic", "partitions", "offsets"];

/// How far a replay is, with its number in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Started = 1,
    Done = 2,
    Refused = 3,
}

/// One attempt to replay a letter.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    pub letter_id: Uuid,
    /// From 1.
    pub number: u32,
    /// Tells this attempt from another of the same number.
    pub replay_id: Uuid,
    pub by: &'a str,
    pub topic: &'a str,
}

impl<'a> Attempt<'a> {
    /// The letter's next.
    pub fn next(letter: &Letter, by: &'a str, topic: &'a str) -> Self {
        let last = letter.replays.iter().map(|replay| replay.attempt).max().unwrap_or(0);
        Self { letter_id: letter.id, number: last + 1, replay_id: Uuid::now_v7(), by, topic }
    }

    /// Notes that it has started; `false` if somebody else has started it before.
    pub async fn start(&self, store: &Store, warehouse: &Warehouse) -> Result<bool> {
        self.note(store, Step::Started, "", &[]).await?;
        let letter = find(warehouse, &Readable::All, &[self.letter_id]).await?.pop();
        let letter = letter.context("the letter is gone")?;
        let mut started = letter.replays.iter().filter(|replay| replay.attempt == self.number);
        Ok(started.next().context("the note is not there")?.replay_id == self.replay_id)
    }

    /// Notes how it ended.
    pub async fn end(&self, store: &Store, step: Step, detail: &str, places: &[Appended]) -> Result<()> {
        self.note(store, step, detail, places).await
    }

    async fn note(&self, store: &Store, step: Step, detail: &str, places: &[Appended]) -> Result<()> {
        // A start bears a token of the attempt's number alone: of two, one is kept.
        let token = match step {
            Step::Started => format!("replay:{}:{}", self.letter_id, self.number),
            Step::Done | Step::Refused => format!("replay:{}:{}:ended", self.letter_id, self.replay_id),
        };
        let insert = Insert {
            table: TABLE,
            columns: COLUMNS,
            body: self.row(step, detail, places).into(),
            token,
            start_before: None,
        };
        store.insert(&insert).await.context("can't note the replay")
    }

    fn row(&self, step: Step, detail: &str, places: &[Appended]) -> Vec<u8> {
        let mut row = Vec::new();
        put_uuid(&mut row, self.letter_id);
        row.extend(self.number.to_le_bytes());
        put_uuid(&mut row, self.replay_id);
        row.extend(Timestamp::now().as_millisecond().to_le_bytes());
        row.push(step as u8);
        for text in [self.by, detail, self.topic] {
            put_length(&mut row, text.len());
            row.extend(text.as_bytes());
        }
        put_length(&mut row, places.len());
        row.extend(places.iter().flat_map(|place| place.partition.to_le_bytes()));
        put_length(&mut row, places.len());
        row.extend(places.iter().flat_map(|place| place.offset.to_le_bytes()));
        row
    }
}

fn put_uuid(row: &mut Vec<u8>, id: Uuid) {
    let (high, low) = id.as_u64_pair();
    row.extend(high.to_le_bytes());
    row.extend(low.to_le_bytes());
}

fn put_length(row: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        row.push(length as u8 | 0x80);
        length >>= 7;
    }
    row.push(length as u8);
}
