//! The processor: log -> ClickHouse. It joins a consumer group on each topic, folds what it is given into rows, and writes
//! them exactly once. `partition` holds the protocol, `member` who works on
//! which partition, `fold` what records become, `batch` where one batch ends.

mod batch;
mod config;
pub mod fold;
mod member;
mod metrics;
mod partition;
mod poison;
pub mod recount;
mod repetitions;
mod row_binary;
pub mod sessions;
mod windows;

use std::sync::Arc;

use tally_eventlog::EventLog;
use tally_evolution::Schemas;
use tally_schemas::{Definitions, Framings, Matcher};
use tally_service::clock::Clock;
use tally_store::Store;
use tokio_util::sync::CancellationToken;

pub use config::{IdFilterBytes, InvalidConfig, ProcessorConfig};
pub use metrics::Metrics;
pub use windows::WindowError;

use fold::Folder;
use fold::contributions::ContributionsFolder;
use fold::directory::DirectoryFolder;
use fold::events::EventsFolder;
use fold::evolving::Evolving;
use fold::page_events::PageEventsFolder;
use fold::refused::RefusedFolder;
use partition::TopicContext;

/// What the processor stands on.
#[derive(Clone)]
pub struct ProcessorDeps {
    pub log: Arc<dyn EventLog>,
    pub store: Store,
    pub definitions: Arc<Definitions>,
    pub framings: Framings,
    /// What tells of the schemas of other versions.
    pub schemas: Arc<Schemas>,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
}

/// Why the processor can't start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    #[error(transparent)]
    Windows(#[from] WindowError),
}

/// Consumes until `shutdown`, then finishes the batches under way. A log or a store that is away is waited for; it fails
/// only where the tables can't be trusted.
pub async fn serve(
    config: ProcessorConfig,
    deps: ProcessorDeps,
    shutdown: CancellationToken,
) -> Result<(), ProcessorError> {
    let folders: [Arc<dyn Folder>; 5] = [
        Arc::new(EventsFolder::new(
            Matcher::new(&deps.definitions),
            deps.framings.tracked_event,
            config.id_filter_bytes.events,
        )),
        Arc::new(ContributionsFolder::new(deps.framings.contribution, config.id_filter_bytes.contributions)),
        Arc::new(DirectoryFolder),
        Arc::new(PageEventsFolder::new(deps.framings.page_event, config.id_filter_bytes.page_events)),
        Arc::new(RefusedFolder),
    ];
    tokio::select! {
        checked = check_windows(&config, &deps.store, &folders) => checked?,
        () = shutdown.cancelled() => return Ok(()),
    }
    let consumers = folders.map(|folder| {
        let folder = Arc::new(Evolving::new(folder, Arc::clone(&deps.schemas)));
        let context = TopicContext {
            config: config.clone(),
            folder,
            store: deps.store.clone(),
            metrics: deps.metrics.clone(),
            clock: Arc::clone(&deps.clock),
            shutdown: shutdown.clone(),
        };
        member::consume(Arc::clone(&deps.log), context)
    });
    futures::future::join_all(consumers).await;
    Ok(())
}

/// Waits for the store as long as it is out of reach.
async fn check_windows(
    config: &ProcessorConfig,
    store: &Store,
    folders: &[Arc<dyn Folder>],
) -> Result<(), WindowError> {
    for folder in folders {
        while let Err(error) = windows::check(store, folder.tables(), config.min_deduplication_window).await {
            if !error.is_outage() {
                return Err(error);
            }
            tracing::warn!(%error, "the store is out of reach; counting begins when it answers");
            tokio::time::sleep(config.outage_pause()).await;
        }
    }
    Ok(())
}
