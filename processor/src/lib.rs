//! The processor: log -> ClickHouse. It joins a consumer group on each topic, folds what it is given into rows, and writes
//! them exactly once. `partition` holds the protocol, `fold` what records become, `batch` where one batch ends.

mod batch;
mod config;
pub mod fold;
mod metrics;
mod partition;
pub mod recount;
mod repetitions;
mod row_binary;
pub mod sessions;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use tally_eventlog::{EventLog, GroupConsumer, LogError};
use tally_schemas::{Definitions, Framings, Matcher};
use tally_service::clock::Clock;
use tally_store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use config::{InvalidConfig, ProcessorConfig};
pub use metrics::Metrics;
pub use windows::WindowError;

use fold::Folder;
use fold::contributions::ContributionsFolder;
use fold::directory::DirectoryFolder;
use fold::events::EventsFolder;
use fold::page_events::PageEventsFolder;
use fold::refused::RefusedFolder;
use partition::{PartitionContext, PartitionError};

/// The pause before the group is joined again after the log failed.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);

/// What the processor stands on.
#[derive(Clone)]
pub struct ProcessorDeps {
    pub log: Arc<dyn EventLog>,
    pub store: Store,
    pub definitions: Arc<Definitions>,
    pub framings: Framings,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
}

/// Why the processor can't start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    #[error(transparent)]
    Windows(#[from] WindowError),
}

/// Consumes until `shutdown`, then finishes the batches under way. Fails only on start; later failures of the log or the
/// store are waited out.
pub async fn serve(
    config: ProcessorConfig,
    deps: ProcessorDeps,
    shutdown: CancellationToken,
) -> Result<(), ProcessorError> {
    let folders: [Arc<dyn Folder>; 5] = [
        Arc::new(EventsFolder::new(Matcher::new(&deps.definitions), deps.framings.tracked_event)),
        Arc::new(ContributionsFolder::new(deps.framings.contribution)),
        Arc::new(DirectoryFolder),
        Arc::new(PageEventsFolder::new(deps.framings.page_event, config.event_id_filter_bytes)),
        Arc::new(RefusedFolder),
    ];
    for folder in &folders {
        windows::check(&deps.store, folder.tables(), config.min_deduplication_window).await?;
    }
    let consumers = folders.map(|folder| {
        let context = PartitionContext {
            config: config.clone(),
            folder,
            store: deps.store.clone(),
            metrics: deps.metrics.clone(),
            clock: Arc::clone(&deps.clock),
            shutdown: shutdown.clone(),
        };
        consume(Arc::clone(&deps.log), context)
    });
    futures::future::join_all(consumers).await;
    Ok(())
}

/// Works on the partitions of one topic, joining the group again whenever the log failed.
async fn consume(log: Arc<dyn EventLog>, context: PartitionContext) {
    let topic = context.folder.topic();
    while !context.shutdown.is_cancelled() {
        let joined = log.join(&context.config.group, topic).await;
        let ended = match joined {
            Ok(consumer) => work_as_member(consumer, &context).await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(topic, %error, "the log failed; joining again");
            tokio::select! {
                () = tokio::time::sleep(REJOIN_PAUSE) => {}
                () = context.shutdown.cancelled() => {}
            }
        }
    }
}

/// Takes partitions as a member of the group until shutdown or until the log fails.
async fn work_as_member(
    mut consumer: Box<dyn GroupConsumer>,
    context: &PartitionContext,
) -> Result<(), LogError> {
    let mut workers = JoinSet::new();
    let failed = loop {
        tokio::select! {
            assignment = consumer.next_assignment() => match assignment {
                Ok(assignment) => {
                    tracing::info!(topic = context.folder.topic(), partition = assignment.partition,
                        position = ?assignment.position, "partition assigned");
                    workers.spawn(partition::work(context.clone(), assignment));
                }
                Err(error) => break Err(error),
            },
            Some(ended) = workers.join_next() => {
                // A worker's panic is the process's: it must not look alive while nothing is counted.
                let ended = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                if let Some(error) = failure_of(ended) {
                    break Err(error);
                }
            }
            () = context.shutdown.cancelled() => break Ok(()),
        }
    };
    // A member that leaves lets its batches under way end first, so that nobody has to replay them.
    if failed.is_err() {
        drop(consumer);
        workers.abort_all();
    }
    while workers.join_next().await.is_some() {}
    failed
}

/// The log's failure, where that is why the work on a partition ended.
fn failure_of(ended: Result<(), PartitionError>) -> Option<LogError> {
    match ended {
        Err(PartitionError::Log(error)) => Some(error),
        Err(PartitionError::TakenAway) => {
            tracing::info!("partition taken away");
            None
        }
        Err(PartitionError::Interrupted) | Ok(()) => None,
    }
}
