//! The state: what changes do to it, what it answers, and the laws that snapshots and compaction stand on.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod changes;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tally_directory::{
    AccessLevel, Change, Cursor, Directory, IdKind, Member, MemberSource, ReferenceCount, SecretHash, State,
    User,
};
use uuid::Uuid;

use crate::changes::change;

fn folded(changes: &[Change]) -> State {
    let mut state = State::default();
    apply(&mut state, changes);
    state
}

fn apply<'a>(state: &mut State, changes: impl IntoIterator<Item = &'a Change>) {
    for change in changes {
        state.apply(change.clone());
    }
}

/// All of a state as changes, read out `limit` at a time.
fn read_out(state: &State, limit: usize) -> Vec<Change> {
    let mut all = Vec::new();
    let mut cursor = Cursor::default();
    loop {
        let (changes, next) = state.changes_after(&cursor, limit);
        if changes.is_empty() {
            return all;
        }
        all.extend(changes);
        cursor = next;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_states_own_changes_make_an_equal_state(
        changes in prop::collection::vec(change(), 0..60),
        limit in 1..20_usize,
    ) {
        let state = folded(&changes);
        prop_assert_eq!(&folded(&read_out(&state, limit)), &state);
    }

    #[test]
    fn changes_applied_again_change_nothing(changes in prop::collection::vec(change(), 0..60)) {
        let once = folded(&changes);
        let mut twice = once.clone();
        apply(&mut twice, &changes);
        prop_assert_eq!(twice, once);
    }

    /// A snapshot is read out while changes go on, and then they are applied over it.
    #[test]
    fn the_tail_over_a_state_read_out_meanwhile_makes_the_state_at_its_end(
        before in prop::collection::vec(change(), 0..40),
        tail in prop::collection::vec(change(), 0..40),
        limit in 1..10_usize,
        pace in 0..10_usize,
    ) {
        let mut state = folded(&before);
        let mut remaining = tail.iter();
        let mut snapshot = State::default();
        let mut cursor = Cursor::default();
        loop {
            let (changes, next) = state.changes_after(&cursor, limit);
            if changes.is_empty() {
                break;
            }
            apply(&mut snapshot, &changes);
            cursor = next;
            apply(&mut state, remaining.by_ref().take(pace));
        }
        apply(&mut state, remaining);
        apply(&mut snapshot, &tail);
        prop_assert_eq!(snapshot, state);
    }

    #[test]
    fn changes_survive_json(change in change()) {
        let json = serde_json::to_string(&change).unwrap();
        prop_assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change, "{}", json);
    }

    /// What is found by name is what has the name, however it came about.
    #[test]
    fn names_find_what_has_them(changes in prop::collection::vec(change(), 0..60)) {
        let state = folded(&changes);
        for user in state.users() {
            let found = state.user_named(&user.username).unwrap();
            prop_assert_eq!(&found.username, &user.username);
        }
        for token in state.tokens() {
            prop_assert_eq!(state.token_by_hash(&token.hash).unwrap().hash, token.hash);
            prop_assert!(state.tokens_of(token.user_id).any(|own| own == token));
        }
        for key in state.keys() {
            let found = state.key_by_fingerprint(&key.fingerprint_sha256).unwrap();
            prop_assert_eq!(&found.fingerprint_sha256, &key.fingerprint_sha256);
        }
        for project in state.projects() {
            prop_assert_eq!(&state.project_at(&project.path).unwrap().path, &project.path);
        }
    }
}

#[test]
fn ids_of_removed_records_are_not_handed_out_again() {
    let mut state = State::default();
    assert_eq!(state.next_user_id(), 1);
    state.apply(Change::User(User { id: 7, username: "u".into(), ..User::default() }));
    state.apply(Change::RemoveUser { id: 7 });
    assert_eq!(state.next_user_id(), 8);
    assert_eq!(folded(&read_out(&state, 100)).next_id(IdKind::User), 8, "not after a snapshot either");
    assert_eq!(state.next_project_id(), 1, "each kind counts by itself");
}

#[test]
fn a_member_is_written_as_a_short_list() {
    let member = Member {
        user_id: 5,
        source: MemberSource::Namespace(9),
        access_level: AccessLevel::Developer,
        expires_at: Some(date(2027, 1, 1)),
    };
    let json = serde_json::to_string(&Change::Member(member)).unwrap();
    assert_eq!(json, r#"{"member":[5,"namespace",9,"developer","2027-01-01"]}"#);
}

const TREE: &str = "
users: [{id: 1, username: a}, {id: 2, username: b}, {id: 3, username: c}, {id: 4, username: d}]
namespaces:
  - {id: 1, path: top, members: [{user: a, access_level: guest}, {user: b, access_level: owner, expires_at: 2026-03-01}]}
  - {id: 2, path: top/sub, parent_id: 1, members: [{user: a, access_level: maintainer}]}
  - {id: 3, path: top/sub/leaf, parent_id: 2}
  - {id: 4, path: other}
projects:
  - {id: 10, path: top/p, namespace_id: 1}
  - {id: 11, path: top/sub/leaf/p, namespace_id: 3, members: [{user: a, access_level: developer}]}
  - {id: 12, path: other/p, namespace_id: 4, members: [{user: c, access_level: owner}]}
  - {id: 13, path: p}
";

#[test]
fn the_highest_role_of_project_and_namespaces_counts() {
    let directory = Directory::from_yaml(TREE, "directory.yml").unwrap();
    let state = directory.read();
    let level = |user, project| state.access_level(user, state.project(project).unwrap(), date(2026, 3, 1));
    let rows = [
        (1, 10, Some(AccessLevel::Guest)),
        (1, 11, Some(AccessLevel::Maintainer)),
        (1, 12, None),
        (1, 13, None),
        (2, 10, None),
        (2, 11, None),
        (3, 12, Some(AccessLevel::Owner)),
        (4, 10, None),
    ];
    for (user, project, expected) in rows {
        assert_eq!(level(user, project), expected, "user {user} in project {project}");
    }
    let before = date(2026, 2, 28);
    assert_eq!(state.access_level(2, state.project(11).unwrap(), before), Some(AccessLevel::Owner));
    assert_eq!(state.namespace_access_level(1, 3, before), Some(AccessLevel::Maintainer));
    assert_eq!(state.projects_of_member(1, before), [10, 11]);
    assert_eq!(state.projects_of_member(2, before), [10, 11]);
    assert_eq!(state.projects_of_member(2, date(2026, 3, 1)), Vec::<i64>::new());
    assert_eq!(state.projects_of_member(3, before), [12]);
}

#[test]
fn the_seats_of_a_namespace_are_the_users_of_its_tree() {
    let directory = Directory::from_yaml(TREE, "directory.yml").unwrap();
    let state = directory.read();
    let users = |id| state.members_of_namespace_tree(id).into_iter().collect::<Vec<_>>();
    assert_eq!(users(1), [1, 2]);
    assert_eq!(users(4), [3]);
    assert_eq!(users(5), Vec::<i64>::new());
    let above = |id| state.ancestors(id).map(|above| above.id).collect::<Vec<_>>();
    assert_eq!(above(3), [3, 2, 1]);
    assert_eq!(above(9), Vec::<i64>::new());
}

#[test]
fn removing_takes_along_what_means_nothing_without() {
    let directory = Directory::from_yaml(TREE, "directory.yml").unwrap();
    let mut state = directory.read().clone();
    state.apply(Change::RemoveUser { id: 1 });
    assert_eq!(state.memberships_of(1).count(), 0);
    assert_eq!(state.members_of(MemberSource::Project(11)).count(), 0);
    state.apply(Change::RemoveProject { id: 12 });
    assert_eq!(state.memberships_of(3).count(), 0);
    assert!(state.project_at("other/p").is_none());
    state.apply(Change::RemoveNamespace { id: 1 });
    assert_eq!(state.memberships_of(2).count(), 0);
    assert_eq!(state.ancestors(3).count(), 2);
}

#[test]
fn a_repositorys_references_are_summed_over_writers_and_expire() {
    let at = |minute: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
    let count = |writer: u128, count, minute| {
        let writer = Uuid::from_u128(writer);
        Change::ReferenceCount(ReferenceCount {
            repository: "project-1".into(),
            writer,
            count,
            at: at(minute),
        })
    };
    let mut state = State::default();
    state.apply(count(1, 2, 0));
    state.apply(count(2, -1, 5));
    assert_eq!(state.references("project-1", at(6)), 1);
    assert_eq!(state.reference_count("project-1", Uuid::from_u128(1), at(6)), 2);
    assert_eq!(state.references("project-1", at(10)), 0, "the first has expired, and no sum is below 0");
    assert_eq!(state.references("project-2", at(6)), 0);
    assert_eq!(state.expired_references(at(9), 5), []);
    let expired = state.expired_references(at(10), 5);
    assert_eq!(expired.len(), 1);
    apply(&mut state, &expired);
    assert_eq!(state.references("project-1", at(6)), 0, "only the second's -1 is left");
    state.apply(count(2, 0, 6));
    assert_eq!(state, State::default(), "a count of 0 leaves nothing behind");
}

#[test]
fn secrets_are_found_by_their_hash() {
    let text = format!(
        "projects: [{{id: 1, path: p}}]\nagents: [{{id: 4, name: a, project_id: 1, token_hashes: [\"{}\"]}}]",
        SecretHash::of("agent-token").to_hex()
    );
    let directory = Directory::from_yaml(&text, "directory.yml").unwrap();
    let state = directory.read();
    assert_eq!(state.agent_by_token(&SecretHash::of("agent-token")).unwrap().id, 4);
    assert!(state.agent_by_token(&SecretHash::of("other")).is_none());
    assert_eq!(state.agents_of(1).count(), 1);
}
