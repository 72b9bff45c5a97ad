//! What librdkafka calls back about a group: rebalances, statistics, errors.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::bindings::rd_kafka_resp_err_t as Response;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::member::Member;

pub(super) type NativeConsumer = BaseConsumer<GroupContext>;

/// The context of one member's consumer.
pub(super) struct GroupContext {
    pub(super) member: Arc<Member>,
    /// The consumer itself, which can't be had from within a callback otherwise.
    pub(super) consumer: OnceLock<Weak<NativeConsumer>>,
}

/// The newest high watermarks, by partition.
#[derive(Debug, Default)]
pub(super) struct HighWatermarks(Mutex<BTreeMap<u32, u64>>);

impl HighWatermarks {
    pub(super) fn get(&self, partition: u32) -> Option<u64> {
        self.0.lock().get(&partition).copied()
    }
}

impl ClientContext for GroupContext {
    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.member.topic) else { return };
        let mut high_watermarks = self.member.high_watermarks.0.lock();
        for (partition, of_partition) in &topic.partitions {
            if let (Ok(partition), Ok(high)) =
                (u32::try_from(*partition), u64::try_from(of_partition.hi_offset))
            {
                high_watermarks.insert(partition, high);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(group = self.member.group, topic = self.member.topic, %error, reason, "kafka consumer");
    }
}

impl ConsumerContext for GroupContext {
    /// Runs on the thread that polls. What it takes, the group waits for.
    fn rebalance(&self, consumer: &NativeConsumer, response: Response, partitions: &mut TopicPartitionList) {
        let answered = if response == Response::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions)
        } else {
            self.member.take_back(partitions);
            unassign(consumer, partitions)
        };
        if let Err(error) = answered {
            tracing::error!(group = self.member.group, topic = self.member.topic, %error, "rebalance failed");
        }
    }
}

impl GroupContext {
    fn assign(&self, consumer: &NativeConsumer, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
        // None while the consumer is being closed: then nobody reads any more.
        let shared = self.consumer.get().and_then(Weak::upgrade);
        if let Some(shared) = &shared {
            self.member.prepare(shared, partitions);
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
            _ => consumer.assign(partitions),
        }
    }
}

fn unassign(consumer: &NativeConsumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}
