//! Sessions as the rows of `session_parts`: what a batch tells of each session, merged beforehand. All is minima, maxima and
//! sums, so that neither the order of events nor where batches are cut matters. `tally_processor::sessions` says the same in SQL.

use std::collections::hash_map::Entry;
use std::mem::take;

use rustc_hash::FxHashMap;
use tally_schemas::PageEvent;

use super::TableInsert;
use crate::row_binary::RowWriter;

pub const TABLE: &str = "session_parts";
const COLUMNS: &[&str] = &[
    "project_id",
    "by_visitor",
    "key",
    "slot",
    "start_at",
    "end_at",
    "events_count",
    "page_views_count",
    "session_index",
    "user_id",
    "visitor_id",
    "agent_name",
    "agent_version",
    "os_family",
    "os_name",
    "os_version",
    "device_type",
    "browser_language",
    "document_language",
    "viewport_size",
];

/// The table has one partition: a session may cross months.
const NO_MONTH: u32 = 0;

/// The length of inactivity that ends a session; slots are as long.
const SLOT_MS: i64 = 30 * 60 * 1000;

/// The texts of a part of which the greatest is kept.
const TEXTS: usize = 11;

/// Which row of the table an event belongs to.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Place {
    project_id: i64,
    by_visitor: bool,
    key: String,
    slot: u32,
}

#[derive(Debug)]
struct Part {
    start_at: i64,
    end_at: i64,
    events_count: u64,
    page_views_count: u64,
    session_index: u32,
    /// From `user_id` on, in the order of the columns.
    texts: [String; TEXTS],
}

/// The parts of one batch.
#[derive(Debug, Default)]
pub struct SessionParts {
    parts: FxHashMap<Place, Part>,
}

impl SessionParts {
    /// Takes in an event. One that names neither a session nor a visitor belongs to none.
    pub fn add(&mut self, mut event: PageEvent) {
        let Some(place) = place_of(&mut event) else { return };
        match self.parts.entry(place) {
            Entry::Occupied(part) => part.into_mut().merge(Part::of(event)),
            Entry::Vacant(vacant) => {
                vacant.insert(Part::of(event));
            }
        }
    }

    pub fn finish(self) -> Option<TableInsert> {
        let mut parts: Vec<_> = self.parts.into_iter().collect();
        parts.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        let mut rows = RowWriter::default();
        for (place, part) in &parts {
            write_row(&mut rows, place, part);
        }
        (!parts.is_empty()).then(|| rows.into_insert(TABLE, COLUMNS, NO_MONTH))
    }
}

/// The tracker's session, else the half hour of the visitor.
fn place_of(event: &mut PageEvent) -> Option<Place> {
    let project_id = event.project_id;
    if !event.session_id.is_empty() {
        return Some(Place { project_id, by_visitor: false, key: take(&mut event.session_id), slot: 0 });
    }
    let names = [&event.user_id, &event.domain_user_id, &event.network_user_id];
    let key = names.into_iter().find(|name| !name.is_empty())?.clone();
    let slot = u32::try_from(event.timestamp.div_euclid(SLOT_MS)).ok()?;
    Some(Place { project_id, by_visitor: true, key, slot })
}

impl Part {
    fn of(event: PageEvent) -> Self {
        let visitor_id =
            if event.domain_user_id.is_empty() { event.network_user_id } else { event.domain_user_id };
        Self {
            start_at: event.timestamp,
            end_at: event.timestamp,
            events_count: 1,
            page_views_count: u64::from(event.event == "page_view"),
            session_index: event.session_index,
            texts: [
                event.user_id,
                visitor_id,
                event.agent_name,
                event.agent_version,
                event.os_family,
                event.os_name,
                event.os_version,
                event.device_type,
                event.browser_language,
                event.document_language,
                event.viewport_size,
            ],
        }
    }

    fn merge(&mut self, other: Self) {
        self.start_at = self.start_at.min(other.start_at);
        self.end_at = self.end_at.max(other.end_at);
        self.events_count += other.events_count;
        self.page_views_count += other.page_views_count;
        self.session_index = self.session_index.max(other.session_index);
        for (text, other) in self.texts.iter_mut().zip(other.texts) {
            if other > *text {
                *text = other;
            }
        }
    }
}

fn write_row(rows: &mut RowWriter, place: &Place, part: &Part) {
    rows.i64(place.project_id);
    rows.bool(place.by_visitor);
    rows.string(&place.key);
    rows.u32(place.slot);
    rows.i64(part.start_at);
    rows.i64(part.end_at);
    rows.u64(part.events_count);
    rows.u64(part.page_views_count);
    rows.u32(part.session_index);
    for text in &part.texts {
        rows.string(text);
    }
    rows.end_row();
}
