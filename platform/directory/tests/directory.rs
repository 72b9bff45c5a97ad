//! The directory as services ask it, and the file as the command line changes it.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

use std::sync::Arc;
use std::{fs, thread};

use jiff::Timestamp;
use tally_directory::edit::{self, NewToken, NewUser};
use tally_directory::{AuthError, Directory, Principal, ProjectLookup, Scope, TOKEN_RANDOM_BYTES, TokenHash};

const PROJECTS: &str = "
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice, name: Alice}
tokens:
  - {name: root, user: root, scopes: [api], sha256: ROOT}
  - {name: alice, user: alice, scopes: [read_api, read_user], sha256: ALICE}
projects:
  - {id: 10, path: group/public, namespace_id: 100, visibility: public}
  - {id: 11, path: group/internal, visibility: internal}
  - {id: 12, path: group/private, members: [{user: alice, access_level: reporter}]}
  - {id: 13, path: group/secret}
";

fn yaml(text: &str) -> String {
    let quoted = |token: &str| format!("\"{}\"", TokenHash::of(token).to_hex());
    text.replace("ROOT", &quoted("root-token")).replace("ALICE", &quoted("alice-token"))
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

fn principals(directory: &Directory) -> [Option<Arc<Principal>>; 3] {
    let principal = |token| Some(directory.authenticate(token, noon()).unwrap());
    [None, principal("alice-token"), principal("root-token")]
}

#[test]
fn a_good_token_names_its_user_and_scopes() {
    let principal = directory(PROJECTS).authenticate("alice-token", noon()).unwrap();
    let expected = Principal {
        token_id: "alice".into(),
        user_id: 2,
        username: "alice".into(),
        name: "Alice".into(),
        admin: false,
        scopes: vec![Scope::ReadApi, Scope::ReadUser],
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
    // By project: nobody, alice, root.
    let rows = [
        (10, [true, true, true]),
        (11, [false, true, true]),
        (12, [false, true, true]),
        (13, [false, false, true]),
        (99, [false, false, false]),
    ];
    for (id, readable) in rows {
        for (principal, readable) in principals(&directory).into_iter().zip(readable) {
            let lookup = directory.project(principal.as_deref(), id);
            assert_eq!(
                matches!(&lookup, ProjectLookup::Readable(project) if project.id == id),
                readable,
                "{id}"
            );
            assert_eq!(lookup == ProjectLookup::Absent, !readable, "{id}");
        }
    }
    let by_path = directory.project_at(None, "group/public");
    assert_eq!(by_path, directory.project(None, 10));
    assert_eq!(directory.project_at(None, "group/private"), ProjectLookup::Absent);
}

#[test]
fn a_namespace_is_named_by_readers_of_its_projects() {
    let directory = directory(&PROJECTS.replace("group/secret}", "group/secret, namespace_id: 101}"));
    let may_name =
        |id| principals(&directory).map(|principal| directory.may_name_namespace(principal.as_deref(), id));
    assert_eq!(may_name(100), [true, true, true]);
    assert_eq!(may_name(101), [false, false, true]);
    assert_eq!(may_name(102), [false, false, false]);
}

#[test]
fn without_a_projects_key_ids_are_taken_as_given_and_an_empty_list_has_none() {
    let keeps_none = directory("users: []");
    assert_eq!(keeps_none.project(None, 5), ProjectLookup::AsGiven);
    assert!(keeps_none.may_name_namespace(None, 5));
    let empty = directory("projects: []");
    assert_eq!(empty.project(None, 5), ProjectLookup::Absent);
    assert!(!empty.may_name_namespace(None, 5));
}

#[test]
fn mistakes_are_named_by_file_and_field() {
    let user = "users: [{id: 1, username: u}]\n";
    let token =
        |rest: &str| format!("{user}tokens: [{{name: t, user: u, scopes: [api], sha256: ROOT}}, {{{rest}}}]");
    let rows = [
        ("users: [{id: x, username: u}]".to_owned(), "users[0].id: invalid type: string \"x\", expected i64"),
        ("users: [{username: u}]".to_owned(), "users[0]: missing field `id`"),
        ("users: [{id: 1, username: u, nick: v}]".to_owned(), "users[0]: unknown field `nick`"),
        ("users: [{id: 0, username: u}]".to_owned(), "users[0].id: expected a positive number, got 0"),
        ("users: [{id: 1, username: ''}]".to_owned(), "users[0].username: must not be empty"),
        (
            "users: [{id: 1, username: u}, {id: 1, username: v}]".to_owned(),
            "users[1].id: 1 is another user's id, too",
        ),
        (
            "users: [{id: 1, username: u}, {id: 2, username: u}]".to_owned(),
            "users[1].username: \"u\" is another user's name, too",
        ),
        (token("name: x, user: v, scopes: [api], sha256: ALICE"), "tokens[1].user: no user is named \"v\""),
        (
            token("name: t, user: u, scopes: [api], sha256: ALICE"),
            "tokens[1].name: tokens[0] has the name \"t\", too",
        ),
        (
            token("name: x, user: u, scopes: [api], sha256: ROOT"),
            "tokens[1].sha256: another token has the same hash",
        ),
        (
            token("name: x, user: u, scopes: [api], sha256: abc"),
            "tokens[1].sha256: expected 64 hexadecimal digits",
        ),
        (
            token("name: x, user: u, scopes: [], sha256: ALICE"),
            "tokens[1].scopes: expected at least one scope",
        ),
        (
            token("name: x, user: u, scopes: [sudo], sha256: ALICE"),
            "tokens[1].scopes[0]: unknown variant `sudo`",
        ),
        (
            format!("{user}projects: [{{id: 1, path: p, members: [{{user: x, access_level: guest}}]}}]"),
            "projects[0].members[0].user: no user is named \"x\"",
        ),
        (
            format!("{user}projects: [{{id: 1, path: p}}, {{id: 2, path: p}}]"),
            "projects[1].path: \"p\" is another project's path, too",
        ),
    ];
    for (text, expected) in rows {
        let error = Directory::from_yaml(&yaml(&text), "conf/directory.yml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("conf/directory.yml: {expected}")), "{error}");
    }
    let missing = Directory::load("/nowhere/directory.yml").unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/directory.yml: can't be read"), "{missing}");
}

#[test]
fn a_reload_replaces_everything_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.yml");
    fs::write(&path, yaml(PROJECTS)).unwrap();
    let directory = Directory::load(&path).unwrap();
    fs::write(&path, "users: [{id: x}]").unwrap();
    assert!(directory.reload().is_err());
    assert!(directory.authenticate("alice-token", noon()).is_ok());
    fs::write(&path, yaml(PROJECTS).replace("name: alice, user", "name: alice, revoked: true, user"))
        .unwrap();
    directory.reload().unwrap();
    assert_eq!(directory.authenticate("alice-token", noon()), Err(AuthError::Revoked));
}

#[test]
fn a_first_start_makes_a_user_and_a_token_out_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/directory.yml");
    let user = NewUser { username: "root", name: "Administrator", admin: true };
    assert_eq!(edit::add_user(&path, &user).unwrap(), 1);
    let token = NewToken { name: "first", user: "root", scopes: &[Scope::Api], expires_at: None };
    let text = edit::create_token(&path, &token, [7; TOKEN_RANDOM_BYTES]).unwrap();
    assert!(text.starts_with("glpat-") && text.len() == 26);
    let principal = Directory::load(&path).unwrap().authenticate(&text, noon()).unwrap();
    assert!(principal.admin && principal.user_id == 1);
    assert!(!fs::read_to_string(&path).unwrap().contains(&text), "only the hash is kept");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_change_keeps_what_else_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.yml");
    fs::write(&path, format!("# Ours.\n\n# Ask before you change it.\n{}", yaml(PROJECTS))).unwrap();
    let token = NewToken { name: "new", user: "alice", scopes: &[Scope::Api], expires_at: None };
    let text = edit::create_token(&path, &token, [1; TOKEN_RANDOM_BYTES]).unwrap();
    edit::revoke_token(&path, "root").unwrap();
    edit::revoke_token(&path, "root").unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with("# Ours.\n\n# Ask before you change it.\n"));
    let directory = Directory::load(&path).unwrap();
    assert_eq!(directory.authenticate(&text, noon()).unwrap().username, "alice");
    assert_eq!(directory.authenticate("root-token", noon()), Err(AuthError::Revoked));
    let alice = directory.authenticate(&text, noon()).unwrap();
    assert!(matches!(directory.project(Some(&alice), 12), ProjectLookup::Readable(_)));
    let names: Vec<String> = edit::list_tokens(&path).unwrap().into_iter().map(|token| token.name).collect();
    assert_eq!(names, ["root", "alice", "new"]);
}

#[test]
fn a_refused_change_leaves_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.yml");
    fs::write(&path, yaml(PROJECTS)).unwrap();
    let create = |name, user| {
        let token = NewToken { name, user, scopes: &[Scope::Api], expires_at: None };
        edit::create_token(&path, &token, [1; TOKEN_RANDOM_BYTES]).unwrap_err().to_string()
    };
    let named = path.display();
    assert_eq!(
        create("alice", "alice"),
        format!("{named}: tokens[2].name: tokens[1] has the name \"alice\", too")
    );
    assert_eq!(create("x", "bob"), format!("{named}: tokens[2].user: no user is named \"bob\""));
    let unknown = edit::revoke_token(&path, "nobody").unwrap_err().to_string();
    assert_eq!(unknown, format!("{named}: no token is named \"nobody\""));
    assert_eq!(fs::read_to_string(&path).unwrap(), yaml(PROJECTS));
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("directory.yml");
    fs::write(&path, yaml(PROJECTS)).unwrap();
    thread::scope(|scope| {
        for number in 0..8_u8 {
            let path = &path;
            scope.spawn(move || {
                let name = format!("t{number}");
                let token = NewToken { name: &name, user: "alice", scopes: &[Scope::Api], expires_at: None };
                edit::create_token(path, &token, [number; TOKEN_RANDOM_BYTES]).unwrap();
            });
        }
    });
    assert_eq!(edit::list_tokens(&path).unwrap().len(), 2 + 8);
}
