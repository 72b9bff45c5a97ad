//! The directory as YAML: what a text may say, what is wrong with it, import and export.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod changes;

use std::collections::BTreeSet;

use jiff::Timestamp;
use proptest::prelude::*;
use tally_directory::{AccessLevel, Change, Cursor, Directory, MemberSource, SecretHash, SshKey, State};

use crate::changes::change;

const EVERYTHING: &str = r#"
users:
  - {id: 1, username: root, name: Root, admin: true}
  - id: 2
    username: alice
    two_factor: true
    recovery_codes: [HASH1]
    avatar_url: https://example.org/alice.png
    public_email: alice@example.org
    private_profile: true
  - {id: 3, username: bob, state: deactivated, external: true, locked: true}
namespaces:
  - {id: 5, path: group, name: Group, ip_ranges: [10.0.0.0/8, "2001:db8::/32"], members: [{user: alice, access_level: owner}]}
  - {id: 6, path: group/sub, parent_id: 5}
  - {id: 7, path: bob, kind: user}
projects:
  - id: 10
    path: group/sub/p
    namespace_id: 6
    visibility: internal
    archived: true
    lfs_enabled: false
    default_branch: trunk
    protected_refs: ["release-*"]
    features: {issues: private, snippets: disabled}
    members: [{user: bob, access_level: planner, expires_at: 2026-05-01}]
    product_analytics:
      instrumentation_key: AbC-1
      funnels:
        - name: Completed purchase
          seconds_to_convert: 3600
          steps:
            - {name: view, action: pageview, target: /products}
            - {name: buy, action: event, target: purchase}
  - {id: 11, path: loose, namespace_id: 99}
keys:
  - {user: alice, title: laptop, key: ssh-ed25519 AAAAC3Nz alice@laptop, expires_at: 2027-01-01T00:00:00Z, usage_type: auth}
  - {id: 9, title: deploy, key: ssh-rsa AAAAB3Nz, deploy: true, deploy_projects: [{project_id: 10, can_push: true}], active: false}
tokens:
  - {name: t, user: alice, scopes: [api], sha256: HASH2, expires_at: 2026-12-31}
  - {name: t, user: bob, scopes: [read_user, ai_workflows], sha256: HASH3, revoked: true, created_at: 2026-01-01T00:00:00Z}
agents:
  - {id: 4, name: production, project_id: 10, token_hashes: [HASH4]}
subscriptions:
  - {namespace_id: 5, plan_code: premium, plan_name: Premium, seats: 10, start_date: 2026-01-01, trial: true, trial_starts_on: 2026-01-01}
minute_packs:
  - {purchase_xid: x-1, namespace_id: 5, expires_at: 2026-06-01, number_of_minutes: 1000}
reconciliations:
  - {namespace_id: 5, next_reconciliation_date: 2026-04-01, display_alert_from: 2026-03-25}
settings:
  usage_ping_enabled: true
  limits: {events: 5, names: [a, b]}
feature_flags: {new_listing: true, old_listing: false}
ids_used: {user: 12, token: 40}
"#;

fn hashed(text: &str) -> String {
    (1..=4).fold(text.to_owned(), |text, number| {
        let hash = SecretHash::of(&format!("secret {number}")).to_hex();
        text.replace(&format!("HASH{number}"), &format!("\"{hash}\""))
    })
}

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

async fn imported(text: &str) -> Directory {
    let directory = Directory::in_memory();
    directory.import(text, now()).await.unwrap();
    directory
}

fn exported(directory: &Directory) -> String {
    let mut text = Vec::new();
    directory.export(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn everything_can_be_imported_and_is_there() {
    let directory = imported(&hashed(EVERYTHING)).await;
    let state = directory.read();
    let alice = state.user_named("alice").unwrap();
    assert!(alice.two_factor && alice.private_profile && !alice.external);
    assert_eq!(alice.recovery_codes, [SecretHash::of("secret 1")]);
    assert_eq!(state.namespace_at("group/sub").unwrap().name, "sub");
    let project = state.project_at("group/sub/p").unwrap();
    assert_eq!(directory.project_of_key("AbC-1"), Some(10));
    assert_eq!(directory.project_of_key("abc-1"), None, "keys are compared as they are");
    assert_eq!(project.product_analytics.funnels[0].steps[1].target, "purchase");
    let today = "2026-04-30".parse().unwrap();
    assert_eq!(state.access_level(2, project, today), Some(AccessLevel::Owner));
    assert_eq!(state.access_level(3, project, today), Some(AccessLevel::Planner));
    let fingerprint = SshKey::fingerprint("ssh-ed25519 AAAAC3Nz").unwrap();
    let key = state.key_by_fingerprint(&fingerprint).unwrap();
    assert_eq!((key.id, key.user_id, key.key.as_str()), (10, Some(2), "ssh-ed25519 AAAAC3Nz"));
    let token = state.token_named(2, "t").unwrap();
    assert_eq!((token.id, token.created_at), (41, now()), "the id is free, and not one that was used");
    assert_eq!(state.token_named(3, "t").unwrap().id, 42);
    assert_eq!(state.agent_by_token(&SecretHash::of("secret 4")).unwrap().name, "production");
    assert_eq!(state.subscription(5).unwrap().seats, 10);
    assert_eq!(state.packs_of(5).count(), 1);
    assert_eq!(state.reconciliation(5).unwrap().display_alert_from, "2026-03-25".parse().unwrap());
    assert_eq!(state.setting("usage_ping_enabled").unwrap(), true);
    assert!(state.feature_flag("new_listing") && !state.feature_flag("old_listing"));
    assert_eq!(state.next_user_id(), 13);
}

#[tokio::test]
async fn an_export_imports_as_the_same_and_is_exported_the_same() {
    let first = imported(&hashed(EVERYTHING)).await;
    let text = exported(&first);
    let second = imported(&text).await;
    assert_eq!(*second.read(), *first.read());
    assert_eq!(exported(&second), text);
    assert_eq!(exported(&Directory::in_memory()), "");
}

#[tokio::test]
async fn an_import_again_writes_nothing_and_a_changed_one_writes_what_changed() {
    let directory = imported(&hashed(EVERYTHING)).await;
    let again = directory.import(&hashed(EVERYTHING), now()).await.unwrap();
    assert_eq!((again.written, again.unchanged), (0, 24), "{again}");
    let changed =
        EVERYTHING.replace("username: bob,", "username: bobby,").replace("user: bob,", "user: bobby,");
    let changed = directory.import(&hashed(&changed), now()).await.unwrap();
    assert_eq!((changed.written, changed.unchanged), (1, 23));
    let less = directory.import("users: [{id: 2, username: alice, name: Alice}]", now()).await.unwrap();
    assert_eq!((less.written, less.unchanged), (1, 0));
    let state = directory.read();
    assert!(
        state.user_named("bob").is_none() && state.user_named("bobby").is_some(),
        "what isn't named stays"
    );
    assert_eq!(state.users().len(), 3);
}

#[tokio::test]
async fn names_can_change_hands_in_one_import() {
    let text =
        "users: [{id: 1, username: a}, {id: 2, username: b}]\nprojects: [{id: 1, path: a}, {id: 2, path: b}]";
    let directory = imported(text).await;
    let swapped = text.replace(": a}", ": c}").replace(": b}", ": a}").replace(": c}", ": b}");
    assert_eq!(directory.import(&swapped, now()).await.unwrap().written, 4);
    let state = directory.read();
    assert_eq!(state.user_named("a").unwrap().id, 2);
    assert_eq!(state.user_named("b").unwrap().id, 1);
    assert_eq!(state.project_at("a").unwrap().id, 2);
}

#[tokio::test]
async fn a_long_import_is_written_in_several_transactions() {
    use std::fmt::Write;
    let mut text = "users:\n".to_owned();
    for id in 1..=2_500 {
        writeln!(text, "- {{id: {id}, username: u{id}}}").unwrap();
    }
    text += "namespaces:\n- id: 1\n  path: g\n  members:\n";
    for id in 1..=2_500 {
        writeln!(text, "  - {{user: u{id}, access_level: guest}}").unwrap();
    }
    let directory = imported(&text).await;
    assert_eq!(directory.read().members_of(MemberSource::Namespace(1)).count(), 2_500);
    assert_eq!(*imported(&exported(&directory)).await.read(), *directory.read());
}

#[test]
fn mistakes_are_named_by_file_and_field() {
    let user = "users: [{id: 1, username: u}]\n";
    let token = |rest: &str| {
        format!("{user}tokens: [{{name: t, user: u, scopes: [api], sha256: HASH1}}, {{{rest}}}]")
    };
    let rows = [
        ("users: [{id: x, username: u}]".to_owned(), "users[0].id: invalid type: string \"x\", expected i64"),
        ("users: [{username: u}]".to_owned(), "users[0]: missing field `id`"),
        ("users: [{id: 1, username: u, nick: v}]".to_owned(), "users[0]: unknown field `nick`"),
        ("users: [{id: 0, username: u}]".to_owned(), "users[0].id: expected a positive number, got 0"),
        // The id after it has to be one, too.
        (format!("ids_used: {{token: {}}}", i64::MAX), "ids_used: expected a positive number, got 9223372036854775807"),
        ("users: [{id: 1, username: ''}]".to_owned(), "users[0].username: must not be empty"),
        ("users: [{id: 1, username: u}, {id: 1, username: v}]".to_owned(), "users[1].id: 1 is another user's id, too"),
        (
            "users: [{id: 1, username: u}, {id: 2, username: u}]".to_owned(),
            "users[1].username: \"u\" is another user's name, too",
        ),
        ("users: [{id: 1, username: u, recovery_codes: [abc]}]".to_owned(), "users[0].recovery_codes: expected 64"),
        (token("name: x, user: v, scopes: [api], sha256: HASH2"), "tokens[1].user: no user is named \"v\""),
        (token("name: t, user: u, scopes: [api], sha256: HASH2"), "tokens[1].name: tokens[0] has the name \"t\", too"),
        (token("name: x, user: u, scopes: [api], sha256: HASH1"), "tokens[1].sha256: another token has the same hash"),
        (token("name: x, user: u, scopes: [api], sha256: abc"), "tokens[1].sha256: expected 64 hexadecimal digits"),
        (token("name: x, user: u, scopes: [], sha256: HASH2"), "tokens[1].scopes: expected at least one scope"),
        (token("name: x, user: u, scopes: [sudo], sha256: HASH2"), "tokens[1].scopes[0]: unknown variant `sudo`"),
        (
            format!("{user}projects: [{{id: 1, path: p, members: [{{user: x, access_level: guest}}]}}]"),
            "projects[0].members[0].user: no user is named \"x\"",
        ),
        (
            format!("{user}namespaces: [{{id: 1, path: p, members: [{{user: u, access_level: guest}}, {{user: u, access_level: guest}}]}}]"),
            "namespaces[0].members[1].user: \"u\" is a member already",
        ),
        (
            format!("{user}projects: [{{id: 1, path: p}}, {{id: 2, path: p}}]"),
            "projects[1].path: \"p\" is another project's path, too",
        ),
        (
            "projects: [{id: 1, path: p, product_analytics: {instrumentation_key: k}}, {id: 2, path: q, product_analytics: {instrumentation_key: k}}]".to_owned(),
            "projects[1].product_analytics.instrumentation_key: projects[0] has the same key",
        ),
        (
            "projects: [{id: 1, path: p, product_analytics: {funnels: [{name: f, seconds_to_convert: 1, steps: []}]}}]".to_owned(),
            "projects[0].product_analytics.funnels[0].steps: expected 1 to 32 steps",
        ),
        (
            "projects: [{id: 1, path: p, product_analytics: {funnels: [{name: f, seconds_to_convert: 1, steps: [{name: s, action: swim, target: /}]}]}}]".to_owned(),
            "projects[0].product_analytics.funnels[0].steps[0].action: unknown variant `swim`",
        ),
        ("namespaces: [{id: 1, path: p, parent_id: 2}]".to_owned(), "namespaces[0].parent_id: no namespace has the id 2"),
        (
            "namespaces: [{id: 1, path: p, parent_id: 1}]".to_owned(),
            "namespaces[0].parent_id: the namespace lies in itself",
        ),
        ("keys: [{key: ssh-rsa AAAA}]".to_owned(), "keys[0].user: only deploy keys have no user"),
        ("keys: [{deploy: true, key: ssh-rsa !}]".to_owned(), "keys[0].key: expected a type and a Base64 body"),
        (
            "keys: [{deploy: true, key: ssh-rsa AAAA}, {deploy: true, key: ssh-rsa AAAA again}]".to_owned(),
            "keys[1].key: keys[0] is the same key",
        ),
        ("agents: [{id: 1, name: a, project_id: 5}]".to_owned(), "agents[0].project_id: no project has the id 5"),
        (
            "reconciliations: [{namespace_id: 5, next_reconciliation_date: 2026-01-01, display_alert_from: 2026-01-01}]".to_owned(),
            "reconciliations[0].namespace_id: no namespace has the id 5",
        ),
    ];
    for (text, expected) in rows {
        let error = Directory::from_yaml(&hashed(&text), "conf/directory.yml").unwrap_err().to_string();
        assert!(error.starts_with(&format!("conf/directory.yml: {expected}")), "{text}\n{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let text = "users: [{id: 0, username: u}, {id: 2, username: ''}]\n\
                tokens: [{name: '', user: v, scopes: [], sha256: abc}]";
    let error = Directory::from_yaml(text, "d.yml").unwrap_err().to_string();
    let expected = "d.yml: users[0].id: expected a positive number, got 0\n\
                    d.yml: users[1].username: must not be empty\n\
                    d.yml: tokens[0].name: must not be empty\n\
                    d.yml: tokens[0].sha256: expected 64 hexadecimal digits\n\
                    d.yml: tokens[0].scopes: expected at least one scope\n\
                    d.yml: tokens[0].user: no user is named \"v\"";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn an_import_with_a_problem_on_this_directory_writes_nothing() {
    let text = "users: [{id: 1, username: a}]\nnamespaces: [{id: 1, path: n}, {id: 2, path: m, parent_id: 1}]\n\
                projects: [{id: 1, path: p, product_analytics: {instrumentation_key: k}}]\n\
                tokens: [{id: 7, name: t, user: a, scopes: [api], sha256: HASH1}]\n\
                keys: [{id: 1, deploy: true, key: ssh-rsa AAAA}]\n\
                agents: [{id: 1, name: a, project_id: 1, token_hashes: [HASH1]}]";
    let directory = imported(&hashed(text)).await;
    let rows = [
        ("users: [{id: 2, username: a}]", "users[0].username: \"a\" is another user's name, too"),
        ("namespaces: [{id: 3, path: n}]", "namespaces[0].path: \"n\" is another namespace's path, too"),
        (
            "namespaces: [{id: 1, path: n, parent_id: 2}]",
            "namespaces[0].parent_id: the namespace lies in itself",
        ),
        ("projects: [{id: 2, path: p}]", "projects[0].path: \"p\" is another project's path, too"),
        (
            "projects: [{id: 2, path: q, product_analytics: {instrumentation_key: k}}]",
            "projects[0].product_analytics.instrumentation_key: another project has the same key",
        ),
        (
            "tokens: [{id: 8, name: t, user: a, scopes: [api], sha256: HASH2}]",
            "tokens[0].name: the user has another token named \"t\"",
        ),
        (
            "tokens: [{name: x, user: a, scopes: [api], sha256: HASH1}]",
            "tokens[0].sha256: another token has the same hash",
        ),
        ("keys: [{id: 2, deploy: true, key: ssh-rsa AAAA}]", "keys[0].key: another key is the same"),
        (
            "agents: [{id: 2, name: a, project_id: 1, token_hashes: [HASH1]}]",
            "agents[0].token_hashes[0]: another agent has the same token",
        ),
        (
            "users: [{id: 1, username: z}]\ntokens: [{name: x, user: a, scopes: [api], sha256: HASH2}]",
            "tokens[0].user: no user is named \"a\"",
        ),
    ];
    let before = directory.read().clone();
    for (text, expected) in rows {
        let text = format!("{}\nsettings: {{touched: true}}", hashed(text));
        let error = directory.import(&text, now()).await.unwrap_err().to_string();
        assert_eq!(error, format!("import: {expected}"), "{text}");
        assert_eq!(*directory.read(), before, "{text}");
    }
}

/// Without what a text doesn't carry, and without names that are held twice or point nowhere, which it refuses.
fn importable(changes: Vec<Change>) -> State {
    let mut state = State::default();
    let mut users = BTreeSet::new();
    let mut names = BTreeSet::new();
    for change in changes {
        let is_sound = match &change {
            Change::User(user) => users.insert(user.id) && names.insert((0, user.username.clone())),
            Change::Project(project) => {
                let key = project.product_analytics.instrumentation_key.clone();
                state.project(project.id).is_none()
                    && names.insert((1, project.path.clone()))
                    && key.is_none_or(|key| names.insert((7, key)))
            }
            Change::Namespace(namespace) => {
                namespace
                    .parent_id
                    .is_none_or(|parent| parent < namespace.id && state.namespace(parent).is_some())
                    && state.namespace(namespace.id).is_none()
                    && names.insert((2, namespace.path.clone()))
            }
            Change::Token(token) => {
                state.user(token.user_id).is_some()
                    && state.token(token.id).is_none()
                    && names.insert((3, token.hash.to_hex()))
                    && names.insert((4, format!("{} {}", token.user_id, token.name)))
            }
            Change::Key(key) => {
                key.user_id.is_none_or(|user| state.user(user).is_some())
                    && key.deploy_projects.iter().all(|access| state.project(access.project_id).is_some())
                    && state.key(key.id).is_none()
                    && names.insert((5, key.fingerprint_sha256.clone()))
            }
            Change::Agent(agent) => {
                state.project(agent.project_id).is_some()
                    && state.agent(agent.id).is_none()
                    && agent.token_hashes.iter().all(|hash| names.insert((6, hash.to_hex())))
            }
            Change::Member(member) => {
                state.user(member.user_id).is_some()
                    && match member.source {
                        MemberSource::Project(id) => state.project(id).is_some(),
                        MemberSource::Namespace(id) => state.namespace(id).is_some(),
                    }
            }
            Change::Subscription(subscription) => state.namespace(subscription.namespace_id).is_some(),
            Change::MinutePack(pack) => state.namespace(pack.namespace_id).is_some(),
            Change::Reconciliation(next) => state.namespace(next.namespace_id).is_some(),
            Change::IdsUsed { .. } | Change::Setting { .. } | Change::FeatureFlag { .. } => true,
            _ => false,
        };
        if is_sound {
            state.apply(change);
        }
    }
    state
}

fn in_order_of_reference(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by_key(|change| match change {
        Change::User(_) => 0,
        Change::Namespace(_) => 1,
        Change::Project(_) => 2,
        _ => 3,
    });
    changes
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_exported_imports_as_the_same(changes in prop::collection::vec(change(), 0..80)) {
        let state = importable(in_order_of_reference(changes));
        let directory = Directory::in_memory();
        let (changes, _) = state.changes_after(&Cursor::default(), usize::MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(directory.record(now(), changes)).unwrap();
        let text = exported(&directory);
        let again = Directory::from_yaml(&text, "export").map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&*again.read(), &*directory.read(), "{}", text);
        prop_assert_eq!(exported(&again), text);
    }
}
