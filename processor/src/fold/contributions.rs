//! Contribution events: each becomes a row that the Events API lists.

use serde_json::{Value, json};
use tally_eventlog::LogRecord;
use tally_schemas::contribution::{Note, PushData, WikiPage};
use tally_schemas::{Contribution, DropReason, Framing, topics};

use super::batch_rows::BatchRows;
use super::calendar::day_of;
use super::{Fold, Folded, Folder, dead_letters};

const CONTRIBUTIONS: &str = "contributions";
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
        &[CONTRIBUTIONS, dead_letters::TABLE]
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        let rows = BatchRows::new(self.topic(), partition, CONTRIBUTIONS, COLUMNS);
        Box::new(ContributionsFold { framing: self.framing, rows })
    }
}

struct ContributionsFold {
    framing: Framing,
    rows: BatchRows,
}

impl Fold for ContributionsFold {
    fn add(&mut self, record: &LogRecord) {
        let contribution = match Contribution::decode_framed(self.framing, &record.value) {
            Ok(contribution) => contribution,
            Err(error) => return self.rows.set_aside_unreadable(record, &error),
        };
        match day_of(contribution.created_at) {
            Some(day) => self.write_row(record, &contribution, day),
            None => self.rows.set_aside(record, DropReason::Invalid, "created_at is outside of 1970 to 2149"),
        }
    }

    fn finish(self: Box<Self>) -> Folded {
        self.rows.finish(Vec::new())
    }
}

impl ContributionsFold {
    fn write_row(&mut self, record: &LogRecord, contribution: &Contribution, day: u16) {
        let partition = self.rows.partition;
        let rows = self.rows.row(day, contribution.received_at);
        rows.u64(contribution.id as u64);
        rows.uuid(contribution.event_id);
        rows.string(contribution.action.as_str());
        rows.string(contribution.target_type.map_or("", |kind| kind.as_str()));
        rows.i64(contribution.target_id.unwrap_or_default());
        rows.i64(contribution.target_iid.unwrap_or_default());
        rows.string(contribution.target_title.as_deref().unwrap_or_default());
        rows.i64(contribution.project_id.unwrap_or_default());
        rows.i64(contribution.author_id);
        rows.i64(contribution.created_at);
        rows.string(contribution.imported_from.as_deref().unwrap_or_default());
        rows.bool(contribution.confidential);
        rows.string(&contribution.note.as_ref().map(note_json).unwrap_or_default());
        rows.string(&contribution.push_data.as_ref().map(push_data_json).unwrap_or_default());
        rows.string(&contribution.wiki_page.as_ref().map(wiki_page_json).unwrap_or_default());
        rows.u32(partition);
        rows.u64(record.offset);
        rows.end_row();
    }
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
