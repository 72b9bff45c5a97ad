//! One JSON object to one contribution: the record's rules, and what the caller may say for others.

use jiff::Timestamp;
use serde_json::{Map, Value};
use tally_directory::{Principal, ProjectLookup};
use tally_schemas::Contribution;
use tally_schemas::contribution::{Note, PushData, WikiPage};
use tally_service::api::ApiError;

use super::fields::Fields;
use crate::admit::{RANDOM_BYTES_PER_ID, new_event_id};
use crate::service::Inner;

/// Reads the records of one caller's request.
pub(super) struct Reader<'i> {
    ingest: &'i Inner,
    caller: &'i Principal,
    now: Timestamp,
}

impl<'i> Reader<'i> {
    pub(super) fn new(ingest: &'i Inner, caller: &'i Principal, now: Timestamp) -> Self {
        Self { ingest, caller, now }
    }

    /// The request has more records than one may have.
    pub(super) fn too_many(&self) -> ApiError {
        let limit = self.ingest.config.max_contributions;
        ApiError::BadRequest(format!("Maximum {limit} contributions allowed in one request.").into())
    }

    /// The contribution in `object`, which is called `name` in problems. To be used only without problems.
    /// [`ApiError::Forbidden`] if it is somebody else's and the caller is no administrator.
    pub(super) fn read(
        &self,
        object: &Map<String, Value>,
        name: &str,
        problems: &mut Vec<String>,
    ) -> Result<Option<Contribution>, ApiError> {
        let limit = self.ingest.config.max_contribution_text_bytes;
        let mut fields = Fields::new(object, name.to_owned(), limit, problems);
        let author_id = fields.id("author_id").unwrap_or(self.caller.user_id);
        if author_id != self.caller.user_id && !self.caller.admin {
            return Err(ApiError::Forbidden);
        }
        let Some(action) = fields.required("action", Fields::choice) else { return Ok(None) };
        let event_id = fields.uuid("event_id");
        let received_at = self.now.as_millisecond();
        let created_at = self.created_at(&mut fields);
        let contribution = Contribution {
            event_id: event_id.unwrap_or_else(|| self.new_event_id()),
            id: self.id(&mut fields),
            action,
            target_type: fields.choice("target_type"),
            target_id: fields.id("target_id"),
            target_iid: fields.id("target_iid"),
            target_title: fields.text("target_title"),
            project_id: fields.id("project_id").filter(|id| self.may_read(*id)),
            author_id,
            created_at,
            received_at,
            imported_from: fields.text("imported_from"),
            confidential: fields.boolean("confidential"),
            note: fields.nested("note").and_then(|mut note| read_note(&mut note, created_at)),
            push_data: fields.nested("push_data").and_then(|mut push| read_push(&mut push)),
            wiki_page: fields.nested("wiki_page").and_then(|mut page| read_wiki_page(&mut page)),
            client_event_id: event_id.is_some(),
            target_author_id: fields.id("target_author_id"),
            assignee_ids: fields.ids("assignee_ids"),
        };
        Ok(Some(contribution))
    }

    /// An import keeps the ids it has; everybody else is given one.
    fn id(&self, fields: &mut Fields<'_, '_>) -> i64 {
        let given = if self.caller.admin { fields.id("id") } else { None };
        given.unwrap_or_else(|| self.ingest.contribution_ids.next(self.now))
    }

    /// When it happened, now by default. Only an administrator may tell of times before those that events are accepted
    /// from; a record has no place to note a clamp, so that others are refused.
    fn created_at(&self, fields: &mut Fields<'_, '_>) -> i64 {
        let config = &self.ingest.config;
        let now = self.now.as_millisecond();
        let Some(given) = fields.timestamp("created_at") else { return now };
        let earliest = if self.caller.admin { 0 } else { now - i64::from(config.max_event_age_s) * 1000 };
        if !(earliest..=now + i64::from(config.max_event_lead_s) * 1000).contains(&given) {
            fields.problem("created_at", "is invalid");
        }
        given
    }

    /// A project that the caller can't read counts as absent.
    fn may_read(&self, project_id: i64) -> bool {
        let lookup = self.ingest.access.directory.project(Some(self.caller), project_id);
        lookup != ProjectLookup::Absent
    }

    fn new_event_id(&self) -> uuid::Uuid {
        let mut random = [0; RANDOM_BYTES_PER_ID];
        self.ingest.randomness.fill(&mut random);
        new_event_id(self.now.as_millisecond(), &random)
    }
}

fn read_note(fields: &mut Fields<'_, '_>, contribution_created_at: i64) -> Option<Note> {
    let id = fields.required("id", Fields::id);
    let created_at = fields.timestamp("created_at").unwrap_or(contribution_created_at);
    let updated_at = fields.timestamp("updated_at").unwrap_or(created_at);
    Some(Note {
        kind: fields.text("type"),
        body: fields.text("body").unwrap_or_default(),
        attachment: fields.json("attachment"),
        created_at,
        updated_at,
        system: fields.boolean("system"),
        noteable_id: fields.id("noteable_id"),
        noteable_type: fields.text("noteable_type"),
        noteable_iid: fields.id("noteable_iid"),
        resolvable: fields.boolean("resolvable"),
        confidential: fields.boolean("confidential"),
        internal: fields.boolean("internal"),
        commands_changes: fields.json("commands_changes").filter(|text| text != "{}"),
        id: id?,
    })
}

fn read_push(fields: &mut Fields<'_, '_>) -> Option<PushData> {
    let action = fields.required("action", Fields::choice);
    let ref_type = fields.required("ref_type", Fields::choice);
    Some(PushData {
        commit_count: fields.integer("commit_count").unwrap_or(0),
        commit_from: fields.text("commit_from"),
        commit_to: fields.text("commit_to"),
        ref_name: fields.text("ref"),
        commit_title: fields.text("commit_title"),
        ref_count: fields.integer("ref_count"),
        action: action?,
        ref_type: ref_type?,
    })
}

fn read_wiki_page(fields: &mut Fields<'_, '_>) -> Option<WikiPage> {
    let slug = fields.required("slug", Fields::text);
    let wiki_page_meta_id = fields.required("wiki_page_meta_id", Fields::id);
    Some(WikiPage {
        format: fields.text("format").unwrap_or_else(|| "markdown".to_owned()),
        title: fields.text("title").unwrap_or_default(),
        slug: slug?,
        wiki_page_meta_id: wiki_page_meta_id?,
    })
}
