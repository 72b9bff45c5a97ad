//! Questions to the brokers that librdkafka answers at once with an error while leadership of a partition moves, and
//! moving the place that it reads from.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::topic::Watermarks;

const RETRY: Duration = Duration::from_millis(50);

/// How far a partition reaches. Blocks.
pub(super) fn watermarks<C: ClientContext + ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    timeout: Duration,
) -> KafkaResult<Watermarks> {
    let deadline = Instant::now() + timeout;
    loop {
        match consumer.fetch_watermarks(topic, partition as i32, timeout) {
            Ok((low, high)) => return Ok(Watermarks { low: low as u64, high: high as u64 }),
            Err(error) if !is_moving(&error) || Instant::now() > deadline => return Err(error),
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// The offset of the first record that is as young as the timestamp (milliseconds since the epoch), or the partition's end
/// when there is none. Blocks.
pub(super) fn offset_at<C: ClientContext + ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    timestamp: i64,
    timeout: Duration,
) -> KafkaResult<u64> {
    let mut asked = TopicPartitionList::with_capacity(1);
    asked.add_partition_offset(topic, partition as i32, Offset::Offset(timestamp.max(0)))?;
    let found = consumer.offsets_for_times(asked, timeout)?;
    let found = found.find_partition(topic, partition as i32);
    if let Some(element) = &found {
        element.error()?;
    }
    match found.map(|element| element.offset()) {
        Some(Offset::Offset(offset)) => Ok(offset as u64),
        _ => Ok(watermarks(consumer, topic, partition, timeout)?.high),
    }
}

/// A partition that is new, or whose leader changes, has none for a moment.
fn is_moving(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(Code::NotLeaderForPartition | Code::LeaderNotAvailable | Code::UnknownTopicOrPartition)
    )
}

/// Reads on from another offset. What was fetched before is not seen any more after this. Blocks.
pub(super) fn seek<C: ClientContext + ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    offset: u64,
    timeout: Duration,
) -> KafkaResult<()> {
    let deadline = Instant::now() + timeout;
    loop {
        match consumer.seek(topic, partition as i32, Offset::Offset(offset as i64), timeout) {
            // Reading has not begun yet.
            Err(KafkaError::Seek(_)) if Instant::now() < deadline => std::thread::sleep(RETRY),
            other => return other,
        }
    }
}

/// Reads on from another offset after librdkafka has stopped reading: it does so where an offset is out of range, and
/// refuses to seek from then on.
pub(super) fn restart<C: ClientContext + ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: u32,
    offset: u64,
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition as i32, Offset::Offset(offset as i64))?;
    consumer.incremental_unassign(&list)?;
    consumer.incremental_assign(&list)
}
