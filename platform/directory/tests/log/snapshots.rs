//! Snapshots: a copy that begins with one is like a copy that has read all of the log.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use tally_directory::log::ReplicaConfig;
use tally_directory::{Change, Cursor, Directory, State, User};
use tally_eventlog::EventLog;
use tokio_util::sync::CancellationToken;

use super::commands::{TOPIC, create_user, open, open_with, remove_user, rename_user, state, users};
use super::memory_log::MemoryLog;

fn config(file: &Path) -> ReplicaConfig {
    ReplicaConfig { snapshot_file: Some(file.to_owned()), ..ReplicaConfig::new(TOPIC) }
}

fn apply_all(state: &mut State, changes: &[Change]) {
    for change in changes {
        state.apply(change.clone());
    }
}

fn any_change() -> impl Strategy<Value = Change> {
    let user = |(id, name): (i64, u8)| User { id, username: format!("name-{name}"), ..User::default() };
    prop_oneof![
        6 => (1_i64..20, 0_u8..20).prop_map(move |named| Change::User(user(named))),
        1 => (1_i64..20).prop_map(|id| Change::RemoveUser { id }),
        1 => ("[ab]", 0..3).prop_map(|(name, value): (_, i32)| Change::Setting { name, value: value.into() }),
    ]
}

proptest! {
    /// Read out in pieces while changes go on, then all changes since the beginning of the reading once more.
    #[test]
    fn a_state_read_out_while_it_changes_is_mended_by_the_tail(
        changes in prop::collection::vec(any_change(), 1..80),
        begin in any::<prop::sample::Index>(),
        pieces in prop::collection::vec((1_usize..4, 0_usize..6), 1..60),
    ) {
        let begin = begin.index(changes.len());
        let (mut live, mut restored) = (State::default(), State::default());
        apply_all(&mut live, &changes[..begin]);
        let (mut cursor, mut applied) = (Cursor::default(), begin);
        let mut pieces = pieces.into_iter().chain(std::iter::repeat((3, 1)));
        loop {
            let (piece, meanwhile) = pieces.next().unwrap();
            let (read, next) = live.changes_after(&cursor, piece);
            if read.is_empty() {
                break;
            }
            apply_all(&mut restored, &read);
            cursor = next;
            for change in changes.iter().skip(applied).take(meanwhile) {
                live.apply(change.clone());
                applied += 1;
            }
        }
        apply_all(&mut live, &changes[applied..]);
        apply_all(&mut restored, &changes[begin..]);
        prop_assert!(restored == live, "{restored:?}\n{live:?}");
    }
}

/// Some commands of every kind; names go from one user to another.
async fn use_it(directory: &Directory, round: i64) {
    for number in 0..10 {
        create_user(directory, &format!("user-{round}-{number}")).await.unwrap();
    }
    let first = users(&directory.read()).into_keys().next().unwrap();
    let freed = directory.read().user(first).unwrap().username.clone();
    rename_user(directory, first, &format!("renamed-{round}")).await.unwrap();
    create_user(directory, &freed).await.unwrap();
    remove_user(directory, first).await.unwrap();
}

#[tokio::test]
async fn a_copy_begins_with_its_snapshot_and_reads_the_tail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("new/folder/directory.snapshot");
    let log = MemoryLog::new(5);
    let shutdown = CancellationToken::new();
    let one = Directory::open(config(&file), Arc::clone(&log) as Arc<dyn EventLog>, shutdown.clone())
        .await
        .unwrap();
    use_it(&one, 1).await;
    assert!(!file.exists());
    shutdown.cancel();
    one.stopped().await;
    let (saved, position) = (fs::read_to_string(&file).unwrap(), one.position());
    assert!(saved.starts_with(&format!("{{\"format\":1,\"position\":{position},")), "{saved}");

    let other = open(&log).await;
    use_it(&other, 2).await;
    let again = open_with(config(&file), &log).await;
    assert!(state(&again) == state(&other));
    // It did begin with the snapshot: what a file says that the log doesn't is there.
    fs::write(&file, saved.replace("USER-1-5", "from the file")).unwrap();
    let again = open_with(config(&file), &log).await;
    assert_eq!(again.read().user_named("user-1-5").unwrap().name, "from the file");
    assert_eq!(
        fs::read_dir(file.parent().unwrap()).unwrap().count(),
        1,
        "nothing is left beside the snapshot"
    );
}

#[tokio::test]
async fn snapshots_are_written_as_changes_come() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot");
    let log = MemoryLog::new(5);
    let one = open_with(ReplicaConfig { snapshot_interval: 20, ..config(&file) }, &log).await;
    use_it(&one, 1).await;
    use_it(&one, 2).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !file.exists() {
        assert!(std::time::Instant::now() < deadline, "no snapshot");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    use_it(&one, 3).await;
    assert!(state(&open_with(config(&file), &log).await) == state(&one));
}

#[tokio::test]
async fn a_snapshot_that_is_torn_or_of_another_directory_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot");
    let log = MemoryLog::new(5);
    let one = open_with(config(&file), &log).await;
    use_it(&one, 1).await;
    one.snapshot().await.unwrap();
    let saved = fs::read_to_string(&file).unwrap();
    assert!(state(&open_with(config(&file), &log).await) == state(&one));

    let lines: Vec<&str> = saved.lines().collect();
    let without = |left_out: usize| {
        let kept: Vec<&str> = [&lines[..left_out], &lines[left_out + 1..], &[""]].concat();
        kept.join("\n")
    };
    let mut broken = vec![
        String::new(),
        "\0".repeat(saved.len()),
        without(0),
        without(lines.len() - 1),
        without(4),
        saved.replace("\"format\":1", "\"format\":2"),
        saved.replace("{\"user\":", "{\"nobody\":"),
        saved.replacen("\"position\":", "\"position\":99999", 1),
    ];
    broken.extend([10, saved.len() / 2, saved.len() - 2].map(|length| saved[..length].to_owned()));
    let other = MemoryLog::new(6);
    let foreign = open(&other).await;
    use_it(&foreign, 2).await;
    use_it(&foreign, 3).await;
    for text in broken {
        fs::write(&file, &text).unwrap();
        assert!(state(&open_with(config(&file), &log).await) == state(&one), "{text}");
    }
    // Of the right form, but of another directory.
    fs::write(&file, &saved).unwrap();
    assert!(state(&open_with(config(&file), &other).await) == state(&foreign));
}
