//! The directory's log: its users, namespaces, projects and memberships become rows that newer ones replace.
//!
//! A row's version is its record's offset, and a batch writes one row a key, so that it does not matter how often and in
//! which batches a record is folded. Secrets, keys and tokens stay in the log.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, date};
use tally_directory::log::{Valid, read_record};
use tally_directory::{
    Change, Member, MemberSource, Namespace, NamespaceKind, Project, User, UserState, Visibility,
};
use tally_eventlog::LogRecord;
use tally_schemas::{DropReason, topics};

use super::dead_letters::{self, DeadLetters};
use super::{Fold, Folded, Folder, RawTable, TableInsert};
use crate::row_binary::RowWriter;

const USERS: &str = "directory_users";
const NAMESPACES: &str = "directory_namespaces";
const PROJECTS: &str = "directory_projects";
const MEMBERS: &str = "directory_members";
const COMPACTIONS: &str = "directory_compactions";

const USER_COLUMNS: &[&str] = &["id", "username", "name", "state", "admin", "external", "version", "deleted"];
const NAMESPACE_COLUMNS: &[&str] = &["id", "path", "name", "kind", "parent_id", "version", "deleted"];
const PROJECT_COLUMNS: &[&str] =
    &["id", "path", "name", "namespace_id", "visibility", "archived", "version", "deleted"];
const MEMBER_COLUMNS: &[&str] =
    &["user_id", "source_kind", "source_id", "access_level", "expires_at", "version", "deleted"];
const COMPACTION_COLUMNS: &[&str] = &["whole_since"];

/// These tables are not partitioned; one insert a table has the batch's token to itself.
const NO_MONTH: u32 = 0;

/// Folds the directory's topic.
pub struct DirectoryFolder;

impl Folder for DirectoryFolder {
    fn topic(&self) -> &'static str {
        topics::DIRECTORY
    }

    fn tables(&self) -> &'static [&'static str] {
        &[USERS, NAMESPACES, PROJECTS, MEMBERS, COMPACTIONS, dead_letters::TABLE]
    }

    /// All of them: newer rows replace older ones, so that none of them sums up others.
    fn raw_tables(&self) -> &'static [RawTable] {
        const fn of(name: &'static str) -> RawTable {
            RawTable { name, of_topic: None, has_timestamp: false }
        }
        const { &[of(USERS), of(NAMESPACES), of(PROJECTS), of(MEMBERS), of(COMPACTIONS), dead_letters::RAW] }
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        Box::new(DirectoryFold {
            users: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            projects: BTreeMap::new(),
            members: BTreeMap::new(),
            compactions: BTreeSet::new(),
            dead_letters: DeadLetters::new(self.topic(), partition),
            unreadable: 0,
        })
    }
}

/// What a record left of something: nothing, if it took it away.
#[derive(Debug)]
struct Version<T> {
    offset: u64,
    record: Option<T>,
}

/// The last version of each record that the batch touches.
struct DirectoryFold {
    users: BTreeMap<i64, Version<User>>,
    namespaces: BTreeMap<i64, Version<Namespace>>,
    projects: BTreeMap<i64, Version<Project>>,
    members: BTreeMap<(MemberSource, i64), Version<Member>>,
    compactions: BTreeSet<u64>,
    dead_letters: DeadLetters,
    unreadable: u64,
}

impl Fold for DirectoryFold {
    fn add(&mut self, record: &LogRecord) {
        match read_record(record.offset, &record.value) {
            Ok(Valid { changes, whole_since }) => {
                self.compactions.extend(whole_since);
                for change in changes {
                    self.apply(record.offset, change);
                }
            }
            Err(error) => {
                self.unreadable += 1;
                self.dead_letters.add(record, DropReason::Undecodable, &error.to_string());
            }
        }
    }

    fn finish(self: Box<Self>) -> Folded {
        let tables = [
            rows_of(self.users, put_user).into_insert(USERS, USER_COLUMNS, NO_MONTH),
            rows_of(self.namespaces, put_namespace).into_insert(NAMESPACES, NAMESPACE_COLUMNS, NO_MONTH),
            rows_of(self.projects, put_project).into_insert(PROJECTS, PROJECT_COLUMNS, NO_MONTH),
            rows_of(self.members, put_member).into_insert(MEMBERS, MEMBER_COLUMNS, NO_MONTH),
            compactions(self.compactions).into_insert(COMPACTIONS, COMPACTION_COLUMNS, NO_MONTH),
        ];
        let touched = tables.into_iter().filter(|insert: &TableInsert| insert.rows > 0);
        let drops = (self.unreadable > 0).then_some((DropReason::Undecodable, self.unreadable));
        Folded {
            inserts: touched.chain(self.dead_letters.finish()).collect(),
            drops: drops.into_iter().collect(),
            received_at: None,
        }
    }
}

impl DirectoryFold {
    fn apply(&mut self, offset: u64, change: Change) {
        match change {
            Change::User(user) => put(&mut self.users, offset, user.id, Some(user)),
            Change::RemoveUser { id } => put(&mut self.users, offset, id, None),
            Change::Namespace(namespace) => put(&mut self.namespaces, offset, namespace.id, Some(namespace)),
            Change::RemoveNamespace { id } => put(&mut self.namespaces, offset, id, None),
            Change::Project(project) => put(&mut self.projects, offset, project.id, Some(project)),
            Change::RemoveProject { id } => put(&mut self.projects, offset, id, None),
            Change::Member(member) => {
                put(&mut self.members, offset, (member.source, member.user_id), Some(member));
            }
            Change::RemoveMember { user_id, source } => {
                put(&mut self.members, offset, (source, user_id), None);
            }
            // Everything else is either secret or of no use to a query.
            _ => {}
        }
    }
}

fn put<K: Ord, T>(versions: &mut BTreeMap<K, Version<T>>, offset: u64, key: K, record: Option<T>) {
    versions.insert(key, Version { offset, record });
}

/// One row a version; `put_record` writes the columns before version and flag, and only the key where there is no record.
fn rows_of<K, T>(
    versions: BTreeMap<K, Version<T>>,
    put_record: impl Fn(&mut RowWriter, K, Option<T>),
) -> RowWriter {
    let mut rows = RowWriter::default();
    for (key, Version { offset, record }) in versions {
        let deleted = record.is_none();
        put_record(&mut rows, key, record);
        rows.u64(offset);
        rows.bool(deleted);
        rows.end_row();
    }
    rows
}

fn put_user(rows: &mut RowWriter, id: i64, user: Option<User>) {
    let user = user.unwrap_or_default();
    rows.i64(id);
    rows.string(&user.username);
    rows.string(&user.name);
    rows.string(match user.state {
        UserState::Active => "active",
        UserState::Blocked => "blocked",
        UserState::Deactivated => "deactivated",
    });
    rows.bool(user.admin);
    rows.bool(user.external);
}

fn put_namespace(rows: &mut RowWriter, id: i64, namespace: Option<Namespace>) {
    let namespace = namespace.unwrap_or_default();
    rows.i64(id);
    rows.string(&namespace.path);
    rows.string(&namespace.name);
    rows.string(match namespace.kind {
        NamespaceKind::User => "user",
        NamespaceKind::Group => "group",
    });
    rows.i64(namespace.parent_id.unwrap_or_default());
}

fn put_project(rows: &mut RowWriter, id: i64, project: Option<Project>) {
    let (path, name) = project.as_ref().map_or(("", ""), |project| (&project.path, &project.name));
    rows.i64(id);
    rows.string(path);
    rows.string(name);
    rows.i64(project.as_ref().and_then(|project| project.namespace_id).unwrap_or_default());
    rows.string(match project.as_ref().map(|project| project.visibility).unwrap_or_default() {
        Visibility::Private => "private",
        Visibility::Internal => "internal",
        Visibility::Public => "public",
    });
    rows.bool(project.is_some_and(|project| project.archived));
}

fn put_member(rows: &mut RowWriter, (source, user_id): (MemberSource, i64), member: Option<Member>) {
    let (kind, source_id) = match source {
        MemberSource::Project(id) => ("project", id),
        MemberSource::Namespace(id) => ("namespace", id),
    };
    rows.i64(user_id);
    rows.string(kind);
    rows.i64(source_id);
    rows.u8(member.map_or(0, |member| member.access_level.number() as u8));
    rows.date(member.and_then(|member| member.expires_at).map_or(0, days_of));
}

/// Days since 1970-01-01, as far as ClickHouse's `Date` goes in either direction; the epoch itself stands for none.
fn days_of(day: Date) -> u16 {
    let since = day.since(date(1970, 1, 1)).map_or(0, |since| since.get_days());
    since.clamp(1, i32::from(u16::MAX)) as u16
}

fn compactions(since: BTreeSet<u64>) -> RowWriter {
    let mut rows = RowWriter::default();
    for whole_since in since {
        rows.u64(whole_since);
        rows.end_row();
    }
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tally_directory::AccessLevel;

    use super::*;

    fn record(offset: u64, value: impl Into<Vec<u8>>) -> LogRecord {
        LogRecord { offset, timestamp: 1_795_132_800_000, key: None, value: value.into().into() }
    }

    fn transaction(offset: u64, at: impl Into<Value>, changes: &[Change]) -> LogRecord {
        let writer = uuid::Uuid::nil();
        let text = json!({ "at": at.into(), "time": 0, "writer": writer, "changes": changes }).to_string();
        record(offset, text)
    }

    fn user(id: i64, username: &str) -> Change {
        Change::User(User { id, username: username.to_owned(), ..User::default() })
    }

    fn fold(records: &[LogRecord]) -> Folded {
        let mut fold = DirectoryFolder.start(0);
        for record in records {
            fold.add(record);
        }
        fold.finish()
    }

    fn rows(folded: &Folded) -> Vec<(&'static str, u64)> {
        folded.inserts.iter().map(|insert| (insert.table, insert.rows)).collect()
    }

    fn text(value: &str) -> Vec<u8> {
        [&[value.len() as u8], value.as_bytes()].concat()
    }

    #[test]
    fn a_user_becomes_a_row_with_its_offset_for_a_version() {
        let blocked = Change::User(User {
            id: 7,
            username: "alice".to_owned(),
            name: "Alice".to_owned(),
            state: UserState::Blocked,
            admin: true,
            ..User::default()
        });
        let folded = fold(&[transaction(300, 300, &[blocked])]);
        let mut expected = 7_i64.to_le_bytes().to_vec();
        expected.extend([text("alice"), text("Alice"), text("blocked")].concat());
        expected.extend([1, 0]);
        expected.extend(300_u64.to_le_bytes());
        expected.push(0);
        assert_eq!(folded.inserts[0].body, expected);
        assert_eq!(rows(&folded), [(USERS, 1)]);
    }

    #[test]
    fn a_membership_becomes_a_row_with_gitlabs_number() {
        let member = Member {
            user_id: 7,
            source: MemberSource::Namespace(3),
            access_level: AccessLevel::Developer,
            expires_at: Some(date(1970, 1, 31)),
        };
        let folded = fold(&[transaction(1, 1, &[Change::Member(member)])]);
        let mut expected = 7_i64.to_le_bytes().to_vec();
        expected.extend(text("namespace"));
        expected.extend(3_i64.to_le_bytes());
        expected.extend([30, 30, 0]);
        expected.extend(1_u64.to_le_bytes());
        expected.push(0);
        assert_eq!(folded.inserts[0].body, expected);
    }

    #[test]
    fn each_kind_goes_to_its_table_and_the_rest_nowhere() {
        let project: Project =
            serde_json::from_value(json!({ "id": 1, "path": "g/p", "name": "p" })).unwrap();
        let namespace = Namespace { id: 1, path: "g".to_owned(), ..Namespace::default() };
        let source = MemberSource::Project(1);
        let changes = [
            Change::Identity { id: uuid::Uuid::nil() },
            user(1, "alice"),
            Change::Namespace(namespace),
            Change::RemoveNamespace { id: 2 },
            Change::Project(project),
            Change::RemoveProject { id: 2 },
            Change::RemoveMember { user_id: 1, source },
            Change::Setting { name: "secret".to_owned(), value: json!(1) },
            Change::RemoveKey { id: 1 },
        ];
        let folded = fold(&[transaction(0, 0, &changes)]);
        assert_eq!(rows(&folded), [(USERS, 1), (NAMESPACES, 2), (PROJECTS, 2), (MEMBERS, 1)]);
    }

    #[test]
    fn only_the_last_version_of_a_batch_is_written() {
        let records = [
            transaction(0, 0, &[user(1, "alice"), user(2, "bob")]),
            transaction(1, 1, &[user(1, "carol"), Change::RemoveUser { id: 2 }]),
        ];
        let mut expected = fold(&[transaction(1, 1, &[user(1, "carol"), Change::RemoveUser { id: 2 }])]);
        assert_eq!(fold(&records).inserts, std::mem::take(&mut expected.inserts));
    }

    #[test]
    fn refused_records_and_tombstones_say_nothing() {
        let records = [
            transaction(5, 4, &[user(1, "alice")]),
            record(6, ""),
            transaction(7, Value::Null, &[user(2, "bob")]),
        ];
        let folded = fold(&records);
        assert_eq!(rows(&folded), [(USERS, 1)], "only the one that is valid anywhere");
        assert_eq!(folded.inserts[0].body[..8], 2_i64.to_le_bytes());
    }

    #[test]
    fn the_end_of_a_compaction_says_since_when_the_log_is_whole() {
        let rewrite = |offset: u64, done: bool| {
            let text = json!({ "at": offset, "time": 0, "writer": uuid::Uuid::nil(), "changes": [],
                "rewrite": { "from": 20, "done": done } });
            record(offset, text.to_string())
        };
        assert_eq!(rows(&fold(&[rewrite(20, false)])), []);
        let folded = fold(&[rewrite(20, false), rewrite(21, true)]);
        assert_eq!(rows(&folded), [(COMPACTIONS, 1)]);
        assert_eq!(folded.inserts[0].body, 20_u64.to_le_bytes().to_vec());
    }

    #[test]
    fn a_record_that_is_no_transaction_becomes_a_dead_letter() {
        let folded = fold(&[record(0, "garbage"), transaction(1, 1, &[user(1, "alice")])]);
        assert_eq!(rows(&folded), [(USERS, 1), (dead_letters::TABLE, 1)]);
        assert_eq!(folded.drops, BTreeMap::from([(DropReason::Undecodable, 1)]));
    }

    #[test]
    fn days_stay_within_what_a_date_can_hold() {
        for (day, days) in [
            (date(1970, 1, 2), 1),
            (date(1969, 1, 1), 1),
            (date(2026, 3, 1), 20_513),
            (date(9999, 1, 1), u16::MAX),
        ] {
            assert_eq!(days_of(day), days, "{day}");
        }
    }

    proptest! {
        #[test]
        fn the_same_records_always_give_the_same_inserts(
            ids in prop::collection::vec((1_i64..9, any::<bool>()), 0..40),
        ) {
            let change = |(id, removed): (i64, bool)| if removed { Change::RemoveUser { id } } else { user(id, "x") };
            let records: Vec<LogRecord> =
                (0..).zip(ids).map(|(offset, named)| transaction(offset, offset, &[change(named)])).collect();
            prop_assert_eq!(fold(&records).inserts, fold(&records).inserts);
        }

        #[test]
        fn no_bytes_stop_the_fold(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let folded = fold(&[record(0, bytes), transaction(1, 1, &[user(1, "alice")])]);
            prop_assert_eq!(rows(&folded)[0], (USERS, 1));
        }
    }
}
