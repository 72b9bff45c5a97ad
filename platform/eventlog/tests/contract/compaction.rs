//! What Apache Kafka does to compacted topics, and what a tail sees of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tally_eventlog::{EventLog, FetchLimits, TailReader, TopicSpec};

use super::cases::{DEADLINE, record};
use super::subject::{Subject, spec, unique};
use super::tails::follow;

fn client(subject: &Subject) -> ClientConfig {
    let Subject::Kafka(brokers) = subject else { panic!("a case of Apache Kafka") };
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("group.id", "contract");
    client
}

/// A compacted topic whose segments are closed after a moment, so that the brokers compact them soon.
async fn eagerly_compacted_topic(subject: &Subject, log: &Arc<dyn EventLog>) -> String {
    let name = unique("compacted");
    let admin: AdminClient<DefaultClientContext> = client(subject).create().expect("a client");
    let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1))
        .set("cleanup.policy", "compact")
        .set("segment.ms", "100")
        .set("min.cleanable.dirty.ratio", "0.01")
        .set("delete.retention.ms", "0");
    admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer").remove(0).expect("a topic");
    log.ensure_topic(&TopicSpec { compacted: true, ..spec(&name, 1) }).await.expect("a topic");
    name
}

/// Whether one round over the topic from its beginning meets a gap; the offset that it ended at.
async fn read_all(log: &Arc<dyn EventLog>, topic: &str) -> (Vec<u64>, u64) {
    let high = log.watermarks(topic).await.expect("watermarks")[0].high;
    let mut tail = log.tail(topic, 0, 0).await.expect("a tail");
    (read_to(&mut tail, high).await, tail.next_offset())
}

async fn read_to(tail: &mut Box<dyn TailReader>, high: u64) -> Vec<u64> {
    let limits = FetchLimits { max_records: 1000, max_bytes: 1 << 20, max_wait: Duration::from_millis(300) };
    let deadline = Instant::now() + DEADLINE;
    let mut offsets = Vec::new();
    while tail.next_offset() < high {
        assert!(Instant::now() < deadline, "at {} of {high}", tail.next_offset());
        offsets.extend(tail.fetch(limits).await.expect("fetched").iter().map(|record| record.offset));
    }
    offsets
}

pub async fn a_tail_passes_what_was_compacted_away(subject: &Subject) {
    let log = subject.open();
    let topic = eagerly_compacted_topic(subject, &log).await;
    log.append(&topic, vec![record(Some("kept"), "kept")]).await.remove(0).expect("appended");
    let deadline = Instant::now() + DEADLINE;
    let mut appended = 1;
    let offsets = loop {
        assert!(Instant::now() < deadline, "nothing was compacted");
        // Appends close the segment before; the last one's key is never the newest of an older segment.
        log.append(&topic, vec![record(Some("changing"), format!("{appended}"))])
            .await
            .remove(0)
            .expect("appended");
        appended += 1;
        tokio::time::sleep(Duration::from_millis(150)).await;
        let (offsets, next_offset) = read_all(&log, &topic).await;
        assert_eq!(next_offset, appended, "the end is reached");
        if (offsets.len() as u64) < appended {
            break offsets;
        }
    };
    assert_eq!((offsets[0], *offsets.last().expect("some")), (0, appended - 1), "{offsets:?}");
    // A tail that begins in the gap goes on after it.
    let gap = (0..appended).find(|offset| !offsets.contains(offset)).expect("a gap");
    let mut tail = log.tail(&topic, 0, gap).await.expect("a tail");
    assert!(follow(&mut tail, 1).await[0].offset > gap);
}

/// A transaction's marker is an offset without a record, and here the last one of the log.
pub async fn a_tail_reaches_the_end_of_a_log_that_ends_in_a_gap(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    let (config, name) = (client(subject), topic.clone());
    let sending = tokio::task::spawn_blocking(move || send_in_transactions(config, &name, ["one", "two"]));
    sending.await.expect("two transactions");
    let high = log.watermarks(&topic).await.expect("watermarks")[0].high;
    let (offsets, next_offset) = read_all(&log, &topic).await;
    assert_eq!((offsets, next_offset, high), (vec![0, 2], 4, 4));
    // And on from there.
    let mut tail = log.tail(&topic, 0, 3).await.expect("a tail");
    assert_eq!(read_to(&mut tail, high).await, [0; 0]);
    log.append(&topic, vec![record(None, "later")]).await.remove(0).expect("appended");
    assert_eq!(follow(&mut tail, 1).await[0].offset, 4);
}

fn send_in_transactions(mut client: ClientConfig, topic: &str, values: [&str; 2]) {
    let producer: ThreadedProducer<DefaultProducerContext> =
        client.set("transactional.id", topic).create().expect("a producer");
    producer.init_transactions(DEADLINE).expect("a producer id");
    for value in values {
        producer.begin_transaction().expect("begun");
        producer
            .send(BaseRecord::<str, str>::to(topic).payload(value))
            .map_err(|(error, _)| error)
            .expect("sent");
        producer.commit_transaction(DEADLINE).expect("committed");
    }
}

pub async fn a_tombstone_is_kafkas_null(subject: &Subject) {
    let log = subject.open();
    let topic = subject.compacted_topic(&log).await;
    let records = vec![record(Some("key"), ""), record(Some("key"), "value")];
    for result in log.append(&topic, records).await {
        result.expect("appended");
    }
    let config = client(subject);
    let payloads = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&list).expect("assigned");
        let next =
            || consumer.poll(DEADLINE).expect("in time").expect("a record").payload().map(<[u8]>::to_vec);
        [next(), next()]
    });
    assert_eq!(payloads.await.expect("read"), [None, Some(b"value".to_vec())]);
}

pub async fn a_compacted_topic_is_made_as_one(subject: &Subject) {
    let log = subject.open();
    let topic = subject.compacted_topic(&log).await;
    let admin: AdminClient<DefaultClientContext> = client(subject).create().expect("a client");
    let resource = rdkafka::admin::ResourceSpecifier::Topic(&topic);
    let expected =
        [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("max.compaction.lag.ms", "86400000")];
    let deadline = Instant::now() + DEADLINE;
    loop {
        let described = admin.describe_configs([&resource], &AdminOptions::new()).await.expect("an answer");
        let described = described.into_iter().next().expect("one answer").expect("a description");
        let found =
            expected.map(|(name, _)| (name, described.get(name).and_then(|entry| entry.value.as_deref())));
        if found == expected.map(|(name, value)| (name, Some(value))) {
            return;
        }
        // A broker tells of a new topic before it has heard of its settings.
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}
