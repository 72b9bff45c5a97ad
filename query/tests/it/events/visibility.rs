//! The visibility rules one by one: which readers of contracts/gitlab-events.md see which event, on every endpoint that
//! could show it.

use serde_json::{Value, json};

use super::contract::{DIRECTORY, token};
use super::insert;
use crate::app::{TestApp, with_app};

const READERS: [&str; 8] =
    ["anonymous", "outsider", "external", "guest", "assignee", "reporter", "owner", "root"];

const EVERYBODY: &str = "anonymous outsider external guest assignee reporter owner root";
const SIGNED_IN: &str = "outsider guest assignee reporter owner root";
const MEMBERS: &str = "guest reporter owner root";
const MEMBERS_OF_CLOSED: &str = "guest assignee reporter owner root";
const FROM_REPORTER: &str = "reporter owner root";

/// Action, target and what was commented on; the project; who sees it.
type Row = (&'static str, i64, &'static str);

/// Everybody who sees the event, by project: 30 is public, 31 internal, 32 private, 33 public with its parts for members
/// only, 34 public without its parts. `assignee` is a guest of 32 only; `reporter` and `owner` are members through groups,
/// `reporter` not of 30.
const ROWS: &[Row] = &[
    ("'joined', '', ''", 30, EVERYBODY),
    ("'joined', '', ''", 31, SIGNED_IN),
    ("'joined', '', ''", 32, MEMBERS_OF_CLOSED),
    ("'joined', '', ''", 33, EVERYBODY),
    ("'created', '', ''", 34, EVERYBODY),
    ("'pushed', '', ''", 30, EVERYBODY),
    ("'pushed', '', ''", 31, SIGNED_IN),
    ("'pushed', '', ''", 32, FROM_REPORTER),
    ("'pushed', '', ''", 33, MEMBERS),
    ("'pushed', '', ''", 34, "root"),
    ("'closed', 'Issue', ''", 30, EVERYBODY),
    ("'closed', 'WorkItem', ''", 32, MEMBERS_OF_CLOSED),
    ("'closed', 'Issue', ''", 33, MEMBERS),
    ("'closed', 'Issue', ''", 34, "root"),
    ("'merged', 'MergeRequest', ''", 30, EVERYBODY),
    ("'merged', 'MergeRequest', ''", 32, FROM_REPORTER),
    ("'merged', 'MergeRequest', ''", 33, MEMBERS),
    ("'merged', 'MergeRequest', ''", 34, "root"),
    ("'created', 'Snippet', ''", 30, EVERYBODY),
    ("'created', 'Snippet', ''", 33, MEMBERS),
    ("'created', 'Snippet', ''", 34, "root"),
    ("'updated', 'WikiPage::Meta', ''", 31, SIGNED_IN),
    ("'updated', 'WikiPage::Meta', ''", 33, MEMBERS),
    ("'updated', 'WikiPage::Meta', ''", 34, "root"),
    ("'created', 'DesignManagement::Design', ''", 30, EVERYBODY),
    ("'created', 'DesignManagement::Design', ''", 33, MEMBERS),
    ("'created', 'Milestone', ''", 30, EVERYBODY),
    ("'created', 'Milestone', ''", 33, MEMBERS),
    ("'created', 'Milestone', ''", 34, "root"),
    ("'commented', 'Note', 'Issue'", 32, MEMBERS_OF_CLOSED),
    ("'commented', 'Note', 'Issue'", 34, "root"),
    ("'commented', 'DiffNote', 'MergeRequest'", 30, EVERYBODY),
    ("'commented', 'DiffNote', 'MergeRequest'", 32, FROM_REPORTER),
    ("'commented', 'DiffNote', 'MergeRequest'", 33, MEMBERS),
    ("'commented', 'DiscussionNote', 'Commit'", 33, MEMBERS),
    ("'commented', 'Note', 'Commit'", 32, FROM_REPORTER),
    ("'commented', 'Note', 'Snippet'", 33, MEMBERS),
];

const COLUMNS: &str = "id, created_at, author_id, action, target_type, note, project_id, confidential, \
                       target_author_id, assignee_ids";

/// Action and target, the note, whether the target is confidential, its author, the assignees, and who sees it besides
/// those from reporter up.
type Confidential<'r> = (&'r str, &'r str, bool, i64, &'r str, &'r [&'r str]);

/// The events that a reader finds in the project and with its author.
async fn seen(app: &TestApp, reader: &str, project_id: i64, author: &str) -> Vec<i64> {
    let token = token(reader);
    let of_author = app.get(&format!("/api/v4/users/{author}/events?per_page=100"), &token).await.json();
    let of_author: Vec<&Value> =
        of_author.as_array().unwrap().iter().filter(|event| event["project_id"] == project_id).collect();
    let answer = app.get(&format!("/api/v4/projects/{project_id}/events?per_page=100"), &token).await;
    if answer.status == 404 {
        assert!(of_author.is_empty(), "{reader} sees nothing of a project that is not there for them");
        return Vec::new();
    }
    let of_project = answer.json();
    let ids =
        |events: &[&Value]| events.iter().map(|event| event["id"].as_i64().unwrap()).collect::<Vec<_>>();
    let of_project = ids(&of_project.as_array().unwrap().iter().collect::<Vec<_>>());
    assert_eq!(ids(&of_author), of_project, "{reader} sees the same on both endpoints of {project_id}");
    of_project
}

/// The ids of some rows: 1 is the first row.
fn newest_first<T>(rows: &[T], is_seen: impl Fn(&T) -> bool) -> Vec<i64> {
    let seen = rows.iter().enumerate().filter(|(_, row)| is_seen(row));
    seen.map(|(index, _)| index as i64 + 1).rev().collect()
}

#[test]
fn each_kind_of_event_is_seen_by_those_who_may_see_it() {
    with_app("events_visibility", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let rows = ROWS.iter().enumerate().map(|(id, (kind, project_id, _))| {
            let (kind, noteable) = kind.rsplit_once(", ").unwrap();
            let noteable = noteable.trim_matches('\'');
            let note = json!({"id": 1, "noteable_type": noteable}).to_string();
            let note = if noteable.is_empty() { "" } else { &note };
            format!("({}, '2026-11-10 10:00:00', 2, {kind}, '{note}', {project_id}, false, 0, [])", id + 1)
        });
        insert(&app, COLUMNS, &format!("VALUES {}", rows.collect::<Vec<_>>().join(", "))).await;
        for project_id in 30..=34 {
            for reader in READERS {
                let is_seen = |(_, project, who): &Row| {
                    *project == project_id && who.split(' ').any(|who| who == reader)
                };
                let expected = newest_first(ROWS, is_seen);
                assert_eq!(seen(&app, reader, project_id, "ann").await, expected, "{reader} in {project_id}");
            }
        }
    });
}

#[test]
fn what_is_confidential_is_for_reporters_authors_and_assignees() {
    with_app("events_confidential", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let note = |fact: &str| format!("{{\"id\": 1, \"noteable_type\": \"Issue\", \"{fact}\": true}}");
        // Ann does it all, assignee (9) and guest (5) are guests of the project as she is.
        let rows: [Confidential<'_>; 8] = [
            ("'closed', 'Issue'", "", true, 0, "[]", &["ann"]),
            ("'closed', 'Issue'", "", true, 2, "[]", &["ann"]),
            ("'closed', 'Issue'", "", true, 5, "[]", &["guest"]),
            ("'closed', 'Issue'", "", true, 5, "[9]", &["guest", "assignee"]),
            ("'commented', 'Note'", &note("internal"), false, 0, "[]", &["ann"]),
            ("'commented', 'Note'", &note("confidential"), false, 5, "[9]", &["ann", "guest", "assignee"]),
            ("'commented', 'Note'", &note("internal"), true, 5, "[]", &["guest"]),
            ("'created', 'DesignManagement::Design'", "", true, 5, "[9, 2]", &["ann", "guest", "assignee"]),
        ];
        let values = rows.iter().enumerate().map(|(id, (kind, note, confidential, author, assignees, _))| {
            format!(
                "({}, '2026-11-10 10:00:00', 2, {kind}, '{note}', 32, {confidential}, {author}, {assignees})",
                id + 1
            )
        });
        insert(&app, COLUMNS, &format!("VALUES {}", values.collect::<Vec<_>>().join(", "))).await;
        for reader in
            ["anonymous", "outsider", "former", "guest", "assignee", "ann", "reporter", "owner", "root"]
        {
            let is_reporter = ["reporter", "owner", "root"].contains(&reader);
            let expected = newest_first(&rows, |(.., others)| is_reporter || others.contains(&reader));
            assert_eq!(seen(&app, reader, 32, "ann").await, expected, "{reader}");
        }
        let answer = app.get("/api/v4/projects/32/events", &token("guest")).await;
        assert_eq!(answer.headers["x-total"], "8", "counted before what is confidential is left out");
    });
}

#[test]
fn profiles_memberships_and_events_without_project() {
    with_app("events_profiles", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let rows = "(1, '2026-11-10 10:00:00', 7, 'joined', '', '', 30, false, 0, []), \
                    (2, '2026-11-10 10:00:00', 7, 'joined', '', '', 32, false, 0, []), \
                    (3, '2026-11-10 10:00:00', 7, 'joined', '', '', 0, false, 0, []), \
                    (4, '2026-11-10 10:00:00', 7, 'joined', '', '', 999, false, 0, []), \
                    (5, '2026-11-10 10:00:00', 5, 'joined', '', '', 0, false, 0, []), \
                    (6, '2026-11-10 10:00:00', 5, 'joined', '', '', 32, false, 0, []), \
                    (7, '2026-11-10 10:00:00', 2, 'joined', '', '', 33, false, 0, [])";
        insert(&app, COLUMNS, &format!("VALUES {rows}")).await;
        for (path, reader, total, expected) in [
            ("/users/hermit/events", "anonymous", "0", json!([])),
            ("/users/hermit/events", "owner", "0", json!([])),
            ("/users/hermit/events", "hermit", "2", json!([3, 1])),
            ("/users/7/events", "root", "4", json!([4, 3, 2, 1])),
            ("/events", "hermit", "2", json!([3, 1])),
            ("/users/guest/events", "anonymous", "0", json!([])),
            ("/users/guest/events", "outsider", "0", json!([])),
            ("/users/guest/events", "assignee", "1", json!([6])),
            ("/users/guest/events", "guest", "2", json!([6, 5])),
            // Of the projects that one is a member of, whoever did it; not what one did elsewhere.
            ("/events?scope=all", "guest", "4", json!([7, 6, 2, 1])),
            ("/events?scope=all", "assignee", "2", json!([6, 2])),
            ("/events?scope=all", "reporter", "3", json!([7, 6, 2])),
            ("/events?scope=all", "hermit", "0", json!([])),
            ("/events?scope=all", "root", "0", json!([])),
            ("/events?scope=other", "guest", "2", json!([6, 5])),
        ] {
            let answer = app.get(&format!("/api/v4{path}"), &token(reader)).await;
            let events = answer.json();
            let ids: Vec<&Value> = events.as_array().unwrap().iter().map(|event| &event["id"]).collect();
            assert_eq!(
                (json!(ids), &answer.headers["x-total"]),
                (expected, &total.parse().unwrap()),
                "{path} {reader}"
            );
        }
    });
}

#[test]
fn where_no_projects_are_kept_events_are_their_authors_and_administrators() {
    with_app("events_as_given", |app| async move {
        let (users, _) = DIRECTORY.split_once("namespaces:").unwrap();
        let app = app.with_directory(users);
        let rows = "(1, '2026-11-10 10:00:00', 2, 'joined', '', '', 30, false, 0, []), \
                    (2, '2026-11-10 10:00:00', 5, 'joined', '', '', 30, false, 0, [])";
        insert(&app, COLUMNS, &format!("VALUES {rows}")).await;
        for (path, reader, expected) in [
            ("/users/ann/events", "anonymous", json!([])),
            ("/users/ann/events", "guest", json!([])),
            ("/users/ann/events", "ann", json!([1])),
            ("/users/ann/events", "root", json!([1])),
            ("/events", "ann", json!([1])),
            ("/events?scope=all", "ann", json!([1])),
            ("/projects/30/events", "ann", json!([1])),
            ("/projects/30/events", "outsider", json!([])),
            ("/projects/30/events", "root", json!([2, 1])),
        ] {
            let events = app.get(&format!("/api/v4{path}"), &token(reader)).await.json();
            let ids: Vec<&Value> = events.as_array().unwrap().iter().map(|event| &event["id"]).collect();
            assert_eq!(json!(ids), expected, "{path} {reader}");
        }
        assert_eq!(app.get("/api/v4/projects/30/events", "").await.status, 404);
    });
}
