//! The event log of Tally: durable, partitioned, ordered topics behind one trait, [`EventLog`].
//!
//! Two implementations pass the same contract tests: [`embedded::EmbeddedLog`] keeps the records of one machine in a
//! local directory, and [`kafka::KafkaLog`] speaks to Apache Kafka. [`spool::SpoolingLog`] keeps records while Kafka is away. What the records mean is not known here.

pub mod embedded;
mod error;
mod intake;
pub mod kafka;
mod log;
mod partition;
mod position;
mod record;
pub mod spool;
mod topic;

pub use error::{AppendError, CommitError, LogError};
pub use intake::Intake;
pub use log::{Assignment, EventLog, GroupConsumer, PartitionReader, TailReader};
pub use partition::{RoundRobin, partition_for_key};
pub use position::{MalformedPosition, Position};
pub use record::{Appended, FetchLimits, LogRecord, Record};
pub use topic::{TopicSpec, Watermarks};
