//! Contribution events: each becomes a row that the Events API lists by its author, the same row once more in the table
//! that lists projects, and the mark that its author has contributed to its project. One whose id came before is counted as a
//! repetition and otherwise left out.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use rustc_hash::FxHashSet;
use serde_json::{Value, json};
use tally_eventlog::LogRecord;
use tally_schemas::contribution::{Note, PushData, WikiPage};
use tally_schemas::{Contribution, DropReason, Framing, topics};
use tally_store::{Store, StoreError};

use super::batch_ids::{BatchIds, Known};
use super::batch_rows::BatchRows;
use super::calendar::day_of;
use super::{DeadLetters, Fold, Folded, Folder, RawTable, TableInsert, dead_letters};
use crate::partition::Progress;
use crate::repetitions::{ClientId, Doubts, IdTable, PartitionFilters, SharedFilter};
use crate::row_binary::RowWriter;

const CONTRIBUTIONS: &str = "contributions";
const PROJECT_CONTRIBUTIONS: &str = "project_contributions";
const CONTRIBUTION_PROJECTS: &str = "contribution_projects";

/// A retry may come with another token: an id is one whoever sends it.
pub(crate) const IDS: IdTable = IdTable { name: "contribution_ids", by_project: false };

/// Of both tables that hold contributions.
const COLUMNS: &[&str] = &[
    "id",
    "event_id",
    "action",
    "target_type",
    "target_id",
    "target_iid",
    "target_title",
    "project_id",
    "author_id",
    "created_at",
    "imported_from",
    "confidential",
    "target_author_id",
    "assignee_ids",
    "note",
    "push_data",
    "wiki_page",
    "partition",
    "offset",
];

/// Folds the topic of contribution events.
pub struct ContributionsFolder {
    framing: Framing,
    filters: PartitionFilters,
}

impl ContributionsFolder {
    /// `filter_bytes` is what the filter of a partition's ids may take.
    pub fn new(framing: Framing, filter_bytes: usize) -> Self {
        Self { framing, filters: PartitionFilters::new(IDS, filter_bytes) }
    }
}

impl Folder for ContributionsFolder {
    fn topic(&self) -> &'static str {
        topics::CONTRIBUTIONS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[CONTRIBUTIONS, PROJECT_CONTRIBUTIONS, CONTRIBUTION_PROJECTS, IDS.name, dead_letters::TABLE]
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        &[RawTable { name: CONTRIBUTIONS, of_topic: Some("true"), has_timestamp: false }, dead_letters::RAW]
    }

    fn prepare<'a>(
        &'a self,
        store: &'a Store,
        partition: u32,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Option<SharedFilter>, StoreError>> {
        self.filters.load(store, partition, progress).map_ok(Some).boxed()
    }

    fn letters(&self, partition: u32) -> DeadLetters {
        let mut letters = DeadLetters::new(self.topic(), partition);
        letters.set_framing(self.framing);
        letters
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        let rows = BatchRows::new(self.topic(), partition, CONTRIBUTIONS, COLUMNS).with_framing(self.framing);
        let ids = BatchIds::new(&self.filters, partition);
        Box::new(ContributionsFold { framing: self.framing, rows, by_project: BTreeMap::new(), ids })
    }
}

struct ContributionsFold {
    framing: Framing,
    rows: BatchRows,
    /// What happened in projects, by month.
    by_project: BTreeMap<u32, InProjects>,
    ids: BatchIds<Places>,
}

/// Where the rows of a contribution that is held would have been written.
struct Places {
    day: u16,
    row_at: usize,
    project_row_at: usize,
}

#[derive(Default)]
struct InProjects {
    rows: RowWriter,
    /// (author, project) -> when they last contributed.
    latest: BTreeMap<(i64, i64), i64>,
}

impl Fold for ContributionsFold {
    fn add(&mut self, record: &LogRecord) {
        let contribution = match Contribution::decode_framed(self.framing, &record.value) {
            Ok(contribution) => contribution,
            Err(error) => return self.rows.set_aside_unreadable(record, &error),
        };
        let Some(day) = day_of(contribution.created_at) else {
            return self.rows.set_aside(record, DropReason::Invalid, "created_at is outside of 1970 to 2149");
        };
        if !contribution.client_event_id {
            return self.add_contribution(record.offset, &contribution, day);
        }
        if day_of(contribution.received_at).is_none() {
            return self.rows.set_aside(
                record,
                DropReason::Invalid,
                "received_at is outside of 1970 to 2149",
            );
        }
        let id = ClientId {
            project_id: 0,
            event_id: contribution.event_id,
            received_at: contribution.received_at,
            offset: record.offset,
        };
        match self.ids.meet(&id) {
            Known::New => self.add_contribution(record.offset, &contribution, day),
            Known::Repeated => self.rows.drop_by(DropReason::Duplicate, 1),
            Known::Perhaps => {
                let row_at = self.rows.row(day, contribution.received_at).position();
                let project_row_at = self.in_projects(day).rows.position();
                self.ids.hold(record, id, Places { day, row_at, project_row_at });
            }
        }
    }

    fn doubts(&self) -> Option<Doubts> {
        self.ids.doubts()
    }

    fn settle(&mut self, repeated: &FxHashSet<u64>) {
        let settled = self.ids.settle(repeated);
        self.rows.drop_by(DropReason::Duplicate, settled.repetitions);
        let mut rows: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        let mut project_rows: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for (record, places) in settled.new {
            let contribution = Contribution::decode_framed(self.framing, &record.value);
            let contribution = contribution.expect("the record was read when it was held");
            let month = self.rows.month_of(places.day);
            let row = row(self.rows.partition, record.offset, &contribution);
            if let Some(project_id) = project_of(&contribution) {
                self.in_projects(places.day).note(project_id, &contribution);
                project_rows.entry(month).or_default().push((places.project_row_at, row.clone()));
            }
            rows.entry(month).or_default().push((places.row_at, row));
        }
        self.rows.interleave(rows);
        for (month, rows) in project_rows {
            let in_projects = self.by_project.entry(month).or_default();
            in_projects.rows = std::mem::take(&mut in_projects.rows).interleaved(rows);
        }
    }

    fn finish(self: Box<Self>) -> Folded {
        let others = inserts(self.by_project).into_iter().chain(self.ids.finish()).collect();
        self.rows.finish(others)
    }
}

impl ContributionsFold {
    fn add_contribution(&mut self, offset: u64, contribution: &Contribution, day: u16) {
        let row = row(self.rows.partition, offset, contribution);
        self.rows.row(day, contribution.received_at).append(&row);
        let Some(project_id) = project_of(contribution) else { return };
        let in_projects = self.in_projects(day);
        in_projects.rows.append(&row);
        in_projects.note(project_id, contribution);
    }

    fn in_projects(&mut self, day: u16) -> &mut InProjects {
        self.by_project.entry(self.rows.month_of(day)).or_default()
    }
}

impl InProjects {
    fn note(&mut self, project_id: i64, contribution: &Contribution) {
        let latest = self.latest.entry((contribution.author_id, project_id)).or_insert(i64::MIN);
        *latest = contribution.created_at.max(*latest);
    }
}

fn project_of(contribution: &Contribution) -> Option<i64> {
    contribution.project_id.filter(|id| *id != 0)
}

fn inserts(by_project: BTreeMap<u32, InProjects>) -> Vec<TableInsert> {
    let of_month = |(month, in_projects): (u32, InProjects)| {
        let mut projects = RowWriter::default();
        for ((author_id, project_id), latest) in in_projects.latest {
            projects.i64(author_id);
            projects.i64(project_id);
            projects.i64(latest);
            projects.end_row();
        }
        [
            in_projects.rows.into_insert(PROJECT_CONTRIBUTIONS, COLUMNS, month),
            projects.into_insert(CONTRIBUTION_PROJECTS, &["author_id", "project_id", "latest"], month),
        ]
    };
    let by_project = by_project.into_iter().filter(|(_, in_projects)| !in_projects.rows.is_empty());
    by_project.flat_map(of_month).collect()
}

fn row(partition: u32, offset: u64, contribution: &Contribution) -> RowWriter {
    let mut row = RowWriter::default();
    row.u64(contribution.id as u64);
    row.uuid(contribution.event_id);
    row.string(contribution.action.as_str());
    row.string(contribution.target_type.map_or("", |kind| kind.as_str()));
    row.i64(contribution.target_id.unwrap_or_default());
    row.i64(contribution.target_iid.unwrap_or_default());
    row.string(contribution.target_title.as_deref().unwrap_or_default());
    row.i64(contribution.project_id.unwrap_or_default());
    row.i64(contribution.author_id);
    row.i64(contribution.created_at);
    row.string(contribution.imported_from.as_deref().unwrap_or_default());
    row.bool(contribution.confidential);
    row.i64(contribution.target_author_id.unwrap_or_default());
    row.length(contribution.assignee_ids.len());
    for id in &contribution.assignee_ids {
        row.i64(*id);
    }
    row.string(&contribution.note.as_ref().map(note_json).unwrap_or_default());
    row.string(&contribution.push_data.as_ref().map(push_data_json).unwrap_or_default());
    row.string(&contribution.wiki_page.as_ref().map(wiki_page_json).unwrap_or_default());
    row.u32(partition);
    row.u64(offset);
    row.end_row();
    row
}

fn note_json(note: &Note) -> String {
    let object_or_null = |text: &Option<String>| {
        text.as_ref().map_or(Value::Null, |text| serde_json::from_str(text).unwrap_or(Value::Null))
    };
    json!({
        "id": note.id,
        "type": note.kind,
        "body": note.body,
        "attachment": object_or_null(&note.attachment),
        "created_at": note.created_at,
        "updated_at": note.updated_at,
        "system": note.system,
        "noteable_id": note.noteable_id,
        "noteable_type": note.noteable_type,
        "noteable_iid": note.noteable_iid,
        "resolvable": note.resolvable,
        "confidential": note.confidential,
        "internal": note.internal,
        "commands_changes": object_or_null(&note.commands_changes),
    })
    .to_string()
}

fn push_data_json(push: &PushData) -> String {
    json!({
        "commit_count": push.commit_count,
        "action": push.action.as_str(),
        "ref_type": push.ref_type.as_str(),
        "commit_from": push.commit_from,
        "commit_to": push.commit_to,
        "ref": push.ref_name,
        "commit_title": push.commit_title,
        "ref_count": push.ref_count,
    })
    .to_string()
}

fn wiki_page_json(page: &WikiPage) -> String {
    json!({
        "format": page.format,
        "slug": page.slug,
        "title": page.title,
        "wiki_page_meta_id": page.wiki_page_meta_id,
    })
    .to_string()
}
