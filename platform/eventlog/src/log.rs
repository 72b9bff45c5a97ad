//! The traits: [`EventLog`] to append to and to join, [`GroupConsumer`] to be given partitions, [`PartitionReader`] to
//! read one of them and to commit where one is, [`TailReader`] to follow one without a group.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::error::{AppendError, CommitError, LogError};
use crate::intake::Intake;
use crate::position::Position;
use crate::record::{Appended, FetchLimits, LogRecord, Record};
use crate::topic::{TopicSpec, Watermarks};

/// A durable, partitioned log.
#[async_trait]
pub trait EventLog: Intake {
    /// Creates the topic unless it is there; one that is there takes over retention and record limit.
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError>;

    /// Appends records; the answer has one result a record, in their order. `Ok` means durable: acknowledged by all
    /// in-sync replicas, or on disk after fsync. Records that go to one partition keep their order. A refused record
    /// does not stop the others.
    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>>;

    /// How far each partition reaches, by partition number.
    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, LogError>;

    /// Joins a consumer group as a new member. Dropping the consumer leaves the group.
    async fn join(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError>;

    /// As [`EventLog::join`], under no name even where members have one: it takes nobody's place in the group.
    async fn join_unnamed(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.join(group, topic).await
    }

    /// Once `shutdown` has fired, members with a name whose consumers are dropped keep their places in their groups for the
    /// session timeout, as the process is expected back. The first call counts.
    fn keep_places_after(&self, _shutdown: CancellationToken) {}

    /// Reads a partition from the offset `from` on without a group: for those who fold all of it by themselves and keep
    /// their position elsewhere. Whether the offset is still there shows with the first fetch.
    async fn tail(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError>;

    /// Whether the log can be reached and written to now.
    async fn check(&self) -> Result<(), LogError>;
}

/// One member of a consumer group. Partitions of a topic are spread over the members of a group; each is read by one
/// member at a time.
#[async_trait]
pub trait GroupConsumer: Send {
    /// Waits until a partition is given to this member. Cancel-safe. After an error it may be called again.
    async fn next_assignment(&mut self) -> Result<Assignment, LogError>;
}

/// A partition given to a member, and where the group was in it.
pub struct Assignment {
    pub partition: u32,
    /// The group's committed position, or the oldest record when there is none yet.
    pub position: Position,
    /// Reads from `position.next_offset` on until told otherwise by `seek`. Dropping it gives the work up; the
    /// partition stays with the member until a rebalance.
    pub reader: Box<dyn PartitionReader>,
}

/// Reads one partition on behalf of a group, and commits the group's position in it.
#[async_trait]
pub trait PartitionReader: Send {
    /// The next records in order of offset, from the read position on; none after `limits.max_wait`. Cancel-safe:
    /// a fetch that is dropped has read nothing. [`LogError::Revoked`] once the partition is being taken away.
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError>;

    /// Moves the read position. Whether the offset is still there shows with the next fetch.
    async fn seek(&mut self, offset: u64) -> Result<(), LogError>;

    /// Stores the group's position, durably, before it returns. Refused once the partition is being taken away.
    async fn commit(&mut self, position: &Position) -> Result<(), CommitError>;

    /// Fires when the partition is being taken away. The group waits for a bounded time until this reader is dropped;
    /// after that the reader is cut off: it never commits again.
    fn revoked(&self) -> &CancellationToken;

    /// The offset that the next record will get, as far as it is known here; lag is the distance to it.
    fn high_watermark(&self) -> Option<u64>;
}

/// Reads one partition on behalf of nobody but its owner.
#[async_trait]
pub trait TailReader: Send {
    /// The next records in order of offset; none after `limits.max_wait`. Cancel-safe: a fetch that is dropped has read
    /// nothing. After [`LogError::OffsetOutOfRange`] the reader is of no more use; another one goes on elsewhere.
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError>;

    /// Everything before this offset was fetched or is no longer kept. On a compacted topic it passes records that were
    /// compacted away, those at the end of the log too, though only after a fetch that has waited in vain.
    fn next_offset(&self) -> u64;
}
