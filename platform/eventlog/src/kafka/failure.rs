//! What librdkafka's errors mean for the callers of the log.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::{AppendError, CommitError, LogError};

/// Most failures of Kafka pass by themselves; the few others are for the callers to sort out first.
pub(super) fn unavailable(error: &KafkaError) -> LogError {
    LogError::Unavailable(error.to_string())
}

/// Why a record of `bytes` bytes was not delivered.
pub(super) fn append_error(error: &KafkaError, topic: &str, bytes: usize) -> AppendError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            AppendError::UnknownTopic(topic.to_owned())
        }
        Some(Code::QueueFull) => AppendError::Full,
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::InvalidTopic
            | Code::PolicyViolation,
        ) => AppendError::Rejected(format!("{error} ({bytes} bytes)")),
        _ => AppendError::Unavailable(error.to_string()),
    }
}

/// Why a record that was handed to librdkafka was not delivered. What librdkafka gives up it may have sent, and the brokers
/// may have it, whatever the reason; only a record that the brokers refuse for what it is is none of theirs.
pub(super) fn delivery_error(error: &KafkaError, topic: &str, partition: i32, bytes: usize) -> AppendError {
    match append_error(error, topic, bytes) {
        refused @ AppendError::Rejected(_) => refused,
        error => AppendError::InDoubt { partition: u32::try_from(partition).ok(), reason: error.to_string() },
    }
}

/// Whether reading has stopped because the log doesn't keep the offset.
pub(super) fn is_out_of_range(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    matches!(error.rdkafka_error_code(), Some(AutoOffsetReset | OffsetOutOfRange))
}

/// Whether a refused commit may be taken once the rebalance that is under way has ended.
pub(super) fn is_rebalancing(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::RebalanceInProgress)
}

pub(super) fn commit_error(error: &KafkaError) -> CommitError {
    use RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::RebalanceInProgress
            | Code::AssignmentLost
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch,
        ) => CommitError::Fenced,
        _ => CommitError::Log(unavailable(error)),
    }
}
