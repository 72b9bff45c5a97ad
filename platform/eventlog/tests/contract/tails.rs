//! Cases of the contract about reading a partition without a group, and about tombstones.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{EventLog, FetchLimits, LogError, LogRecord, Record, TailReader};

use super::cases::{DEADLINE, LIMITS, append, record};
use super::subject::{Subject, unique};

/// Fetches until so many records are there.
pub async fn follow(tail: &mut Box<dyn TailReader>, count: usize) -> Vec<LogRecord> {
    let mut records = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records", records.len());
        records.extend(tail.fetch(LIMITS).await.expect("fetched"));
    }
    records
}

fn offsets(records: &[LogRecord]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}

pub async fn a_tail_reads_from_its_offset_to_the_end_and_on(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, (0..10).map(|number| number.to_string())).await;
    let mut tail = log.tail(&topic, 0, 4).await.expect("a tail");
    assert_eq!(tail.next_offset(), 4);
    assert_eq!(offsets(&follow(&mut tail, 6).await), [4, 5, 6, 7, 8, 9]);
    assert_eq!(tail.next_offset(), 10);
    let nothing = tail.fetch(FetchLimits { max_wait: Duration::from_millis(1), ..LIMITS }).await;
    assert_eq!(nothing, Ok(Vec::new()));

    let waiting = tokio::spawn(async move {
        let records = tail.fetch(FetchLimits { max_wait: DEADLINE, ..LIMITS }).await.expect("fetched");
        (Instant::now(), records, tail.next_offset())
    });
    append(&log, &topic, ["later".to_owned()]).await;
    let appended = Instant::now();
    let (woken, records, next_offset) = waiting.await.expect("fetched");
    assert_eq!((offsets(&records), next_offset), (vec![10], 11));
    assert!(woken.saturating_duration_since(appended) < Duration::from_secs(5));
}

pub async fn tails_are_independent_and_stay_within_their_limits(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, (0..20).map(|_| "x".repeat(100))).await;
    let mut one = log.tail(&topic, 0, 0).await.expect("a tail");
    let mut other = log.tail(&topic, 0, 0).await.expect("a tail");
    for (max_records, max_bytes) in [(7, 1 << 20), (1000, 350), (1, 1), (0, 0)] {
        let before = one.next_offset();
        let records = one.fetch(FetchLimits { max_records, max_bytes, ..LIMITS }).await.expect("fetched");
        let bytes: usize = records.iter().map(LogRecord::size).sum();
        assert!(records.len() <= max_records.max(1), "{} records, limit {max_records}", records.len());
        assert!(bytes <= max_bytes || records.len() == 1, "{bytes} bytes, limit {max_bytes}");
        assert_eq!(offsets(&records), (before..one.next_offset()).collect::<Vec<_>>());
    }
    assert_eq!(offsets(&follow(&mut other, 20).await), (0..20).collect::<Vec<_>>());
}

pub async fn a_tail_outside_of_the_log_is_an_error(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, ["a".to_owned(), "b".to_owned()]).await;
    let mut tail = log.tail(&topic, 0, 7).await.expect("a tail");
    let outside = LogError::OffsetOutOfRange { partition: 0, requested: 7, low: 0, high: 2 };
    let deadline = Instant::now() + DEADLINE;
    loop {
        match tail.fetch(LIMITS).await {
            Ok(records) => assert_eq!(records, [], "read past the end"),
            Err(error) => break assert_eq!(error, outside),
        }
        assert!(Instant::now() < deadline, "no error");
    }
    let missing = log.tail(&topic, 1, 0).await.err();
    assert!(matches!(missing, Some(LogError::TopicMismatch { .. })), "{missing:?}");
}

pub async fn a_tail_of_an_unknown_topic_is_an_error(subject: &Subject) {
    let log = subject.open();
    let name = unique("never-made");
    assert_eq!(log.tail(&name, 0, 0).await.err(), Some(LogError::UnknownTopic(name)));
}

pub async fn a_tombstone_is_read_back_as_an_empty_value(subject: &Subject) {
    let log = subject.open();
    let topic = subject.compacted_topic(&log).await;
    let tombstone: Record = record(Some("key"), Bytes::new());
    let results = log.append(&topic, vec![record(Some("key"), "value"), tombstone]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let mut tail = log.tail(&topic, 0, 1).await.expect("a tail");
    let read = follow(&mut tail, 1).await.remove(0);
    assert_eq!((read.offset, read.key, read.value), (1, Some(Bytes::from("key")), Bytes::new()));
}

/// Only of an implementation that never compacts: there the limit on bytes must not do it either.
pub async fn a_compacted_topic_is_not_cut_by_size(subject: &Subject) {
    let Subject::Embedded(directory) = subject else { panic!("a case of the embedded log") };
    let mut config = EmbeddedConfig::new(directory.path());
    config.retention_interval = Duration::from_millis(50);
    config.max_partition_bytes = Some(100);
    let log: Arc<dyn EventLog> = Arc::new(EmbeddedLog::open(config).expect("a log"));
    let (topic, other) = (subject.compacted_topic(&log).await, subject.topic(&log, 1).await);
    for name in [&topic, &other] {
        for number in 0..20 {
            let key = number.to_string();
            log.append(name, vec![record(Some(&key), vec![b'x'; 1000])]).await.remove(0).expect("appended");
        }
    }
    let deadline = Instant::now() + DEADLINE;
    while log.watermarks(&other).await.expect("watermarks")[0].low == 0 {
        assert!(Instant::now() < deadline, "retention by size does not work");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(log.watermarks(&topic).await.expect("watermarks")[0].low, 0);
}
