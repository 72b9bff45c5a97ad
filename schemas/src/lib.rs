//! The contract between Tally's services: the records on the log with their Avro codec, event and metric
//! definitions in GitLab's form, the counters they stand on, and the windows metrics are read over. Nothing
//! here does I/O except loading and writing definition files.

pub mod avro;
pub mod clickhouse;
pub mod contribution;
mod contribution_ids;
pub mod counter;
pub mod dead_letter;
pub mod decimal;
pub mod definitions;
pub mod drop_reason;
pub mod event;
mod framings;
pub mod hash;
pub mod matcher;
pub mod page_event;
pub mod time_frame;
pub mod topics;

pub use avro::{CodecError, Framing};
pub use contribution::Contribution;
pub use contribution_ids::ContributionIds;
pub use counter::{Counter, CounterKind, FilterValue, Identifier, Number};
pub use dead_letter::DeadLetter;
pub use decimal::value_to_nanos;
pub use definitions::{
    DataCategory, DataSource, Definitions, EventDefinition, IncrementTargets, LegacyNames, LoadErrors,
    Metric, MetricKind, Status, ValueType,
};
pub use drop_reason::DropReason;
pub use event::{Increment, PropertyValue, TrackedEvent};
pub use framings::Framings;
pub use hash::identifier_hash;
pub use matcher::{CounterId, Effect, EventMatcher, Matcher};
pub use page_event::PageEvent;
pub use time_frame::{TimeFrame, Window};
