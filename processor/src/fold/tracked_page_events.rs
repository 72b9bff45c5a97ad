//! Tracked events that ask for it (`send_to_snowplow`) as page events of their project, as a tracker on the server would have sent
//! them: custom events of a known user.

use std::collections::BTreeMap;

use tally_schemas::{PageEvent, TrackedEvent};

use super::TableInsert;
use super::batch_rows::interleave;
use super::json::write_properties;
use super::page_event_row::{self, Source};
use super::session_parts::SessionParts;
use crate::row_binary::RowWriter;

/// The page events of one batch of tracked events.
#[derive(Debug, Default)]
pub struct TrackedPageEvents {
    /// By month.
    rows: BTreeMap<u32, RowWriter>,
    sessions: SessionParts,
}

impl TrackedPageEvents {
    /// Takes in an event of that project and month.
    pub fn add(
        &mut self,
        event: &TrackedEvent<'_>,
        project_id: i64,
        month: u32,
        partition: u32,
        offset: u64,
    ) {
        let event = page_event(event, project_id);
        let rows = self.rows.entry(month).or_default();
        page_event_row::write(rows, &event, Source::TrackedEvent, partition, offset);
        self.sessions.add(event);
    }

    /// Where the month's next row will begin.
    pub fn position(&mut self, month: u32) -> usize {
        self.rows.entry(month).or_default().position()
    }

    /// Takes in an event that was held, but for its row, which is to be put in between.
    pub fn held_row(
        &mut self,
        event: &TrackedEvent<'_>,
        project_id: i64,
        partition: u32,
        offset: u64,
    ) -> RowWriter {
        let event = page_event(event, project_id);
        let mut row = RowWriter::default();
        page_event_row::write(&mut row, &event, Source::TrackedEvent, partition, offset);
        self.sessions.add(event);
        row
    }

    /// Puts rows in between, by month.
    pub fn interleave(&mut self, others: BTreeMap<u32, Vec<(usize, RowWriter)>>) {
        interleave(&mut self.rows, others);
    }

    pub fn finish(self) -> impl Iterator<Item = TableInsert> {
        let (table, columns) = (page_event_row::TABLE, page_event_row::COLUMNS);
        let rows = self.rows.into_iter().filter(|(_, rows)| !rows.is_empty());
        let rows = rows.map(|(month, rows)| rows.into_insert(table, columns, month));
        rows.chain(self.sessions.finish())
    }
}

fn page_event(event: &TrackedEvent<'_>, project_id: i64) -> PageEvent {
    let mut properties = Vec::new();
    write_properties(&mut properties, &event.additional_properties);
    let properties = String::from_utf8(properties).expect("JSON made of texts is a text");
    PageEvent {
        event_id: event.event_id,
        client_event_id: event.client_event_id,
        project_id,
        event: "custom".to_owned(),
        event_name: event.name.to_string(),
        timestamp: event.timestamp,
        received_at: event.received_at,
        user_id: event.user_id.filter(|id| *id != 0).map(|id| id.to_string()).unwrap_or_default(),
        platform: "srv".to_owned(),
        custom_event_name: event.name.to_string(),
        custom_event_props: properties,
        ..PageEvent::default()
    }
}
