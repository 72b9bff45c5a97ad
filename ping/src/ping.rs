//! The Service Ping as everybody else sees it: one handle, cheap to clone, over what all its steps share.

use std::sync::Arc;

use jiff::Timestamp;
use prometheus::Registry;
use tally_directory::Directory;
use tally_eventlog::EventLog;
use tally_query::service_ping::{PayloadKind, Plan};
use tally_query::warehouse::Warehouse;
use tally_query::{InstanceConfig, LicenseConfig};
use tally_schemas::Framings;
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;
use tally_store::Store;
use tokio_util::sync::CancellationToken;

use crate::config::PingConfig;
use crate::error::{PingError, StartError};
use crate::outgoing::Transport;
use crate::payload::{Generator, StoredPayload};
use crate::settings::{Settings, SettingsChange};
use crate::status::Status;
use crate::storage::Storage;
use crate::submission::Submission;
use crate::version_check::VersionStatus;

/// What the Service Ping stands on; made by the process.
pub struct Dependencies {
    /// What has to be read for a payload.
    pub plan: Arc<Plan>,
    /// ClickHouse, read within limits.
    pub warehouse: Warehouse,
    /// ClickHouse, where payloads are stored.
    pub store: Store,
    /// Settings, leases and the schedule; users and projects for the payload.
    pub directory: Arc<Directory>,
    /// Where the request for a payload is tracked.
    pub log: Arc<dyn EventLog>,
    /// How records of the log are framed.
    pub framings: Framings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Splay and the holder's number.
    pub randomness: Arc<dyn Randomness>,
    /// Who the instance is.
    pub instance: InstanceConfig,
    /// Its licence.
    pub license: LicenseConfig,
    /// A Prometheus server for metrics that ask one; empty for none.
    pub prometheus_url: String,
    /// Where the ping's metrics go.
    pub registry: Registry,
}

/// What a [`Ping`] is put together from; tests bring their own.
pub struct Parts {
    /// Computes payloads.
    pub generator: Arc<dyn Generator>,
    /// Keeps payloads.
    pub storage: Arc<dyn Storage>,
    /// Carries requests to the receiver.
    pub transport: Arc<dyn Transport>,
    /// As in [`Dependencies`].
    pub directory: Arc<Directory>,
    /// As in [`Dependencies`].
    pub log: Arc<dyn EventLog>,
    /// As in [`Dependencies`].
    pub framings: Framings,
    /// As in [`Dependencies`].
    pub clock: Arc<dyn Clock>,
    /// As in [`Dependencies`].
    pub randomness: Arc<dyn Randomness>,
    /// As in [`Dependencies`].
    pub instance: InstanceConfig,
    /// As in [`Dependencies`].
    pub registry: Registry,
}

/// The Service Ping.
#[derive(Clone)]
pub struct Ping(pub(crate) Arc<Shared>);

/// What [`Ping`] points to.
pub(crate) struct Shared {
    pub config: PingConfig,
    pub parts: Parts,
}

impl Ping {
    /// Puts the ping together over ClickHouse and the network.
    pub fn new(_config: PingConfig, _dependencies: Dependencies) -> Result<Self, StartError> {
        unimplemented!()
    }

    /// Puts the ping together from ready parts.
    pub fn assemble(_config: PingConfig, _parts: Parts) -> Result<Self, StartError> {
        unimplemented!()
    }

    /// Computes the three payloads of a generation, stores them, and returns the full one. Nothing is sent.
    pub async fn generate(&self) -> Result<StoredPayload, PingError> {
        unimplemented!()
    }

    /// The newest stored payload of this kind, if it was recorded within the reporting cycle, the last 7 days.
    pub async fn latest(&self, _kind: PayloadKind) -> Result<Option<StoredPayload>, PingError> {
        unimplemented!()
    }

    /// The full payload that is sent next: the reporting cycle's, or one computed and stored now.
    pub async fn preview(&self) -> Result<StoredPayload, PingError> {
        unimplemented!()
    }

    /// The tries to send the payload that was recorded at this time, in their order.
    pub async fn submissions(&self, _recorded_at: Timestamp) -> Result<Vec<Submission>, PingError> {
        unimplemented!()
    }

    /// The newest tries to send any payload, newest first.
    pub async fn recent_submissions(&self, _limit: usize) -> Result<Vec<Submission>, PingError> {
        unimplemented!()
    }

    /// Sends the payload of [`Self::preview`] now. A failure is stored as a try, too, and returned as an error.
    pub async fn send_now(&self) -> Result<Submission, PingError> {
        unimplemented!()
    }

    /// The settings' effective values.
    pub fn settings(&self) -> Settings {
        unimplemented!()
    }

    /// Whether the configuration file forbids sending, so that no setting can allow it.
    pub fn is_forbidden_by_file(&self) -> bool {
        !self.0.config.usage_ping_enabled
    }

    /// Changes settings and returns the effective values, which may differ from what was asked for.
    pub async fn change_settings(&self, _change: SettingsChange) -> Result<Settings, PingError> {
        unimplemented!()
    }

    /// What the receiver says about this version; `None` when the version check is off or there is no receiver.
    pub async fn version_check(&self) -> Result<Option<VersionStatus>, PingError> {
        unimplemented!()
    }

    /// Where the value at `key_path` comes from, as a text; `None` if no definition has that key path.
    pub async fn explain(&self, _key_path: &str) -> Option<String> {
        unimplemented!()
    }

    /// How things stand.
    pub async fn status(&self) -> Result<Status, PingError> {
        unimplemented!()
    }

    /// The scheduler: looks at the schedule every few seconds until `shutdown`.
    pub async fn run(self, _shutdown: CancellationToken) {
        unimplemented!()
    }
}
