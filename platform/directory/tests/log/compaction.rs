//! Compaction: the state stays what it was, for those who come later, those who were away and those who watched.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use proptest::prelude::*;
use tally_directory::Directory;
use tally_directory::log::ReplicaConfig;

use super::commands::{TOPIC, caught_up, create_user, open, open_with, remove_user, state, users};
use super::memory_log::MemoryLog;

/// Creates users and removes others, older ones among them, so that records from before a compaction would do harm.
async fn use_it(directory: &Directory, round: u32) {
    for number in 0..6 {
        create_user(directory, &format!("user-{round}-{number}")).await.unwrap();
    }
    let present: Vec<i64> = users(&directory.read()).into_keys().collect();
    for id in present.into_iter().step_by(2) {
        remove_user(directory, id).await.unwrap();
    }
}

#[tokio::test]
async fn a_compacted_log_holds_the_same_state_in_fewer_records() {
    let log = MemoryLog::new(3);
    let one = open(&log).await;
    for round in 0..20 {
        use_it(&one, round).await;
    }
    let (before, records) = (state(&one), log.records().len());
    let compacted = one.compact().await.unwrap();
    assert_eq!((compacted.from, compacted.removed), (records as u64, records as u64));
    assert!(state(&one) == before, "the state has changed");
    assert!(state(&open(&log).await) == before, "with the older records still there");
    log.compact(u64::MAX);
    assert!(log.records().len() < 5, "{:?}", log.records());
    assert!(state(&open(&log).await) == before, "with the older records gone");

    // Ids of users who are gone are not handed out again.
    let highest = 20 * 6;
    assert_eq!(create_user(&open(&log).await, "next").await, Ok(highest + 1));
    one.compact().await.unwrap();
    log.compact(u64::MAX);
    assert!(state(&open(&log).await) == state(&one), "compacted twice");
}

#[tokio::test]
async fn what_was_removed_meanwhile_does_not_come_back_out_of_an_old_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot");
    let config = ReplicaConfig { snapshot_file: Some(file.clone()), ..ReplicaConfig::new(TOPIC) };
    let log = MemoryLog::new(3);
    let one = open_with(config.clone(), &log).await;
    create_user(&one, "alice").await.unwrap();
    create_user(&one, "bob").await.unwrap();
    one.snapshot().await.unwrap();
    let old = fs::read(&file).unwrap();
    remove_user(&one, 1).await.unwrap();
    one.compact().await.unwrap();
    create_user(&one, "carol").await.unwrap();
    log.compact(u64::MAX);
    let expected = BTreeMap::from([(2, "bob".to_owned()), (3, "carol".to_owned())]);
    let again = open_with(config, &log).await;
    assert_eq!(fs::read(&file).unwrap(), old, "it is the old snapshot that was read");
    assert_eq!(users(&state(&again)), expected);
    assert!(state(&again) == state(&one));
}

#[tokio::test]
async fn a_copy_that_was_cut_off_during_a_compaction_finds_its_way() {
    let log = MemoryLog::new(3);
    let (here, there) = (log.connect(1), log.connect(2));
    let (one, other) = (open(&here).await, open(&there).await);
    create_user(&one, "alice").await.unwrap();
    create_user(&one, "bob").await.unwrap();
    caught_up(&other).await;
    there.hold_up(true);
    remove_user(&one, 1).await.unwrap();
    one.compact().await.unwrap();
    create_user(&one, "carol").await.unwrap();
    log.compact(u64::MAX);
    there.hold_up(false);
    let written = create_user(&other, "dave").await;
    assert_eq!(written, Ok(4));
    caught_up(&one).await;
    assert_eq!(users(&state(&other)).into_values().collect::<Vec<_>>(), ["bob", "carol", "dave"]);
    assert!(state(&other) == state(&one));
}

#[tokio::test]
async fn two_compactions_at_once_leave_the_state_alone() {
    let log = MemoryLog::new(3);
    let (one, other) = (open(&log.connect(1)).await, open(&log.connect(2)).await);
    use_it(&one, 1).await;
    let (first, second, ()) = tokio::join!(one.compact(), other.compact(), use_it(&one, 2));
    first.unwrap();
    second.unwrap();
    caught_up(&one).await;
    caught_up(&other).await;
    assert!(state(&one) == state(&other));
    log.compact(u64::MAX);
    assert!(state(&open(&log).await) == state(&one));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Writers, two who compact, and a broker that forgets what it may up to anywhere, at any time.
    #[test]
    fn copies_agree_while_the_log_is_compacted(
        seed in any::<u32>(),
        rounds in prop::collection::vec((any::<bool>(), any::<bool>(), any::<prop::sample::Index>()), 1..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let log = MemoryLog::new(seed);
            let connections = [log.connect(seed ^ 1), log.connect(seed ^ 2)];
            let copies = [Arc::new(open(&connections[0]).await), Arc::new(open(&connections[1]).await)];
            for (number, (hold_up, by_other, up_to)) in rounds.into_iter().enumerate() {
                connections[1].hold_up(hold_up);
                let working = tokio::spawn({
                    let copy = Arc::clone(&copies[0]);
                    async move { use_it(&copy, number as u32).await }
                });
                copies[usize::from(by_other && !hold_up)].compact().await.unwrap();
                log.compact(up_to.index(log.high() as usize) as u64);
                working.await.unwrap();
                assert!(state(&open(&log.connect(9)).await) == state(&copies[0]), "a new copy differs");
                connections[1].hold_up(false);
            }
            caught_up(&copies[1]).await;
            assert!(state(&copies[1]) == state(&copies[0]), "copies differ");
        });
    }
}
