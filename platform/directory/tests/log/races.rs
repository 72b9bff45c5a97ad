//! Writers that compete: whatever the order in which they get on, all copies agree, and who was told yes got it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;
use tally_directory::log::ReplicaConfig;
use tally_directory::{Change, Directory, ReferenceCount, TransactError};
use tally_eventlog::{EventLog, Record};
use uuid::Uuid;

use super::commands::{
    TOPIC, Taken, caught_up, create_user, naive_users, open, open_with, remove_user, rename_user, state,
    users,
};
use super::memory_log::MemoryLog;

#[derive(Clone, Debug)]
enum Command {
    Create(String),
    /// The names come out of few, so that writers want the same ones.
    Contend(u8),
    Rename(i64, u8),
    Remove(i64),
    Count(i64),
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => "[a-z]{8}".prop_map(Command::Create),
        3 => (0_u8..5).prop_map(Command::Contend),
        2 => (1_i64..12, 0_u8..5).prop_map(|(id, name)| Command::Rename(id, name)),
        1 => (1_i64..12).prop_map(Command::Remove),
        1 => (-3_i64..4).prop_map(Command::Count),
    ]
}

/// What a writer was told.
#[derive(Debug, Default)]
struct Told {
    created: Vec<(i64, String)>,
    /// Whether or not it is done is not known.
    unknown: usize,
}

impl Told {
    fn note<T>(&mut self, outcome: Result<T, TransactError<Taken>>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(TransactError::Refused(Taken)) => None,
            Err(TransactError::Unavailable(_)) => {
                self.unknown += 1;
                None
            }
        }
    }
}

/// `contended`: what begins the names that everybody wants.
async fn work(directory: Arc<Directory>, commands: Vec<Command>) -> Told {
    let mut told = Told::default();
    for command in commands {
        let contended = |name: u8| format!("contended-{name}");
        match command {
            Command::Create(name) => {
                let created = told.note(create_user(&directory, &name).await);
                told.created.extend(created.map(|id| (id, name)));
            }
            Command::Contend(name) => {
                let created = told.note(create_user(&directory, &contended(name)).await);
                told.created.extend(created.map(|id| (id, contended(name))));
            }
            Command::Rename(id, name) => {
                told.note(rename_user(&directory, id, &contended(name)).await);
            }
            Command::Remove(id) => {
                told.note(remove_user(&directory, id).await);
            }
            Command::Count(count) => {
                let (repository, writer) = ("r".to_owned(), Uuid::from_u128(count.unsigned_abs().into()));
                let count = ReferenceCount { repository, writer, count, at: Timestamp::UNIX_EPOCH };
                let counted =
                    directory.record(Timestamp::UNIX_EPOCH, vec![Change::ReferenceCount(count)]).await;
                told.unknown += usize::from(counted.is_err());
            }
        }
    }
    told
}

/// Lets the writers loose on one log, and returns what each was told.
async fn race(
    log: &Arc<MemoryLog>,
    lost_answers: u32,
    plans: Vec<Vec<Command>>,
) -> (Vec<Arc<Directory>>, Vec<Told>) {
    let mut copies = Vec::new();
    for number in 0..plans.len() {
        let connected = log.connect(log.high() as u32 * 31 + number as u32);
        // Where answers get lost it takes all of this time to find that nothing came of a record.
        let write_timeout = Duration::from_millis(if lost_answers == 0 { 60_000 } else { 30 });
        let config = ReplicaConfig { write_timeout, ..ReplicaConfig::new(TOPIC) };
        let copy = Arc::new(open_with(config, &connected).await);
        connected.lost_answers.store(lost_answers, Ordering::Relaxed);
        copies.push(copy);
    }
    let working = copies.iter().zip(plans).map(|(copy, plan)| tokio::spawn(work(Arc::clone(copy), plan)));
    let mut told = Vec::new();
    for task in working.collect::<Vec<_>>() {
        told.push(task.await.unwrap());
    }
    (copies, told)
}

/// Checks every copy against the log and against what the writers were told.
async fn agree(log: &Arc<MemoryLog>, copies: &[Arc<Directory>], told: &[Told]) {
    let expected = naive_users(&log.records());
    let first = &copies[0];
    for copy in copies {
        caught_up(copy).await;
        assert_eq!(users(&state(copy)), expected);
        assert!(state(copy) == state(first), "copies differ");
    }
    let ids: Vec<i64> = told.iter().flat_map(|told| &told.created).map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), ids.iter().collect::<BTreeSet<_>>().len(), "an id was handed out twice: {ids:?}");
    let names: BTreeSet<&String> = expected.values().collect();
    assert_eq!(names.len(), expected.len(), "a name is there twice: {expected:?}");

    // In the log as it came about, every acknowledged creation is a valid record, exactly once.
    let mut creations: BTreeMap<(i64, String), usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let records = log.records();
    for end in 1..=records.len() {
        let after = naive_users(&records[end - 1..end]);
        for (id, name) in after {
            if seen.insert(id) {
                *creations.entry((id, name)).or_default() += 1;
            }
        }
    }
    for created in told.iter().flat_map(|told| &told.created) {
        assert_eq!(creations.get(created), Some(&1), "{created:?}");
    }
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn copies_agree_however_their_writers_interleave(
        seed in any::<u32>(),
        lost_answers in prop_oneof![Just(0_u32), 2_u32..8],
        plans in prop::collection::vec(prop::collection::vec(any_command(), 1..12), 2..5),
    ) {
        run(async {
            let log = MemoryLog::new(seed);
            let (copies, told) = race(&log, lost_answers, plans).await;
            agree(&log, &copies, &told).await;
            if lost_answers == 0 {
                assert_eq!(told.iter().map(|told| told.unknown).sum::<usize>(), 0);
            }
            // A reader of all the log ends where those are who came with it.
            assert!(state(&open(&log.connect(1)).await) == state(&copies[0]), "a new copy differs");
            // A refused record stays one, whatever compaction leaves of the others.
            log.compact(u64::MAX);
            assert!(state(&open(&log.connect(2)).await) == state(&copies[0]), "compaction changed the state");
        });
    }
}

#[test]
fn of_two_who_want_a_name_one_gets_it() {
    run(async {
        let log = MemoryLog::new(7);
        let plans = vec![vec![Command::Contend(0)]; 8];
        let (copies, told) = race(&log, 0, plans).await;
        agree(&log, &copies, &told).await;
        assert_eq!(told.iter().map(|told| told.created.len()).sum::<usize>(), 1);
    });
}

#[test]
fn a_refusal_takes_into_account_what_was_written_before() {
    run(async {
        let log = MemoryLog::new(7);
        let (slow, fast) = (log.connect(1), log.connect(2));
        let (behind, ahead) = (Arc::new(open(&slow).await), open(&fast).await);
        create_user(&ahead, "alice").await.unwrap();
        caught_up(&behind).await;
        slow.hold_up(true);
        remove_user(&ahead, 1).await.unwrap();
        // The name is free by now, although this copy has not heard of it.
        let creating = tokio::spawn({
            let behind = Arc::clone(&behind);
            async move { create_user(&behind, "alice").await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!creating.is_finished(), "answered out of date");
        slow.hold_up(false);
        assert_eq!(creating.await.unwrap(), Ok(2));
    });
}

#[test]
fn a_command_that_the_log_does_not_take_is_unavailable_in_time() {
    run(async {
        let log = MemoryLog::new(7);
        let write_timeout = Duration::from_millis(300);
        let copy = open_with(ReplicaConfig { write_timeout, ..ReplicaConfig::new(TOPIC) }, &log).await;
        log.lost_answers.store(1, Ordering::Relaxed);
        log.hold_up(true);
        let started = Instant::now();
        let outcome = create_user(&copy, "alice").await;
        assert!(matches!(outcome, Err(TransactError::Unavailable(_))), "{outcome:?}");
        assert!(started.elapsed() < Duration::from_secs(10));
        log.lost_answers.store(0, Ordering::Relaxed);
        log.hold_up(false);
        create_user(&copy, "bob").await.unwrap();
    });
}

#[test]
fn records_that_nobody_can_read_are_skipped_by_all() {
    run(async {
        let log = MemoryLog::new(7);
        let copy = open(&log).await;
        create_user(&copy, "alice").await.unwrap();
        let garbage = ["{", "{\"at\":2}", "[]", "{\"at\":null,\"time\":0,\"writer\":\"x\",\"changes\":[]}"];
        let record = |(number, text): (usize, &str)| Record {
            key: Some(Bytes::from(format!("garbage-{number}"))),
            value: Bytes::copy_from_slice(text.as_bytes()),
            timestamp: 0,
        };
        let results = log.append(TOPIC, garbage.into_iter().enumerate().map(record).collect()).await;
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(create_user(&copy, "bob").await, Ok(2));
        assert_eq!(users(&state(&copy)), BTreeMap::from([(1, "alice".to_owned()), (2, "bob".to_owned())]));
        assert!(state(&open(&log).await) == state(&copy));
    });
}
