//! What the collector stands on, and its shared state.

use std::sync::Arc;

use prometheus::Registry;
use tally_service::api::{BodyLimits, BodyReader};
use tally_service::clock::Clock;
use tally_store::Store;
use tokio::sync::Semaphore;

use crate::config::CollectConfig;
use crate::metrics::Metrics;
use crate::storage::Storage;
pub use crate::version::ReleasesError;
use crate::version::{CheckLog, ReleasesFile};

/// Everything the collector stands on, passed in.
pub struct Dependencies {
    /// Where payloads and reports go. Its tables must have been migrated.
    pub store: Store,
    /// Tells when something arrives.
    pub clock: Arc<dyn Clock>,
    /// Where the metrics are registered.
    pub registry: Registry,
}

/// Why the collector can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The registry already has these metrics.
    #[error("the collector's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The releases file can't be used.
    #[error("collect.releases_file {0}")]
    Releases(#[from] ReleasesError),
}

/// The collector's shared state; cloning shares it.
#[derive(Clone)]
pub struct Collector(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: CollectConfig,
    pub(crate) storage: Storage,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    /// Reads payloads.
    pub(crate) bodies: BodyReader,
    /// Reads reports, which are smaller.
    pub(crate) reports: BodyReader,
    /// Places for uploads by form.
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) releases: ReleasesFile,
    pub(crate) checks: CheckLog,
}

impl Collector {
    /// A collector that is ready to serve. A releases file that is named must be readable.
    pub fn new(config: CollectConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        let metrics = Metrics::new(&dependencies.registry)?;
        let Dependencies { store, clock, .. } = dependencies;
        let storage = Storage::new(store, config.store_timeout_s);
        let report_limits = BodyLimits {
            max_body_bytes: config.max_report_bytes,
            max_decompressed_bytes: config.max_report_bytes,
            ..config.body.clone()
        };
        Ok(Self(Arc::new(Inner {
            bodies: BodyReader::new(config.body.clone(), metrics.in_flight_bytes.clone()),
            reports: BodyReader::new(report_limits, metrics.in_flight_bytes.clone()),
            uploads: Arc::new(Semaphore::new(config.max_uploads)),
            releases: ReleasesFile::open(&config.releases_file)?,
            checks: CheckLog::new(storage.clone(), metrics.lost_version_checks.clone()),
            storage,
            clock,
            metrics,
            config,
        })))
    }

    /// Stores version checks that are still waiting to be stored together. To be called before the process ends.
    pub async fn flush(&self) {
        self.0.checks.flush().await;
    }
}
