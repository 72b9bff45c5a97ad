//! The weekly Service Ping: when it is generated, where it is stored, how it is sent, who may look at it, and the settings
//! that switch it off. What stands in a payload is the query service's affair (`tally_query::service_ping`).

mod answer;
mod config;
mod delivery;
mod error;
mod generation;
pub mod http;
mod lease;
mod metrics;
mod outgoing;
mod payload;
mod ping;
mod reports;
mod schedule;
mod scheduler;
mod settings;
mod slot;
mod status;
mod storage;
mod submission;
mod version_check;

pub use config::PingConfig;
pub use error::{PingError, StartError};
pub use lease::Lease;
pub use outgoing::{Answer, HttpTransport, LARGEST_ANSWER, Outgoing, SendError, Transport};
pub use payload::{Generator, StoredPayload};
pub use ping::{Dependencies, Parts, Ping};
pub use schedule::{Cycle, Outcome};
pub use scheduler::Tick;
pub use settings::{Settings, SettingsChange};
pub use slot::WeeklySlot;
pub use status::Status;
pub use storage::{MemoryStorage, Storage, StorageError};
pub use submission::{DevOpsScore, FEATURES, FeatureScore, Submission};
pub use tally_query::service_ping::{MetricMetadata, PayloadKind};
pub use version_check::{Severity, VersionStatus};
