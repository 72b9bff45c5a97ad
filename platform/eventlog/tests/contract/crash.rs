//! What the embedded log keeps when its process is killed, when its last write is torn, and when it is opened twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{EventLog, FetchLimits, LogError, Position};

use super::cases::{append, now, record};
use super::subject::spec;

const TOPIC: &str = "crash";
const PARTITIONS: u32 = 3;

/// Runs one test of this binary in a process of its own, with a variable that tells the test to play its part.
pub fn spawn_child(test: &str, variable: &str, value: &str) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(variable, value)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// Lines that begin with the word, without it. The test runner prints between them.
pub fn lines_with<'a>(child: &mut Child, word: &'a str) -> impl Iterator<Item = String> + use<'a> {
    let output = BufReader::new(child.stdout.take().expect("piped"));
    output
        .lines()
        .map_while(Result::ok)
        .filter_map(move |line| Some(line.split_once(word)?.1.trim().to_owned()))
}

/// Prints past the test runner's capturing, in one piece.
pub fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    output
        .write_all(format!("\n{line}\n").as_bytes())
        .and_then(|()| output.flush())
        .expect("standard output");
}

fn open(directory: &Path) -> Arc<dyn EventLog> {
    Arc::new(EmbeddedLog::open(EmbeddedConfig::new(directory)).expect("a log"))
}

/// Every record of a topic: (partition, offset) -> value. Offsets have no gaps.
async fn read_all(log: &Arc<dyn EventLog>, topic: &str) -> BTreeMap<(u32, u64), String> {
    let watermarks = log.watermarks(topic).await.expect("watermarks");
    let mut consumer = log.join("check", topic).await.expect("joined");
    let mut all = BTreeMap::new();
    for _ in &watermarks {
        let mut assignment = consumer.next_assignment().await.expect("assigned");
        let mut next = 0;
        while next < watermarks[assignment.partition as usize].high {
            let limits =
                FetchLimits { max_records: 1000, max_bytes: 1 << 20, max_wait: Duration::from_secs(5) };
            for record in assignment.reader.fetch(limits).await.expect("fetched") {
                assert_eq!(record.offset, next);
                let value = String::from_utf8(record.value.to_vec()).expect("text");
                all.insert((assignment.partition, record.offset), value);
                next += 1;
            }
        }
    }
    all
}

/// The other process of `nothing_acknowledged_is_lost_when_the_process_is_killed`; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn appends_until_killed() {
    let Ok(directory) = std::env::var("TALLY_TEST_KILLED") else { return };
    let log = open(Path::new(&directory));
    log.ensure_topic(&spec(TOPIC, PARTITIONS)).await.expect("a topic");
    let mut consumer = log.join("group", TOPIC).await.expect("joined");
    let mut reader = consumer.next_assignment().await.expect("assigned").reader;
    let committing = tokio::spawn(async move {
        for next in 1.. {
            reader.commit(&Position::pending(next, next..next + 5)).await.expect("committed");
            say(&format!("committed {next}"));
        }
    });
    let appending = (0..16).map(|task| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for call in 0.. {
                let value = |index| format!("{} {task} {call} {index}", std::process::id());
                let records =
                    (0..10).map(|index| record(Some(&format!("{task} {index}")), value(index))).collect();
                for (index, result) in log.append(TOPIC, records).await.into_iter().enumerate() {
                    let appended = result.expect("appended");
                    say(&format!("acknowledged {} {} {}", appended.partition, appended.offset, value(index)));
                }
            }
        })
    });
    for task in appending.collect::<Vec<_>>() {
        task.await.expect("until killed");
    }
    committing.await.expect("until killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut acknowledged = BTreeMap::new();
    for round in 0..3 {
        let path = directory.path().to_str().expect("text");
        let mut child = spawn_child("crash::appends_until_killed", "TALLY_TEST_KILLED", path);
        let mut lines = lines_with(&mut child, "acknowledged ");
        let mut note = |line: String| {
            let mut words = line.splitn(3, ' ');
            let mut number = || words.next()?.parse::<u64>().ok();
            let (Some(partition), Some(offset)) = (number(), number()) else { return };
            let value = words.next().expect("a value").to_owned();
            let other = acknowledged.insert((partition as u32, offset), value);
            assert_eq!(other, None, "an offset was given twice");
        };
        lines.by_ref().take(2000 + round * 777).for_each(&mut note);
        child.kill().expect("killed");
        // What was acknowledged until the very end; the last line may be cut, as it is in the pipe.
        lines.filter(|line| line.split(' ').count() == 6).for_each(&mut note);
        child.wait().expect("gone");

        let log = open(directory.path());
        let stored = read_all(&log, TOPIC).await;
        for (place, value) in &acknowledged {
            assert_eq!(stored.get(place), Some(value), "{place:?} after round {round}");
        }
    }
    assert!(acknowledged.len() > 6000);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// The journal that is written to, and where its last write ends; zeros are reserved behind it.
fn journal(directory: &Path) -> (PathBuf, usize) {
    let journals = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let path = journals.filter(|path| path.extension().is_some_and(|suffix| suffix == "jnl")).max();
    let path = path.expect("a journal");
    let bytes = fs::read(&path).expect("a journal");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("a write") + 1;
    (path, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_last_write_takes_nothing_else_with_it() {
    const APPENDED: usize = 20;
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(directory.path());
    log.ensure_topic(&spec(TOPIC, 1)).await.expect("a topic");
    let value = |number: usize| format!("{number} {}", "x".repeat(number * 10));
    for number in 0..APPENDED - 1 {
        append(&log, TOPIC, [value(number)]).await;
    }
    let (_, before) = journal(directory.path());
    append(&log, TOPIC, [value(APPENDED - 1)]).await;
    // As a power failure leaves it: nothing is closed.
    let crashed = tempfile::tempdir().expect("a directory");
    copy(directory.path(), crashed.path());
    let (_, end) = journal(crashed.path());
    assert!(before < end);

    let places = (1..end - before).step_by(7);
    for (place, is_cut) in places.flat_map(|place| [(place, true), (place, false)]) {
        let torn = tempfile::tempdir().expect("a directory");
        copy(crashed.path(), torn.path());
        let (path, end) = journal(torn.path());
        let mut bytes = fs::read(&path).expect("a journal");
        if is_cut {
            bytes.truncate(end - place);
        } else {
            bytes[end - place] ^= 0x55;
        }
        fs::write(&path, bytes).expect("written");

        let log = open(torn.path());
        let stored = read_all(&log, TOPIC).await;
        for number in 0..APPENDED - 1 {
            assert_eq!(stored.get(&(0, number as u64)), Some(&value(number)), "{place} cut: {is_cut}");
        }
        // The torn one may still be whole in what counts, but nothing else may be there.
        let last = stored.get(&(0, APPENDED as u64 - 1));
        assert!(last.is_none_or(|last| *last == value(APPENDED - 1)), "{place} cut: {is_cut}");
        let next = append(&log, TOPIC, ["next".to_owned()]).await;
        assert_eq!(next, [stored.len() as u64], "appending goes on right behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_before_the_last_write_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(directory.path());
    log.ensure_topic(&spec(TOPIC, 1)).await.expect("a topic");
    append(&log, TOPIC, ["x".repeat(1000)]).await;
    let (_, end) = journal(directory.path());
    append(&log, TOPIC, ["behind it".to_owned()]).await;
    drop(log);
    let (path, _) = journal(directory.path());
    let mut bytes = fs::read(&path).expect("a journal");
    bytes[end - 20] ^= 0x55;
    fs::write(&path, bytes).expect("written");
    let opened = EmbeddedLog::open(EmbeddedConfig::new(directory.path())).map(drop);
    assert!(matches!(opened, Err(LogError::Corrupt(_))), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_can_be_open_once_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = open(directory.path());
    let second = EmbeddedLog::open(EmbeddedConfig::new(directory.path())).map(drop);
    assert_eq!(second, Err(LogError::InUse(directory.path().to_owned())));
    drop(first);
    EmbeddedLog::open(EmbeddedConfig::new(directory.path())).expect("free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_a_group_has_yet_to_read_are_kept_past_their_age() {
    let directory = tempfile::tempdir().expect("a directory");
    let old = |value: &str| tally_eventlog::Record {
        timestamp: now() - 7_200_000,
        ..record(None, value.to_owned())
    };
    let retention = Some(Duration::from_hours(1));
    {
        let log = EmbeddedLog::open(EmbeddedConfig::new(directory.path())).expect("a log");
        log.ensure_topic(&tally_eventlog::TopicSpec { retention, ..spec(TOPIC, 1) }).await.expect("a topic");
        let mut consumer = log.join("group", TOPIC).await.expect("joined");
        let mut reader = consumer.next_assignment().await.expect("assigned").reader;
        for value in ["a", "b", "c"] {
            log.append(TOPIC, vec![old(value)]).await.pop().expect("a result").expect("appended");
        }
        assert_eq!(log.run_retention(), Ok(0), "the group has joined and read nothing");
        reader.commit(&Position::pending(2, 1..2)).await.expect("committed");
        assert_eq!(tokio::task::block_in_place(|| log.run_retention()), Ok(1), "a pending range is needed");
    }
    // Without the group in the process, too.
    let log = EmbeddedLog::open(EmbeddedConfig::new(directory.path())).expect("a log");
    assert_eq!(tokio::task::block_in_place(|| log.run_retention()), Ok(0));
    assert_eq!(log.watermarks(TOPIC).await.expect("watermarks")[0].low, 1);
    drop(log);

    let config = EmbeddedConfig { delete_unread: true, ..EmbeddedConfig::new(directory.path()) };
    let log = EmbeddedLog::open(config).expect("a log");
    assert_eq!(tokio::task::block_in_place(|| log.run_retention()), Ok(2));
    let reach = log.watermarks(TOPIC).await.expect("watermarks")[0];
    assert_eq!((reach.low, reach.high), (3, 3), "offsets go on after everything was deleted");
    drop(log);
    let log = EmbeddedLog::open(EmbeddedConfig::new(directory.path())).expect("a log");
    let appended = log.append(TOPIC, vec![old("d")]).await.pop().expect("a result").expect("appended");
    assert_eq!(appended.offset, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_kept_to_its_size() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = EmbeddedConfig { max_partition_bytes: Some(3000), ..EmbeddedConfig::new(directory.path()) };
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(config.clone()).expect("a log"));
    log.ensure_topic(&spec(TOPIC, 1)).await.expect("a topic");
    for _ in 0..10 {
        // Too short to compress: about 40 bytes a chunk.
        append(&log, TOPIC, ["0123456789".to_owned()]).await;
    }
    drop(log);
    let small = EmbeddedLog::open(config.clone()).expect("a log");
    assert_eq!(tokio::task::block_in_place(|| small.run_retention()), Ok(0));
    drop(small);
    let smaller =
        EmbeddedLog::open(EmbeddedConfig { max_partition_bytes: Some(100), ..config }).expect("a log");
    let deleted = tokio::task::block_in_place(|| smaller.run_retention()).expect("deleted");
    assert!((7..=8).contains(&deleted), "{deleted} chunks");
    assert_eq!(smaller.watermarks(TOPIC).await.expect("watermarks")[0].low, deleted as u64);
}
