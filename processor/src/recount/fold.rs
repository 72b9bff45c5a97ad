//! Raw events as counters: every event of a month is read, matched and folded, and added to staging tables piece by piece,
//! so that memory is bounded however many events and identifiers there are.

use clickhouse::Row;
use serde::Deserialize;
use tally_schemas::{CounterId, Effect, Increment, Matcher, TrackedEvent};
use tally_store::{Insert, Store};
use uuid::Uuid;

use super::properties;
use super::{Days, RecountError};
use crate::fold::counters::Aggregates;

/// What is folded is written once it has so many bytes, or a little more.
const MOST_FOLDED_BYTES: usize = 24 << 20;
/// What a row of an aggregate takes at most, without its texts.
const ROW_BYTES: usize = 40;

/// One raw event, as far as counters depend on it. Ids of 0 mean none.
#[derive(Row, Deserialize)]
struct RawEvent<'a> {
    day: u16,
    name: &'a str,
    user_id: i64,
    project_id: i64,
    namespace_id: i64,
    additional_properties: &'a str,
    increment: u8,
}

/// Counts raw events.
pub struct Recounter<'a> {
    matcher: &'a Matcher,
    /// The counters' keys in the store, by [`CounterId`].
    names: &'a [String],
    /// Those that are counted; others are left alone.
    only: &'a [bool],
    aggregates: Aggregates,
    folded_bytes: usize,
    matched: Vec<CounterId>,
}

impl<'a> Recounter<'a> {
    /// Counts by `matcher` those of its counters that `only` marks.
    pub fn new(matcher: &'a Matcher, names: &'a [String], only: &'a [bool]) -> Self {
        Self { matcher, names, only, aggregates: Aggregates::default(), folded_bytes: 0, matched: Vec::new() }
    }

    /// Adds what the events of those days in a month (`YYYYMM`) amount to. How many events there were.
    pub async fn count_month(
        &mut self,
        store: &Store,
        month: u32,
        days: Days,
        target: &impl Fn(&str) -> String,
    ) -> Result<u64, RecountError> {
        let sql = format!(
            "SELECT toUInt16(toDate(timestamp)) AS day, name, user_id, project_id, namespace_id, additional_properties, \
                toUInt8(increment) AS increment \
             FROM events WHERE toYYYYMM(timestamp) = {month} AND {}",
            days.condition("toDate(timestamp)")
        );
        let mut rows = store.client().query_raw(&sql).fetch::<RawEvent<'_>>()?;
        let (mut events, mut piece) = (0, 0);
        while let Some(event) = rows.next().await? {
            self.add(&event)?;
            events += 1;
            if self.folded_bytes >= MOST_FOLDED_BYTES {
                self.write(store, &format!("{month}:{piece}"), target).await?;
                piece += 1;
            }
        }
        self.write(store, &format!("{month}:{piece}"), target).await?;
        Ok(events)
    }

    fn add(&mut self, raw: &RawEvent<'_>) -> Result<(), RecountError> {
        let by = self.matcher;
        let event = TrackedEvent {
            event_id: Uuid::nil(),
            name: raw.name.into(),
            timestamp: 0,
            received_at: 0,
            user_id: known(raw.user_id),
            project_id: known(raw.project_id),
            namespace_id: known(raw.namespace_id),
            additional_properties: properties::read(raw.additional_properties)?,
            send_to_snowplow: false,
            timestamp_clamped: false,
            client_event_id: false,
            increment: Increment::ALL.get(usize::from(raw.increment)).copied().unwrap_or_default(),
        };
        if event.increment != Increment::Event {
            for &id in by.increment(event.increment, &event.name).unwrap_or_default() {
                self.apply(raw.day, id, Matcher::increment_effect(event.increment, event.user_id));
            }
            return Ok(());
        }
        let Some(of_event) = by.lookup(&event.name) else { return Ok(()) };
        let mut matched = std::mem::take(&mut self.matched);
        matched.clear();
        of_event.matching(&event.additional_properties, &mut matched);
        for &id in &matched {
            self.apply(raw.day, id, by.effect(id, &event));
        }
        self.matched = matched;
        Ok(())
    }

    fn apply(&mut self, day: u16, id: CounterId, effect: Option<Effect<'_>>) {
        let Some(effect) = effect else { return };
        if !self.only[id.0 as usize] {
            return;
        }
        self.folded_bytes += match &effect {
            Effect::UniqueTotal(value) => ROW_BYTES + self.names[id.0 as usize].len() + value.len(),
            Effect::Unique(_) => size_of::<u64>(),
            Effect::Count | Effect::Sum(_) => 0,
        };
        self.aggregates.apply(day, id, effect);
    }

    async fn write(
        &mut self,
        store: &Store,
        piece: &str,
        target: &impl Fn(&str) -> String,
    ) -> Result<(), RecountError> {
        self.folded_bytes = 0;
        for insert in std::mem::take(&mut self.aggregates).finish(self.names) {
            let table = target(insert.table);
            let request = Insert {
                table: &table,
                columns: insert.columns,
                body: insert.body,
                token: piece.to_owned(),
                start_before: None,
            };
            store.insert(&request).await?;
        }
        Ok(())
    }
}

fn known(id: i64) -> Option<i64> {
    Some(id).filter(|id| *id != 0)
}
