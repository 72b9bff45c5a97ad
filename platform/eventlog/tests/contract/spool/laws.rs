//! Random faults of the log and crashes of the spool, at random moments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tally_eventlog::spool::{SpoolConfig, SpoolingLog};
use tally_eventlog::{AppendError, Intake, Record};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::fake::{Fault, FaultyLog, Random};
use super::{Running, TOPIC, config, value_of};
use crate::cases::now;

const RUNS: u64 = 100;
const WRITERS: u64 = 4;

/// What the callers were told.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Told {
    fn note(&mut self, results: impl Iterator<Item = (String, Result<(), AppendError>)>) {
        for (value, result) in results {
            let heard = if result.is_ok() { &mut self.acknowledged } else { &mut self.refused };
            heard.insert(value);
        }
    }
}

/// Appends until it is aborted.
async fn write(spool: Arc<SpoolingLog>, told: Arc<Mutex<Told>>, name: String, mut random: Random) {
    for call in 0.. {
        let record = |index: u64, random: &mut Random| Record {
            key: (random.below(2) == 0).then(|| Bytes::from(format!("key {}", random.below(9)))),
            value: Bytes::from(format!("{name}-{call}-{index}")),
            timestamp: now(),
        };
        let records: Vec<_> = (0..=random.below(8)).map(|index| record(index, &mut random)).collect();
        let values: Vec<_> = records.iter().map(value_of).collect();
        let results = spool.accept(TOPIC, records).await;
        assert_eq!(results.len(), values.len());
        told.lock().note(values.into_iter().zip(results));
        sleep(Duration::from_millis(random.below(4))).await;
    }
}

/// One life of the process: writes while the log has its faults, then dies.
async fn live(
    log: &Arc<FaultyLog>,
    config: &SpoolConfig,
    told: &Arc<Mutex<Told>>,
    name: &str,
    random: &mut Random,
) -> u64 {
    let running = Running::start(config, log);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let seed = Random::new(random.below(u64::MAX));
        writers.spawn(write(Arc::clone(&running.spool), Arc::clone(told), format!("{name}-{writer}"), seed));
    }
    for _ in 0..random.below(5) {
        let fault = match random.below(6) {
            0 => Fault::None,
            1 => Fault::Down,
            2 => Fault::Frozen,
            _ => Fault::Flaky,
        };
        log.set(fault);
        sleep(Duration::from_millis(random.below(60))).await;
    }
    let found_again = running.metric("tally_spool_found_again_total");
    running.draining.abort();
    writers.shutdown().await;
    let _ = running.draining.await;
    found_again
}

/// What a process that is killed leaves of the entry that it was writing.
fn tear(folder: &Path, random: &mut Random) {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let Some(last) =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "spool")).max()
    else {
        return;
    };
    let garbage: Vec<u8> = (0..random.below(40)).map(|_| random.below(256) as u8).collect();
    OpenOptions::new().append(true).open(last).expect("a file").write_all(&garbage).expect("written");
}

/// Returns how many records were acknowledged, and how many in doubt were found in the log.
async fn run(seed: u64) -> (usize, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(seed);
    let log = FaultyLog::new(3, random.below(u64::MAX));
    let told = Arc::new(Mutex::new(Told::default()));
    let mut config = config(folder.path());
    if random.below(3) == 0 {
        config.max_bytes = 8000;
    }
    let mut found_again = 0;
    for life in 0..=random.below(4) {
        found_again += live(&log, &config, &told, &format!("{seed}-{life}"), &mut random).await;
        tear(folder.path(), &mut random);
    }
    log.set(Fault::None);
    let last = Running::start(&config, &log);
    last.wait_until_drained().await;
    found_again += last.metric("tally_spool_found_again_total");
    assert_eq!(last.metric("tally_spool_set_aside_total"), 0);
    last.stop().await;

    let mut copies = BTreeMap::<String, usize>::new();
    for value in log.values().into_iter().flatten() {
        *copies.entry(value).or_default() += 1;
    }
    let told = told.lock();
    for value in &told.acknowledged {
        assert_eq!(copies.get(value), Some(&1), "seed {seed}: {value} was acknowledged");
    }
    for (value, copies) in &copies {
        assert_eq!(*copies, 1, "seed {seed}: {value}, refused: {}", told.refused.contains(value));
    }
    (told.acknowledged.len(), found_again)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_log_exactly_once_and_what_is_refused_at_most_once() {
    let first = match std::env::var("TALLY_TEST_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => now() as u64 * 1000,
    };
    println!("seeds from {first} (TALLY_TEST_SEED)");
    let mut runs = JoinSet::new();
    for seed in first..first + RUNS {
        runs.spawn(run(seed));
    }
    let (acknowledged, found_again): (Vec<_>, Vec<_>) = runs.join_all().await.into_iter().unzip();
    let (acknowledged, found_again): (usize, u64) = (acknowledged.iter().sum(), found_again.iter().sum());
    println!("{acknowledged} acknowledged, {found_again} in doubt and found");
    assert!(acknowledged > 0 && found_again > 0);
}
