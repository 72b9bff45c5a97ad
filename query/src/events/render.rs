//! A contribution as the Events API shows it.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::row::ContributionRow;

/// Who did it, as the directory knows them now; a deleted user is unknown.
#[derive(Debug, Clone)]
pub(super) struct Author {
    pub id: i64,
    pub username: String,
    pub name: String,
    pub state: &'static str,
    pub web_url: String,
}

impl Author {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "username": self.username,
            "public_email": "",
            "name": self.name,
            "state": self.state,
            "locked": false,
            "avatar_url": null,
            "web_url": self.web_url,
        })
    }
}

/// The keys of a note, in GitLab's order; those that the record does not hold are null.
const NOTE_KEYS: [&str; 18] = [
    "id",
    "type",
    "body",
    "attachment",
    "author",
    "created_at",
    "updated_at",
    "system",
    "noteable_id",
    "noteable_type",
    "project_id",
    "resolvable",
    "confidential",
    "internal",
    "imported",
    "imported_from",
    "noteable_iid",
    "commands_changes",
];

const PUSH_KEYS: [&str; 8] =
    ["commit_count", "action", "ref_type", "commit_from", "commit_to", "ref", "commit_title", "ref_count"];

const WIKI_KEYS: [&str; 4] = ["format", "slug", "title", "wiki_page_meta_id"];

/// The event's JSON. `title` is always null, as in GitLab's older documents.
pub(super) fn event(row: &ContributionRow, author: Option<&Author>) -> Value {
    let push_data = object(&row.push_data);
    let is_import = !row.imported_from.is_empty();
    let imported_from = if is_import { row.imported_from.as_str() } else { "none" };
    let mut event = json!({
        "id": row.id,
        "title": null,
        "project_id": some_id(row.project_id),
        "action_name": action_name(row, push_data.as_ref()),
        "target_id": some_id(row.target_id),
        "target_iid": some_id(row.target_iid).or(some_id(row.target_id)),
        "target_type": some_text(&row.target_type),
        "author_id": row.author_id,
        "target_title": some_text(&row.target_title),
        "created_at": time(row.created_at_ms),
    });
    if let Some(mut note) = object(&row.note) {
        note.insert("author".to_owned(), author.map_or(Value::Null, Author::to_json));
        note.insert("project_id".to_owned(), some_id(row.project_id).into());
        note.insert("imported".to_owned(), is_import.into());
        note.insert("imported_from".to_owned(), imported_from.into());
        for key in ["created_at", "updated_at"] {
            if let Some(milliseconds) = note.get(key).and_then(Value::as_i64) {
                note.insert(key.to_owned(), time(milliseconds));
            }
        }
        event["note"] = with_keys(&note, &NOTE_KEYS);
    }
    if let Some(author) = author {
        event["author"] = author.to_json();
    }
    if let Some(wiki_page) = object(&row.wiki_page) {
        event["wiki_page"] = with_keys(&wiki_page, &WIKI_KEYS);
    }
    event["imported"] = is_import.into();
    event["imported_from"] = imported_from.into();
    if let Some(push_data) = push_data {
        event["push_data"] = with_keys(&push_data, &PUSH_KEYS);
    }
    event["author_username"] = author.map(|author| author.username.clone()).into();
    event
}

/// GitLab's words for what was done.
fn action_name(row: &ContributionRow, push_data: Option<&Map<String, Value>>) -> &'static str {
    let is_design = row.target_type == "DesignManagement::Design";
    let is_wiki = row.target_type == "WikiPage::Meta";
    let is_project = row.target_type.is_empty() || row.target_type == "Project";
    match row.action.as_str() {
        "pushed" => match push_data.and_then(|push| push.get("action")).and_then(Value::as_str) {
            Some("created") => "pushed new",
            Some("removed") => "deleted",
            _ => "pushed to",
        },
        "created" if is_wiki => "created",
        "created" if is_design => "added",
        "created" if is_project && !row.imported_from.is_empty() => "imported",
        "created" if is_project => "created",
        "updated" if is_wiki || is_design => "updated",
        "closed" => "closed",
        "merged" => "accepted",
        "approved" => "approved",
        "commented" => "commented on",
        "joined" => "joined",
        "left" => "left",
        "expired" => "removed due to membership expiration from",
        "destroyed" if is_design => "removed",
        "destroyed" => "destroyed",
        // Created, updated and reopened targets of all other kinds.
        _ => "opened",
    }
}

fn with_keys(object: &Map<String, Value>, keys: &[&str]) -> Value {
    let pair = |key: &&str| ((*key).to_owned(), object.get(*key).cloned().unwrap_or(Value::Null));
    Value::Object(keys.iter().map(pair).collect())
}

fn object(text: &str) -> Option<Map<String, Value>> {
    if text.is_empty() { None } else { serde_json::from_str(text).ok() }
}

fn some_id(id: i64) -> Option<i64> {
    (id != 0).then_some(id)
}

fn some_text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// UTC with milliseconds and Z.
fn time(milliseconds: i64) -> Value {
    let instant = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(action: &str, target_type: &str) -> ContributionRow {
        ContributionRow { action: action.into(), target_type: target_type.into(), ..Default::default() }
    }

    #[test]
    fn actions_are_named_as_gitlab_names_them() {
        for (action, target_type, push, name) in [
            ("pushed", "", "created", "pushed new"),
            ("pushed", "", "removed", "deleted"),
            ("pushed", "", "pushed", "pushed to"),
            ("created", "Issue", "", "opened"),
            ("created", "WikiPage::Meta", "", "created"),
            ("created", "", "", "created"),
            ("created", "DesignManagement::Design", "", "added"),
            ("updated", "WikiPage::Meta", "", "updated"),
            ("updated", "DesignManagement::Design", "", "updated"),
            ("updated", "Issue", "", "opened"),
            ("closed", "Issue", "", "closed"),
            ("reopened", "Issue", "", "opened"),
            ("merged", "MergeRequest", "", "accepted"),
            ("approved", "MergeRequest", "", "approved"),
            ("commented", "Note", "", "commented on"),
            ("joined", "", "", "joined"),
            ("left", "", "", "left"),
            ("expired", "", "", "removed due to membership expiration from"),
            ("destroyed", "Milestone", "", "destroyed"),
            ("destroyed", "DesignManagement::Design", "", "removed"),
        ] {
            let push = json!({"action": push});
            assert_eq!(
                action_name(&row(action, target_type), push.as_object()),
                name,
                "{action} {target_type}"
            );
        }
        let imported = ContributionRow { imported_from: "github".into(), ..row("created", "") };
        assert_eq!(action_name(&imported, None), "imported");
    }

    #[test]
    fn an_event_has_its_parts_only_where_they_apply() {
        let author = Author {
            id: 7,
            username: "alice".into(),
            name: "Alice".into(),
            state: "active",
            web_url: "https://tally.example.com/alice".into(),
        };
        let plain = ContributionRow {
            id: 1,
            target_id: 160,
            target_title: "A title".into(),
            project_id: 5,
            author_id: 7,
            created_at_ms: 1_763_461_800_250,
            ..row("closed", "Issue")
        };
        let push_data = json!({"commit_count": 1, "action": "pushed", "ref_type": "branch", "ref": "main"});
        let push = ContributionRow { push_data: push_data.to_string(), ..row("pushed", "") };
        let note = json!({"id": 9, "body": "Hm.", "created_at": 1_763_461_800_000_i64, "system": false});
        let note = ContributionRow {
            note: note.to_string(),
            imported_from: "github".into(),
            target_iid: 3,
            ..row("commented", "Note")
        };
        let events = [event(&plain, Some(&author)), event(&push, None), event(&note, Some(&author))];
        insta::assert_json_snapshot!(events);
    }
}
