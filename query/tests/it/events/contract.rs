//! contracts/gitlab-events.md, table by table.

use serde_json::{Value, json};

use super::insert;
use crate::app::{TestApp, with_app};

/// Every kind of reader and project that the tables name. The token of each user is `glpat-` and their name.
pub(super) const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, name: Root, admin: true}
  - {id: 2, username: ann, name: Ann A., public_email: ann@example.com, avatar_url: "https://tally.example.com/a.png"}
  - {id: 3, username: outsider}
  - {id: 4, username: external, external: true}
  - {id: 5, username: guest}
  - {id: 6, username: reporter}
  - {id: 7, username: hermit, private_profile: true}
  - {id: 8, username: blocked, state: blocked, locked: true}
  - {id: 9, username: assignee}
  - {id: 10, username: owner}
  - {id: 11, username: former}
tokens:
  - {name: t, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: t, user: ann, scopes: [api], sha256: "<glpat-ann>"}
  - {name: user, user: ann, scopes: [read_user], sha256: "<glpat-ann-read-user>"}
  - {name: api, user: ann, scopes: [read_api], sha256: "<glpat-ann-read-api>"}
  - {name: ai, user: ann, scopes: [ai_workflows, read_service_ping], sha256: "<glpat-ann-ai>"}
  - {name: old, user: ann, scopes: [api], expires_at: 2026-11-18, sha256: "<glpat-ann-old>"}
  - {name: gone, user: ann, scopes: [api], revoked: true, sha256: "<glpat-ann-gone>"}
  - {name: t, user: outsider, scopes: [read_api], sha256: "<glpat-outsider>"}
  - {name: t, user: external, scopes: [read_api], sha256: "<glpat-external>"}
  - {name: t, user: guest, scopes: [read_api], sha256: "<glpat-guest>"}
  - {name: t, user: reporter, scopes: [read_api], sha256: "<glpat-reporter>"}
  - {name: t, user: hermit, scopes: [read_user], sha256: "<glpat-hermit>"}
  - {name: t, user: blocked, scopes: [api], sha256: "<glpat-blocked>"}
  - {name: t, user: assignee, scopes: [read_api], sha256: "<glpat-assignee>"}
  - {name: t, user: owner, scopes: [read_api], sha256: "<glpat-owner>"}
  - {name: t, user: former, scopes: [read_api], sha256: "<glpat-former>"}
namespaces:
  - {id: 20, path: top, members: [{user: owner, access_level: owner}]}
  - {id: 21, path: top/sub, parent_id: 20, members: [{user: reporter, access_level: reporter}]}
projects:
  - {id: 30, path: top/open, namespace_id: 20, visibility: public, members: [{user: guest, access_level: guest}, {user: ann, access_level: developer}]}
  - {id: 31, path: top/sub/inside, namespace_id: 21, visibility: internal, members: [{user: guest, access_level: guest}]}
  - {id: 32, path: top/sub/closed, namespace_id: 21, visibility: private, archived: true, members: [{user: guest, access_level: guest}, {user: assignee, access_level: guest}, {user: ann, access_level: guest}, {user: former, access_level: owner, expires_at: 2026-11-18}]}
  - {id: 33, path: top/sub/veiled, namespace_id: 21, visibility: public, members: [{user: guest, access_level: guest}], features: {issues: private, repository: private, merge_requests: enabled, wiki: private, snippets: private}}
  - {id: 34, path: top/sub/bare, namespace_id: 21, visibility: public, features: {issues: disabled, repository: disabled, merge_requests: disabled, wiki: disabled, snippets: disabled}}
"#;

pub(super) fn token(reader: &str) -> String {
    if reader == "anonymous" { String::new() } else { format!("glpat-{reader}") }
}

#[test]
fn endpoints_ask_for_tokens_and_scopes_as_gitlab_does() {
    with_app("events_auth", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let unauthorized = json!({"message": "401 Unauthorized"});
        let insufficient = |scopes: &str| {
            let description = "The request requires higher privileges than provided by the access token.";
            json!({"error": "insufficient_scope", "error_description": description, "scope": scopes})
        };
        let oauth = |text: &str| json!({"error": "invalid_token", "error_description": text});
        let expired = oauth("Token is expired. You can either do re-authorization or token refresh.");
        let revoked = oauth("Token was revoked. You have to re-authorize from the user.");
        let no_user = json!({"message": "404 User Not Found"});
        let no_project = json!({"message": "404 Project Not Found"});
        let blocked = json!({"message": "403 Forbidden - Your account has been blocked."});
        let (own, ann, open) = ("/events", "/users/ann/events", "/projects/30/events");
        let empty = json!([]);
        for (path, reader, status, body) in [
            (own, "anonymous", 401, &unauthorized),
            (own, "ann", 200, &empty),
            (own, "ann-read-user", 200, &empty),
            (own, "ann-read-api", 200, &empty),
            ("/events?scope=all", "ann-read-user", 200, &empty),
            (own, "ann-ai", 403, &insufficient("api read_user read_api")),
            (own, "nobody", 401, &unauthorized),
            (own, "ann-old", 401, &expired),
            (own, "ann-gone", 401, &revoked),
            (own, "blocked", 403, &blocked),
            (ann, "anonymous", 200, &empty),
            ("/users/2/events", "anonymous", 200, &empty),
            (ann, "ann-read-user", 200, &empty),
            (ann, "ann-read-api", 200, &empty),
            (ann, "ann-ai", 403, &insufficient("api read_user read_api")),
            (ann, "nobody", 401, &unauthorized),
            (ann, "ann-old", 401, &expired),
            (ann, "ann-gone", 401, &revoked),
            (ann, "blocked", 403, &blocked),
            ("/users/nobody/events", "anonymous", 404, &no_user),
            ("/users/999/events", "root", 404, &no_user),
            ("/users/%ff/events", "root", 404, &no_user),
            (
                "/users/nobody/events?action=x",
                "anonymous",
                400,
                &json!({"error": "action does not have a valid value"}),
            ),
            (open, "anonymous", 200, &empty),
            ("/projects/top%2Fopen/events", "anonymous", 200, &empty),
            (open, "ann", 200, &empty),
            (open, "ann-read-api", 200, &empty),
            (open, "ann-read-user", 403, &insufficient("api read_api")),
            (open, "ann-ai", 403, &insufficient("api read_api")),
            (open, "nobody", 401, &unauthorized),
            (open, "blocked", 403, &blocked),
            ("/projects/999/events", "root", 404, &no_project),
            ("/projects/top%2Fnowhere/events", "root", 404, &no_project),
            ("/projects/%ff/events", "root", 404, &no_project),
            ("/projects/31/events", "anonymous", 404, &no_project),
            ("/projects/31/events", "outsider", 200, &empty),
            ("/projects/31/events", "external", 404, &no_project),
            ("/projects/32/events", "anonymous", 404, &no_project),
            ("/projects/32/events", "outsider", 404, &no_project),
            ("/projects/32/events", "former", 404, &no_project),
            ("/projects/top%2Fsub%2Fclosed/events", "guest", 200, &empty),
            ("/projects/32/events", "reporter", 200, &empty),
            ("/projects/32/events", "owner", 200, &empty),
            ("/projects/32/events", "root", 200, &empty),
        ] {
            let answer = app.get(&format!("/api/v4{path}"), &token(reader)).await;
            assert_eq!((answer.status.as_u16(), &answer.any_json()), (status, body), "{path} {reader}");
        }
        let bearer = http::Request::get("/api/v4/events").header("authorization", "Bearer nobody");
        let answer = app.send(bearer, "", axum::body::Body::empty()).await;
        assert_eq!((answer.status.as_u16(), answer.any_json()), (401, oauth("Bad Access Token.")));
        for path in [own, ann, open] {
            let answer = app.post(&format!("/api/v4{path}"), "glpat-ann", &json!({})).await;
            let allow = answer.headers["allow"].to_str().unwrap();
            assert_eq!((answer.status.as_u16(), allow), (405, "OPTIONS, GET, HEAD"), "{path}");
        }
    });
}

#[test]
fn parameters_are_checked_on_every_endpoint() {
    with_app("events_parameters", |app| async move {
        let app = app.with_directory(DIRECTORY);
        for (query, error) in [
            ("action=Created", "action does not have a valid value"),
            ("target_type=epic", "target_type does not have a valid value"),
            ("before=2016-13-45", "before is invalid"),
            ("before=garbage", "before is invalid"),
            ("after=garbage", "after is invalid"),
            ("sort=up", "sort does not have a valid value"),
            ("per_page=0", "per_page has a value not allowed"),
            ("page=-1", "page does not have a valid value"),
            ("per_page=-1", "per_page does not have a valid value"),
            ("page=x", "page is invalid"),
            ("per_page=x", "per_page is invalid"),
            ("pagination=keyset&cursor=x", "cursor is invalid"),
            (
                "action=x&target_type=y&before=z",
                "action does not have a valid value, target_type does not have a valid value, before is invalid",
            ),
        ] {
            for path in ["/events", "/users/ann/events", "/projects/30/events"] {
                let answer = app.get(&format!("/api/v4{path}?{query}"), "glpat-ann").await;
                let body = (answer.status.as_u16(), answer.any_json());
                assert_eq!(body, (400, json!({ "error": error })), "{path}?{query}");
            }
        }
        for (query, per_page) in [
            ("before=2016-12-1&after=20161201&scope=some&sort=asc", "20"),
            ("before=2016-12-01T10:00:00Z&after=", "20"),
            ("per_page=1000&unknown=1", "100"),
            ("page=9223372036854775807&per_page=100", "100"),
            ("before=9999-12-31&after=0001-01-01", "20"),
            ("before=0001-01-01&after=9999-12-31", "20"),
        ] {
            let answer = app.get(&format!("/api/v4/events?{query}"), "glpat-ann").await;
            assert_eq!(answer.json(), json!([]), "{query}");
            assert_eq!(answer.headers["x-per-page"], per_page, "{query}");
        }
        for action in [
            "created",
            "updated",
            "closed",
            "reopened",
            "pushed",
            "commented",
            "merged",
            "joined",
            "left",
            "destroyed",
            "expired",
            "approved",
        ] {
            app.get(&format!("/api/v4/events?action={action}"), "glpat-ann").await.json();
        }
        for kind in
            ["issue", "milestone", "merge_request", "note", "project", "snippet", "user", "wiki", "design"]
        {
            app.get(&format!("/api/v4/events?target_type={kind}"), "glpat-ann").await.json();
        }
    });
}

/// Ann's only event with these columns, as she sees it.
async fn rendered(app: &TestApp, columns: &str, values: &str) -> Value {
    app.sql("TRUNCATE TABLE contributions").await;
    app.sql("TRUNCATE TABLE project_contributions").await;
    let columns = format!("id, created_at, project_id, author_id, {columns}");
    let created_at = "'2026-11-10 11:12:13.014'";
    insert(app, &columns, &format!("VALUES (501, {created_at}, 30, 2, {values})")).await;
    let listed = app.get("/api/v4/events", "glpat-ann").await.json();
    let of_project = app.get("/api/v4/projects/30/events", "glpat-ann").await.json();
    assert_eq!(listed, of_project, "both tables hold the same event");
    listed[0].clone()
}

#[test]
fn actions_have_gitlabs_names() {
    with_app("events_actions", |app| async move {
        let app = app.with_directory(DIRECTORY);
        for (action, target_type, more, name) in [
            ("pushed", "", "created", "pushed new"),
            ("pushed", "", "removed", "deleted"),
            ("pushed", "", "pushed", "pushed to"),
            ("created", "Issue", "", "opened"),
            ("created", "WikiPage::Meta", "", "created"),
            ("created", "", "", "created"),
            ("created", "", "imported", "imported"),
            ("created", "DesignManagement::Design", "", "added"),
            ("updated", "WikiPage::Meta", "", "updated"),
            ("updated", "DesignManagement::Design", "", "updated"),
            ("updated", "MergeRequest", "", "opened"),
            ("closed", "Milestone", "", "closed"),
            ("reopened", "WorkItem", "", "opened"),
            ("merged", "MergeRequest", "", "accepted"),
            ("approved", "MergeRequest", "", "approved"),
            ("commented", "DiscussionNote", "", "commented on"),
            ("joined", "", "", "joined"),
            ("left", "", "", "left"),
            ("expired", "", "", "removed due to membership expiration from"),
            ("destroyed", "Milestone", "", "destroyed"),
            ("destroyed", "DesignManagement::Design", "", "removed"),
        ] {
            let push = json!({"action": more, "ref_type": "branch", "ref": "main"}).to_string();
            let push = if action == "pushed" { push } else { String::new() };
            let imported_from = if more == "imported" { "github" } else { "" };
            let values = format!("'{action}', '{target_type}', '{push}', '{imported_from}'");
            let event = rendered(&app, "action, target_type, push_data, imported_from", &values).await;
            assert_eq!(event["action_name"], name, "{action} {target_type} {more}");
        }
    });
}

#[test]
fn an_event_has_gitlabs_fields() {
    with_app("events_fields", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let issue = rendered(
            &app,
            "action, target_type, target_id, target_iid, target_title, imported_from",
            "'closed', 'Issue', 60, 6, 'A bug', 'gitea'",
        )
        .await;
        let note = json!({
            "id": 9, "type": "DiffNote", "body": "Hm.", "attachment": {"url": "u"}, "created_at": 1_763_461_800_000_i64,
            "updated_at": 1_763_461_801_250_i64, "system": false, "noteable_id": 61, "noteable_type": "MergeRequest",
            "noteable_iid": 7, "resolvable": true, "confidential": false, "internal": false, "commands_changes": null,
        });
        let comment = format!("'commented', 'DiffNote', 9, 'A change', '{note}'");
        let comment = rendered(&app, "action, target_type, target_id, target_title, note", &comment).await;
        let push = json!({
            "commit_count": 2, "action": "created", "ref_type": "branch", "commit_from": "0000", "commit_to": "c0ffee",
            "ref": "main", "commit_title": "x".repeat(71), "ref_count": null,
        });
        let push = rendered(&app, "action, push_data", &format!("'pushed', '{push}'")).await;
        let wiki = json!({"format": "markdown", "slug": "home", "title": "Home", "wiki_page_meta_id": 3});
        let wiki = format!("'updated', 'WikiPage::Meta', 3, '{wiki}'");
        let wiki = rendered(&app, "action, target_type, target_id, wiki_page", &wiki).await;
        insta::assert_json_snapshot!([issue, comment, push, wiki]);
    });
}

#[test]
fn authors_are_shown_as_the_directory_has_them_now() {
    with_app("events_authors", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let rows = "VALUES (1, 'created', 30, 8, '2026-11-10 10:00:00'), (2, 'created', 30, 99, '2026-11-10 11:00:00')";
        insert(&app, "id, action, project_id, author_id, created_at", rows).await;
        let events = app.get("/api/v4/projects/30/events", "").await.json();
        assert_eq!((&events[0]["author_id"], &events[0]["author_username"]), (&json!(99), &Value::Null));
        assert!(events[0].get("author").is_none(), "a deleted author is not shown");
        let author = json!({
            "id": 8, "username": "blocked", "public_email": "", "name": "blocked", "state": "blocked", "locked": true,
            "avatar_url": null, "web_url": "https://tally.example.com/blocked",
        });
        assert_eq!((&events[1]["author"], &events[1]["author_username"]), (&author, &json!("blocked")));
    });
}

#[test]
fn what_is_older_than_three_years_is_not_listed() {
    with_app("events_retention", |app| async move {
        let app = app.with_directory(DIRECTORY);
        // A merge would delete the old one by the engine's own clock.
        for table in ["contributions", "project_contributions", "contribution_projects"] {
            app.sql(&format!("SYSTEM STOP TTL MERGES {table}")).await;
        }
        let rows = "VALUES (1, 'created', 30, 2, '2023-11-18 10:29:59.999'), (2, 'created', 30, 2, '2023-11-18 10:30:00')";
        insert(&app, "id, action, project_id, author_id, created_at", rows).await;
        for path in [
            "/events",
            "/events?scope=all",
            "/users/ann/events",
            "/projects/30/events",
            "/events?sort=asc",
            "/events?after=2020-01-01",
            "/events?pagination=keyset",
        ] {
            let events = app.get(&format!("/api/v4{path}"), "glpat-ann").await.json();
            let ids: Vec<&Value> = events.as_array().unwrap().iter().map(|event| &event["id"]).collect();
            assert_eq!(ids, [&json!(2)], "{path}");
        }
        let answer = app.get("/api/v4/events", "glpat-ann").await;
        assert_eq!(answer.headers["x-total"], "1");
    });
}

#[test]
fn keyset_pages_follow_each_other_by_cursor() {
    with_app("events_keyset", |app| async move {
        let app = app.with_directory(DIRECTORY);
        // Several share their instant, and their ids go against time.
        let rows = "SELECT 1000 - number, 'created', 30, 2, toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + intDiv(number, 7) * 86400 \
                    FROM numbers(45)";
        insert(&app, "id, action, project_id, author_id, created_at", rows).await;
        for path in [
            "/api/v4/events",
            "/api/v4/users/2/events",
            "/api/v4/projects/30/events",
            "/api/v4/events?scope=all",
        ] {
            for sort in ["asc", "desc"] {
                let separator = if path.contains('?') { '&' } else { '?' };
                let whole =
                    app.get(&format!("{path}{separator}per_page=100&sort={sort}"), "glpat-ann").await.json();
                let mut next = Some(format!("{path}{separator}sort={sort}&pagination=keyset&per_page=10"));
                let (mut events, mut pages) = (Vec::new(), 0);
                while let Some(path) = next {
                    let answer = app.get(&path, "glpat-ann").await;
                    assert!(
                        answer.headers.get("x-total").is_none() && answer.headers.get("x-page").is_none()
                    );
                    events.extend(answer.json().as_array().unwrap().clone());
                    pages += 1;
                    next = answer.headers.get("link").map(|link| {
                        let url = link.to_str().unwrap().strip_prefix("<https://tally.example.com").unwrap();
                        url.strip_suffix(">; rel=\"next\"").expect("only the next page is linked").to_owned()
                    });
                }
                assert_eq!((pages, Value::Array(events)), (5, whole), "{path} {sort}");
            }
        }
    });
}
