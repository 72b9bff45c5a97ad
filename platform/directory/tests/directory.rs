//! The directory as services ask it: tokens, projects, namespaces.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

use std::sync::Arc;

use jiff::Timestamp;
use tally_directory::{AuthError, Directory, Principal, ProjectLookup, Scope, SecretHash};

const PROJECTS: &str = "
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice, name: Alice}
  - {id: 3, username: guest, external: true}
tokens:
  - {name: root, user: root, scopes: [api], sha256: ROOT}
  - {name: alice, user: alice, scopes: [read_api, read_user], sha256: ALICE}
  - {name: guest, user: guest, scopes: [api], sha256: GUEST}
namespaces:
  - {id: 1, path: top, members: [{user: alice, access_level: guest}]}
  - {id: 2, path: top/below, parent_id: 1}
  - {id: 3, path: past, members: [{user: alice, access_level: owner, expires_at: 2026-03-01}]}
projects:
  - {id: 10, path: group/public, namespace_id: 100, visibility: public}
  - {id: 11, path: group/internal, visibility: internal}
  - {id: 12, path: group/private, members: [{user: alice, access_level: reporter}]}
  - {id: 13, path: group/secret, namespace_id: 101}
  - {id: 14, path: top/below/inherited, namespace_id: 2}
  - {id: 15, path: past/expired, namespace_id: 3}
  - {id: 16, path: group/joined, visibility: internal, members: [{user: guest, access_level: guest}]}
";

fn yaml(text: &str) -> String {
    let tokens = [("ROOT", "root-token"), ("ALICE", "alice-token"), ("GUEST", "guest-token")];
    tokens.into_iter().fold(text.to_owned(), |text, (name, token)| {
        text.replace(name, &format!("\"{}\"", SecretHash::of(token).to_hex()))
    })
}

fn directory(text: &str) -> Directory {
    Directory::from_yaml(&yaml(text), "directory.yml").unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    at("2026-03-01T12:00:00Z")
}

/// Nobody, guest, alice, root.
fn principals(directory: &Directory) -> [Option<Arc<Principal>>; 4] {
    let principal = |token| Some(directory.authenticate(token, noon()).unwrap());
    [None, principal("guest-token"), principal("alice-token"), principal("root-token")]
}

#[test]
fn a_good_token_names_its_user_and_scopes() {
    let principal = directory(PROJECTS).authenticate("alice-token", noon()).unwrap();
    let expected = Principal {
        token_id: 2,
        token_name: "alice".into(),
        user_id: 2,
        username: "alice".into(),
        name: "Alice".into(),
        admin: false,
        scopes: vec![Scope::ReadApi, Scope::ReadUser],
        today: "2026-03-01".parse().unwrap(),
    };
    assert_eq!(*principal, expected);
    assert!(principal.has_any_scope(&[Scope::Api, Scope::ReadUser]));
    assert!(!principal.has_any_scope(&[Scope::Api, Scope::AiWorkflows]));
}

#[test]
fn a_token_is_refused_for_the_first_reason_that_holds() {
    let with = |token: &str, state: &str| {
        let text = format!(
            "users: [{{id: 1, username: u, state: {state}}}]\ntokens: [{{name: t, user: u, scopes: [api], sha256: ROOT{token}}}]"
        );
        directory(&text).authenticate("root-token", noon()).map(|principal| principal.user_id)
    };
    assert_eq!(with("", "active"), Ok(1));
    assert_eq!(with(", expires_at: 2026-03-02", "active"), Ok(1));
    assert_eq!(with(", expires_at: 2026-03-01", "active"), Err(AuthError::Expired));
    assert_eq!(with(", revoked: true", "active"), Err(AuthError::Revoked));
    assert_eq!(with(", revoked: true, expires_at: 2020-01-01", "blocked"), Err(AuthError::Revoked));
    assert_eq!(with("", "blocked"), Err(AuthError::Blocked));
    assert_eq!(with("", "deactivated"), Err(AuthError::Blocked));
    assert_eq!(directory(PROJECTS).authenticate("nobody's", noon()), Err(AuthError::Unknown));
    assert_eq!(directory("").authenticate("", noon()), Err(AuthError::Unknown));
}

#[test]
fn a_token_works_until_the_day_it_expires_on_in_utc() {
    let text = "users: [{id: 1, username: u}]\n\
                tokens: [{name: t, user: u, scopes: [api], expires_at: 2026-03-02, sha256: ROOT}]";
    let directory = directory(text);
    assert!(directory.authenticate("root-token", at("2026-03-01T23:59:59.999Z")).is_ok());
    assert_eq!(directory.authenticate("root-token", at("2026-03-02T00:00:00Z")), Err(AuthError::Expired));
}

#[test]
fn projects_are_readable_by_visibility_and_membership() {
    let directory = directory(PROJECTS);
    let rows = [
        (10, [true, true, true, true]),
        (11, [false, false, true, true]),
        (12, [false, false, true, true]),
        (13, [false, false, false, true]),
        (14, [false, false, true, true]),
        (15, [false, false, false, true]),
        (16, [false, true, true, true]),
        (99, [false, false, false, false]),
    ];
    for (id, readable) in rows {
        for (principal, readable) in principals(&directory).into_iter().zip(readable) {
            let principal = principal.as_deref();
            let who = principal.map_or("nobody", |principal| &principal.username);
            let lookup = directory.project(principal, id);
            let is_found = matches!(&lookup, ProjectLookup::Readable(project) if project.id == id);
            assert_eq!(is_found, readable, "{id} {who}");
            assert_eq!(lookup == ProjectLookup::Absent, !readable, "{id} {who}");
            assert_eq!(directory.can_read_project(principal, id), readable, "{id} {who}");
        }
    }
    let by_path = directory.project_at(None, "group/public");
    assert_eq!(by_path, directory.project(None, 10));
    assert_eq!(directory.project_at(None, "group/private"), ProjectLookup::Absent);
}

#[test]
fn a_membership_counts_until_the_day_it_expires_on() {
    let directory = directory(PROJECTS);
    let yesterday = directory.authenticate("alice-token", at("2026-02-28T23:59:59Z")).unwrap();
    assert!(directory.can_read_project(Some(&yesterday), 15));
    let today = directory.authenticate("alice-token", at("2026-03-01T00:00:00Z")).unwrap();
    assert!(!directory.can_read_project(Some(&today), 15));
}

#[test]
fn a_namespace_is_named_by_readers_of_its_projects() {
    let directory = directory(PROJECTS);
    let may_name =
        |id| principals(&directory).map(|principal| directory.may_name_namespace(principal.as_deref(), id));
    assert_eq!(may_name(100), [true, true, true, true]);
    assert_eq!(may_name(101), [false, false, false, true]);
    assert_eq!(may_name(102), [false, false, false, false]);
}

#[test]
fn ids_are_taken_as_given_while_there_is_no_project() {
    for text in ["users: []", "projects: []", ""] {
        let directory = directory(text);
        assert_eq!(directory.project(None, 5), ProjectLookup::AsGiven, "{text}");
        assert_eq!(directory.project_at(None, "a/b"), ProjectLookup::Absent, "{text}");
        assert!(directory.may_name_namespace(None, 5), "{text}");
    }
}
