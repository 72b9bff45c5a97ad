//! What the log on Kafka answers while no broker can be reached, played on librdkafka's mock cluster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use tally_eventlog::EventLog;
use tally_eventlog::kafka::KafkaLog;

use super::cases::{DEADLINE, append, read, record};
use super::subject::{kafka_config, spec};

const TOPIC: &str = "outage";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_while_no_broker_can_be_reached() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let mut config = kafka_config(cluster.bootstrap_servers());
    config.append_timeout = Duration::from_secs(2);
    config.request_timeout = Duration::from_secs(2);
    config.settings.insert("reconnect.backoff.max.ms".to_owned(), "200".to_owned());
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::connect(config).expect("a log"));
    log.ensure_topic(&spec(TOPIC, 1)).await.expect("a topic");
    assert_eq!(append(&log, TOPIC, ["before".to_owned()]).await, [0]);

    cluster.broker_down(1).expect("down");
    let asked = Instant::now();
    for result in log.append(TOPIC, vec![record(None, "during"), record(Some("k"), "during")]).await {
        let error = result.expect_err("no broker");
        assert!(error.is_retriable(), "{error}");
    }
    assert!(asked.elapsed() < Duration::from_secs(10), "the answer is bounded");
    let out_of_reach = log.check().await.expect_err("no broker");
    assert!(out_of_reach.is_retriable());

    cluster.broker_up(1).expect("up");
    let deadline = Instant::now() + DEADLINE;
    while let Err(error) = log.append(TOPIC, vec![record(None, "after")]).await.remove(0) {
        assert!(Instant::now() < deadline, "{error}");
    }
    log.check().await.expect("in order again");
    let mut consumer = log.join("group", TOPIC).await.expect("joined");
    let mut reader = consumer.next_assignment().await.expect("assigned").reader;
    let high = log.watermarks(TOPIC).await.expect("watermarks")[0].high;
    let values: Vec<_> =
        read(&mut reader, high as usize).await.into_iter().map(|record| record.value).collect();
    assert_eq!(values.first().map(AsRef::as_ref), Some(b"before".as_slice()));
    assert_eq!(values.last().map(AsRef::as_ref), Some(b"after".as_slice()));
}
