//! A contribution as the Events API shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tally_directory::User;
use utoipa::ToSchema;

use super::row::ContributionRow;

/// The longest title of a commit that is shown, in characters; what is longer ends with three dots.
const MAX_COMMIT_TITLE: usize = 70;

/// What `imported_from` says of events that happened here.
const NOT_IMPORTED: &str = "none";

/// One event. Keys that are not always there are there where they apply.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    id: u64,
    /// Always null, as in GitLab's older documents.
    title: Option<String>,
    project_id: Option<i64>,
    /// What was done, in words.
    action_name: &'static str,
    target_id: Option<i64>,
    /// The target's number within its project; where it has none, its id.
    target_iid: Option<i64>,
    target_type: Option<String>,
    author_id: i64,
    target_title: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    note: Option<Note>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    author: Option<Author>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wiki_page: Option<WikiPage>,
    imported: bool,
    /// The system it was imported from, or `none`.
    imported_from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    push_data: Option<PushData>,
    /// Null if the author was deleted.
    author_username: Option<String>,
}

/// Who did it, as the directory knows them now.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Author {
    id: i64,
    username: String,
    public_email: String,
    name: String,
    /// `active`, `blocked` or `deactivated`.
    state: &'static str,
    locked: bool,
    avatar_url: Option<String>,
    web_url: String,
}

impl Author {
    /// The user's block; `base` is the instance's address.
    pub(super) fn of(user: &User, base: &str) -> Self {
        Self {
            id: user.id,
            username: user.username.clone(),
            public_email: user.public_email.clone(),
            name: user.name.clone(),
            state: user.state.as_str(),
            locked: user.locked,
            avatar_url: user.avatar_url.clone(),
            web_url: format!("{base}/{}", user.username),
        }
    }
}

/// The comment of a `commented on` event.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's own fields")]
pub(crate) struct Note {
    id: i64,
    r#type: Option<String>,
    body: String,
    attachment: Value,
    /// Null if the author was deleted.
    author: Option<Author>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    system: bool,
    noteable_id: Option<i64>,
    noteable_type: Option<String>,
    project_id: Option<i64>,
    resolvable: bool,
    confidential: bool,
    internal: bool,
    imported: bool,
    imported_from: String,
    noteable_iid: Option<i64>,
    commands_changes: Value,
}

/// What a push did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PushData {
    commit_count: i64,
    /// `created`, `removed` or `pushed`.
    action: String,
    /// `branch` or `tag`.
    ref_type: String,
    /// The commit before; null for a new ref.
    commit_from: Option<String>,
    /// The commit after; null for a removed ref.
    commit_to: Option<String>,
    r#ref: Option<String>,
    commit_title: Option<String>,
    /// How many refs, for pushes of many at once.
    ref_count: Option<i64>,
}

/// The page of a wiki event.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "GitLab's own names")]
pub(crate) struct WikiPage {
    format: String,
    slug: String,
    title: String,
    wiki_page_meta_id: i64,
}

/// A note as the table holds it; times are milliseconds since the epoch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "the record's own fields")]
struct StoredNote {
    id: i64,
    r#type: Option<String>,
    body: String,
    attachment: Value,
    created_at: i64,
    updated_at: i64,
    system: bool,
    noteable_id: Option<i64>,
    noteable_type: Option<String>,
    noteable_iid: Option<i64>,
    resolvable: bool,
    confidential: bool,
    internal: bool,
    commands_changes: Value,
}

/// A push as the table holds it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StoredPush {
    commit_count: i64,
    action: String,
    ref_type: String,
    commit_from: Option<String>,
    commit_to: Option<String>,
    r#ref: Option<String>,
    commit_title: Option<String>,
    ref_count: Option<i64>,
}

/// The event with its author, who is `None` if they were deleted.
pub(super) fn event(row: &ContributionRow, author: Option<&Author>) -> Event {
    let push: Option<StoredPush> = stored(&row.push_data);
    Event {
        id: row.id,
        title: None,
        project_id: some_id(row.project_id),
        action_name: action_name(row, push.as_ref()),
        target_id: some_id(row.target_id),
        target_iid: some_id(row.target_iid).or(some_id(row.target_id)),
        target_type: some_text(&row.target_type),
        author_id: row.author_id,
        target_title: some_text(&row.target_title),
        created_at: time(row.created_at_ms),
        note: stored(&row.note).map(|stored| note(stored, row, author)),
        author: author.cloned(),
        wiki_page: stored(&row.wiki_page),
        imported: is_imported(row),
        imported_from: imported_from(row),
        push_data: push.map(push_data),
        author_username: author.map(|author| author.username.clone()),
    }
}

fn note(stored: StoredNote, row: &ContributionRow, author: Option<&Author>) -> Note {
    let commands_changes =
        if stored.commands_changes.is_null() { json!({}) } else { stored.commands_changes };
    Note {
        id: stored.id,
        r#type: stored.r#type,
        body: stored.body,
        attachment: stored.attachment,
        author: author.cloned(),
        created_at: time(stored.created_at),
        updated_at: time(stored.updated_at),
        system: stored.system,
        noteable_id: stored.noteable_id,
        noteable_type: stored.noteable_type,
        project_id: some_id(row.project_id),
        resolvable: stored.resolvable,
        confidential: stored.confidential,
        internal: stored.internal,
        imported: is_imported(row),
        imported_from: imported_from(row),
        noteable_iid: stored.noteable_iid,
        commands_changes,
    }
}

fn push_data(stored: StoredPush) -> PushData {
    PushData {
        commit_count: stored.commit_count,
        commit_from: stored.commit_from.filter(|_| stored.action != "created"),
        commit_to: stored.commit_to.filter(|_| stored.action != "removed"),
        action: stored.action,
        ref_type: stored.ref_type,
        r#ref: stored.r#ref,
        commit_title: stored.commit_title.map(shortened),
        ref_count: stored.ref_count.filter(|count| *count > 1),
    }
}

fn shortened(title: String) -> String {
    const DOTS: &str = "...";
    if title.chars().count() <= MAX_COMMIT_TITLE {
        return title;
    }
    title.chars().take(MAX_COMMIT_TITLE - DOTS.len()).chain(DOTS.chars()).collect()
}

fn is_imported(row: &ContributionRow) -> bool {
    !row.imported_from.is_empty() && row.imported_from != NOT_IMPORTED
}

fn imported_from(row: &ContributionRow) -> String {
    if is_imported(row) { row.imported_from.clone() } else { NOT_IMPORTED.to_owned() }
}

/// GitLab's words for what was done.
fn action_name(row: &ContributionRow, push: Option<&StoredPush>) -> &'static str {
    let is_design = row.target_type == "DesignManagement::Design";
    let is_wiki = row.target_type == "WikiPage::Meta";
    let is_project = row.target_type.is_empty() || row.target_type == "Project";
    match row.action.as_str() {
        "pushed" => match push.map(|push| push.action.as_str()) {
            Some("created") => "pushed new",
            Some("removed") => "deleted",
            _ => "pushed to",
        },
        "created" if is_wiki => "created",
        "created" if is_design => "added",
        "created" if is_project && is_imported(row) => "imported",
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

/// What a column of JSON text holds; nothing, if it is empty or not what it should be.
fn stored<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    if text.is_empty() { None } else { serde_json::from_str(text).ok() }
}

fn some_id(id: i64) -> Option<i64> {
    (id != 0).then_some(id)
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// UTC with milliseconds and Z.
fn time(milliseconds: i64) -> String {
    let instant = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
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
            let push = StoredPush { action: push.into(), ..StoredPush::default() };
            assert_eq!(action_name(&row(action, target_type), Some(&push)), name, "{action} {target_type}");
        }
        let imported = ContributionRow { imported_from: "github".into(), ..row("created", "") };
        assert_eq!(action_name(&imported, None), "imported");
    }

    #[test]
    fn an_event_has_its_parts_only_where_they_apply() {
        let alice = User { id: 7, username: "alice".into(), name: "Alice".into(), ..User::default() };
        let author = Author::of(&alice, "https://tally.example.com");
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
    #[test]
    fn push_data_tells_no_commit_that_is_not_there() {
        let title = "ä".repeat(71);
        let stored = |action: &str| StoredPush {
            action: action.into(),
            commit_from: Some("a".into()),
            commit_to: Some("b".into()),
            commit_title: Some(title.clone()),
            ref_count: Some(1),
            ..StoredPush::default()
        };
        for (action, from, to) in
            [("created", None, Some("b")), ("removed", Some("a"), None), ("pushed", Some("a"), Some("b"))]
        {
            let push = push_data(stored(action));
            assert_eq!((push.commit_from.as_deref(), push.commit_to.as_deref()), (from, to), "{action}");
            assert_eq!(push.commit_title.unwrap(), format!("{}...", "ä".repeat(67)));
            assert_eq!(push.ref_count, None);
        }
        let many = push_data(StoredPush { ref_count: Some(3), ..stored("pushed") });
        assert_eq!(many.ref_count, Some(3));
    }
}
