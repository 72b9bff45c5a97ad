//! Cases of the contract about topics, appending and reading.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tally_eventlog::{
    AppendError, Appended, Assignment, EventLog, FetchLimits, LogError, LogRecord, PartitionReader, Position,
    Record, Watermarks, partition_for_key,
};

use super::subject::{MAX_RECORD_BYTES, Subject, spec, unique};

/// Nothing here takes this long unless it is broken.
pub const DEADLINE: Duration = Duration::from_mins(1);

pub const LIMITS: FetchLimits =
    FetchLimits { max_records: 1000, max_bytes: 1 << 20, max_wait: Duration::from_secs(20) };

pub fn record(key: Option<&str>, value: impl Into<Bytes>) -> Record {
    Record {
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: value.into(),
        timestamp: now(),
    }
}

pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    since.as_millis() as i64
}

/// Appends values without keys in one call, to the only partition of the topic.
pub async fn append(
    log: &Arc<dyn EventLog>,
    topic: &str,
    values: impl IntoIterator<Item = String>,
) -> Vec<u64> {
    let records = values.into_iter().map(|value| record(None, value)).collect();
    let results = log.append(topic, records).await;
    results.into_iter().map(|result| result.expect("appended").offset).collect()
}

/// Joins a new group of its own and takes the only partition. The consumer has to be kept.
async fn read_alone(
    log: &Arc<dyn EventLog>,
    topic: &str,
) -> (Box<dyn tally_eventlog::GroupConsumer>, Box<dyn PartitionReader>) {
    let mut consumer = log.join(&unique("group"), topic).await.expect("joined");
    let Assignment { partition, position, reader } =
        tokio::time::timeout(DEADLINE, consumer.next_assignment()).await.expect("in time").expect("assigned");
    assert_eq!((partition, position.pending), (0, None));
    (consumer, reader)
}

/// Fetches until so many records are there.
pub async fn read(reader: &mut Box<dyn PartitionReader>, count: usize) -> Vec<LogRecord> {
    let mut records = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while records.len() < count {
        assert!(Instant::now() < deadline, "{} of {count} records", records.len());
        records.extend(reader.fetch(LIMITS).await.expect("fetched"));
    }
    records
}

pub async fn each_record_has_its_own_result(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    let longest = record(None, vec![b'x'; MAX_RECORD_BYTES]);
    let too_long = record(Some("k"), vec![b'x'; MAX_RECORD_BYTES]);
    let results = log.append(&topic, vec![record(None, "a"), too_long, longest, record(None, "b")]).await;
    let appended = |offset| Ok(Appended { partition: 0, offset });
    let refused = AppendError::TooLarge { bytes: MAX_RECORD_BYTES + 1, limit: MAX_RECORD_BYTES };
    assert!(!refused.is_retriable());
    assert_eq!(results, [appended(0), Err(refused), appended(1), appended(2)]);
    assert_eq!(log.append(&topic, Vec::new()).await, []);

    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    let lengths: Vec<usize> = read(&mut reader, 3).await.iter().map(|record| record.value.len()).collect();
    assert_eq!(lengths, [1, MAX_RECORD_BYTES, 1]);
}

pub async fn records_are_read_back_as_appended(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    let timestamp = now() - 86_400_000;
    let sent = [
        Record { key: None, value: Bytes::from_static(b"no key"), timestamp },
        Record {
            key: Some(Bytes::from_static(b"key\0")),
            value: Bytes::from_static(b"\xff\0binary"),
            timestamp: timestamp + 1,
        },
        Record { key: Some(Bytes::from_static(b"no value")), value: Bytes::new(), timestamp: timestamp + 2 },
    ];
    for result in log.append(&topic, sent.to_vec()).await {
        result.expect("appended");
    }
    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    let expected: Vec<LogRecord> = (0..)
        .zip(sent)
        .map(|(offset, Record { key, value, timestamp })| LogRecord { offset, timestamp, key, value })
        .collect();
    assert_eq!(read(&mut reader, 3).await, expected);
}

pub async fn records_of_a_key_keep_their_order_under_concurrent_appends(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    let appenders = (0..8).map(|appender| {
        let (log, topic) = (Arc::clone(&log), topic.clone());
        tokio::spawn(async move {
            for call in 0..20 {
                let record =
                    |index| record(Some(&format!("key-{appender}")), format!("{}", call * 5 + index));
                let results = log.append(&topic, (0..5).map(record).collect()).await;
                let offsets: Vec<u64> =
                    results.into_iter().map(|result| result.expect("appended").offset).collect();
                assert!(offsets.is_sorted(), "{offsets:?}");
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.expect("an appender");
    }
    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    let records = read(&mut reader, 800).await;
    assert_eq!(
        records.iter().map(|record| record.offset).collect::<Vec<_>>(),
        (0..800).collect::<Vec<u64>>()
    );
    let mut by_key: BTreeMap<Bytes, Vec<u32>> = BTreeMap::new();
    for record in records {
        let number = std::str::from_utf8(&record.value).expect("text").parse().expect("a number");
        by_key.entry(record.key.expect("a key")).or_default().push(number);
    }
    assert_eq!(by_key.len(), 8);
    for numbers in by_key.values() {
        assert_eq!(*numbers, (0..100).collect::<Vec<u32>>());
    }
}

pub async fn a_key_always_goes_to_the_same_partition(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 5).await;
    for key in (0..20).map(|number| format!("key-{number}")) {
        for _ in 0..2 {
            let results = log.append(&topic, vec![record(Some(&key), "value")]).await;
            let partition = results[0].clone().expect("appended").partition;
            assert_eq!(partition, partition_for_key(key.as_bytes(), 5), "{key}");
        }
    }
}

pub async fn keyless_records_of_one_call_go_to_one_partition(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 3).await;
    let mut used = Vec::new();
    for _ in 0..3 {
        let results = log.append(&topic, vec![record(None, "a"), record(None, "b")]).await;
        let partitions: Vec<u32> =
            results.into_iter().map(|result| result.expect("appended").partition).collect();
        assert_eq!(partitions[0], partitions[1]);
        used.push(partitions[0]);
    }
    used.sort_unstable();
    assert_eq!(used, [0, 1, 2], "calls take turns");
}

pub async fn watermarks_follow_the_appends(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 2).await;
    let nothing = Watermarks { low: 0, high: 0 };
    assert_eq!(log.watermarks(&topic).await, Ok(vec![nothing; 2]));
    for _ in 0..4 {
        append(&log, &topic, ["a".to_owned()]).await;
    }
    assert_eq!(log.watermarks(&topic).await, Ok(vec![Watermarks { low: 0, high: 2 }; 2]));
    log.check().await.expect("a log in order");
}

pub async fn a_fetch_stays_within_its_limits(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, (0..30).map(|_| "x".repeat(100))).await;
    append(&log, &topic, (0..30).map(|_| "x".repeat(100))).await;
    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    let mut next = 0;
    // Enough rounds to meet the end of every stored chunk. An implementation may return less than the limits allow.
    for (max_records, max_bytes) in [(7, 1 << 20), (1000, 350), (1, 1), (0, 0), (1000, 100), (7, 1 << 20)] {
        let records = reader.fetch(FetchLimits { max_records, max_bytes, ..LIMITS }).await.expect("fetched");
        let bytes: usize = records.iter().map(LogRecord::size).sum();
        assert!(records.len() <= max_records.max(1), "{} records, limit {max_records}", records.len());
        assert!(bytes <= max_bytes || records.len() == 1, "{bytes} bytes, limit {max_bytes}");
        for record in records {
            assert_eq!(record.offset, next);
            next += 1;
        }
    }
    let rest = read(&mut reader, 60 - next as usize).await;
    assert_eq!(rest.first().map(|record| record.offset), Some(next));
    assert_eq!(rest.last().map(|record| record.offset), Some(59));
    let nothing = reader.fetch(FetchLimits { max_wait: Duration::from_millis(1), ..LIMITS }).await;
    assert_eq!(nothing, Ok(Vec::new()));
}

pub async fn a_waiting_fetch_wakes_when_a_record_comes(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, ["first".to_owned()]).await;
    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    read(&mut reader, 1).await;
    let waiting = tokio::spawn(async move {
        let records = reader.fetch(FetchLimits { max_wait: DEADLINE, ..LIMITS }).await.expect("fetched");
        (Instant::now(), records, reader)
    });
    // Whether the fetch waits already or not, it must not take until its own end.
    append(&log, &topic, ["second".to_owned()]).await;
    let appended = Instant::now();
    let (woken, records, reader) = waiting.await.expect("fetched");
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [1]);
    assert!(woken.saturating_duration_since(appended) < Duration::from_secs(5));
    assert!(reader.high_watermark().is_none_or(|high| high >= 1));
}

pub async fn seek_replays_with_exact_boundaries(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    for call in 0..10 {
        append(&log, &topic, (0..10).map(|index| format!("{}", call * 10 + index))).await;
    }
    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    read(&mut reader, 100).await;
    for (from, to) in [(0, 1), (13, 57), (30, 40), (99, 100), (5, 100)] {
        reader.seek(from).await.expect("sought");
        let mut replayed = Vec::new();
        while replayed.len() < (to - from) as usize {
            let max_records = (to - from) as usize - replayed.len();
            replayed.extend(reader.fetch(FetchLimits { max_records, ..LIMITS }).await.expect("fetched"));
        }
        let values: Vec<_> = replayed.iter().map(|record| (record.offset, record.value.clone())).collect();
        let expected: Vec<_> = (from..to).map(|offset| (offset, Bytes::from(offset.to_string()))).collect();
        assert_eq!(values, expected, "{from} to {to}");
    }
    reader.seek(100).await.expect("sought");
    append(&log, &topic, ["100".to_owned()]).await;
    assert_eq!(read(&mut reader, 1).await[0].offset, 100);
}

pub async fn a_read_position_outside_of_the_log_is_an_error(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, ["a".to_owned(), "b".to_owned()]).await;
    let (_consumer, mut reader) = read_alone(&log, &topic).await;
    reader.seek(7).await.expect("sought");
    let outside = LogError::OffsetOutOfRange { partition: 0, requested: 7, low: 0, high: 2 };
    for _ in 0..2 {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match reader.fetch(LIMITS).await {
                Ok(records) => assert_eq!(records, [], "read past the end"),
                Err(error) => {
                    assert_eq!(error, outside);
                    break;
                }
            }
            assert!(Instant::now() < deadline, "no error");
        }
    }
    reader.seek(1).await.expect("sought");
    assert_eq!(read(&mut reader, 1).await[0].offset, 1);
}

pub async fn an_unknown_topic_is_an_error(subject: &Subject) {
    let log = subject.open();
    let name = unique("never-made");
    let unknown = AppendError::UnknownTopic(name.clone());
    assert!(!unknown.is_retriable());
    let records = vec![record(None, "a"), record(Some("k"), "b")];
    assert_eq!(log.append(&name, records).await, [Err(unknown.clone()), Err(unknown)]);
    assert_eq!(log.watermarks(&name).await, Err(LogError::UnknownTopic(name.clone())));
    assert_eq!(log.join("group", &name).await.err(), Some(LogError::UnknownTopic(name)));
}

pub async fn ensuring_a_topic_again_changes_nothing(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 2).await;
    append(&log, &topic, ["a".to_owned()]).await;
    let other_settings = tally_eventlog::TopicSpec { retention: Some(DEADLINE), ..spec(&topic, 2) };
    assert_eq!(log.ensure_topic(&other_settings).await, Ok(()));
    assert_eq!(log.ensure_topic(&spec(&topic, 2)).await, Ok(()));
    let mismatch = log.ensure_topic(&spec(&topic, 3)).await;
    assert!(matches!(mismatch, Err(LogError::TopicMismatch { .. })), "{mismatch:?}");
    let highs: u64 = log.watermarks(&topic).await.expect("watermarks").iter().map(|reach| reach.high).sum();
    assert_eq!(highs, 1);
}

pub async fn old_records_are_deleted(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic_with(&log, 1, Some(Duration::from_hours(1))).await;
    let old = Record { timestamp: now() - 7_200_000, ..record(None, "old") };
    for result in log.append(&topic, vec![old.clone(), old]).await {
        result.expect("appended");
    }
    let deadline = Instant::now() + DEADLINE;
    while log.watermarks(&topic).await.expect("watermarks")[0].low < 2 {
        assert!(Instant::now() < deadline, "not deleted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    append(&log, &topic, ["new".to_owned()]).await;
    assert_eq!(log.watermarks(&topic).await, Ok(vec![Watermarks { low: 2, high: 3 }]));

    let (mut consumer, mut reader) = read_alone(&log, &topic).await;
    assert_eq!(read(&mut reader, 1).await[0].offset, 2, "a new group begins at the oldest record");
    reader.seek(0).await.expect("sought");
    let outside = LogError::OffsetOutOfRange { partition: 0, requested: 0, low: 2, high: 3 };
    assert_eq!(reader.fetch(LIMITS).await, Err(outside));
    reader.seek(2).await.expect("sought");
    reader.commit(&Position::at(3)).await.expect("committed");
    drop(reader);
    let again = consumer.next_assignment().await.expect("assigned");
    assert_eq!(again.position, Position::at(3));
}
