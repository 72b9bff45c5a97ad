//! Contribution events: each becomes a row that the Events API lists by its author, the same row once more in the table
//! that lists projects, and the mark that its author has contributed to its project.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tally_eventlog::LogRecord;
use tally_schemas::contribution::{Note, PushData, WikiPage};
use tally_schemas::{Contribution, DropReason, Framing, topics};

use super::batch_rows::BatchRows;
use super::calendar::day_of;
use super::{Fold, Folded, Folder, TableInsert, dead_letters};
use crate::row_binary::RowWriter;

const CONTRIBUTIONS: &str = "contributions";
const PROJECT_CONTRIBUTIONS: &str = "project_contributions";
const CONTRIBUTION_PROJECTS: &str = "contribution_projects";

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
}

impl ContributionsFolder {
    pub fn new(framing: Framing) -> Self {
        Self { framing }
    }
}

impl Folder for ContributionsFolder {
    fn topic(&self) -> &'static str {
        topics::CONTRIBUTIONS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[CONTRIBUTIONS, PROJECT_CONTRIBUTIONS, CONTRIBUTION_PROJECTS, dead_letters::TABLE]
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        let rows = BatchRows::new(self.topic(), partition, CONTRIBUTIONS, COLUMNS);
        Box::new(ContributionsFold { framing: self.framing, rows, by_project: BTreeMap::new() })
    }
}

struct ContributionsFold {
    framing: Framing,
    rows: BatchRows,
    /// What happened in projects, by month.
    by_project: BTreeMap<u32, InProjects>,
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
        match day_of(contribution.created_at) {
            Some(day) => self.add_contribution(record, &contribution, day),
            None => self.rows.set_aside(record, DropReason::Invalid, "created_at is outside of 1970 to 2149"),
        }
    }

    fn finish(self: Box<Self>) -> Folded {
        self.rows.finish(inserts(self.by_project))
    }
}

impl ContributionsFold {
    fn add_contribution(&mut self, record: &LogRecord, contribution: &Contribution, day: u16) {
        let row = row(self.rows.partition, record.offset, contribution);
        self.rows.row(day, contribution.received_at).append(&row);
        let Some(project_id) = contribution.project_id.filter(|id| *id != 0) else { return };
        let in_projects = self.by_project.entry(self.rows.month_of(day)).or_default();
        in_projects.rows.append(&row);
        let latest = in_projects.latest.entry((contribution.author_id, project_id)).or_insert(i64::MIN);
        *latest = contribution.created_at.max(*latest);
    }
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
    by_project.into_iter().flat_map(of_month).collect()
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
