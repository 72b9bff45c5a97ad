//! Sends tracked events that ask for it (`send_to_snowplow`) on to a Snowplow collector elsewhere: a consumer group of its own
//! on the topic of tracked events, in the order of each partition.
//!
//! `partition` reads, tries again and commits; `payload` is what an event looks like to Snowplow; `collector` is the call. An
//! offset is committed once the collector has taken all events before it. So none is lost while the collector is away, and
//! after a crash some are sent again, under the same ids, by which Snowplow's pipeline tells repetitions.

mod collector;
mod config;
mod metrics;
mod partition;
mod payload;

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tally_eventlog::{EventLog, GroupConsumer, LogError};
use tally_evolution::Schemas;
use tally_schemas::{Framing, topics};
use tally_service::clock::Clock;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::collector::{Collector, HttpCollector, SendError};
pub use self::config::{ForwardConfig, InvalidForwardConfig};
use self::metrics::Metrics;
use self::partition::{Ended, Worker};

/// The pause before the group is joined again after the log failed.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);

/// What forwarding stands on, passed in.
pub struct ForwardDependencies {
    /// Where tracked events are read and dead letters written.
    pub log: Arc<dyn EventLog>,
    /// How tracked events name their schema.
    pub framing: Framing,
    /// What tells of the schemas of other versions.
    pub schemas: Arc<Schemas>,
    pub clock: Arc<dyn Clock>,
    /// Where forwarding's metrics are registered.
    pub registry: Registry,
}

/// Why forwarding can't start.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The configuration can't work.
    #[error(transparent)]
    Config(#[from] InvalidForwardConfig),
    /// The HTTP client can't be made.
    #[error("the client for the Snowplow collector can't be made: {0}")]
    Client(String),
    /// The registry already has forwarding's metrics.
    #[error("forwarding's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Forwards tracked events; cloning shares it.
#[derive(Clone)]
pub struct Forwarder(Arc<Inner>);

struct Inner {
    config: ForwardConfig,
    log: Arc<dyn EventLog>,
    framing: Framing,
    schemas: Arc<Schemas>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    collector: Box<dyn Collector>,
}

impl Forwarder {
    /// Forwards to the configured collector; `None` where none is.
    pub fn new(
        config: &ForwardConfig,
        dependencies: ForwardDependencies,
    ) -> Result<Option<Self>, ForwardError> {
        if config.collector_url.is_empty() {
            return Ok(None);
        }
        config.check()?;
        let collector = HttpCollector::new(config)?;
        Self::with_collector(config, dependencies, Box::new(collector)).map(Some)
    }

    /// Forwards to this collector.
    pub fn with_collector(
        config: &ForwardConfig,
        dependencies: ForwardDependencies,
        collector: Box<dyn Collector>,
    ) -> Result<Self, ForwardError> {
        let ForwardDependencies { log, framing, schemas, clock, registry } = dependencies;
        let metrics = Metrics::new(&registry)?;
        Ok(Self(Arc::new(Inner { config: config.clone(), log, framing, schemas, clock, metrics, collector })))
    }

    /// Forwards until `shutdown`. Failures of the log and of the collector are waited out.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let ended = match self.0.log.join(&self.0.config.group, topics::EVENTS).await {
                Ok(consumer) => self.work_as_member(consumer, &shutdown).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                tracing::error!(topic = topics::EVENTS, %error, "the log failed; joining again to forward events");
                tokio::select! {
                    () = tokio::time::sleep(REJOIN_PAUSE) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }

    /// Takes partitions as a member of the group until shutdown or until the log fails.
    async fn work_as_member(
        &self,
        mut consumer: Box<dyn GroupConsumer>,
        shutdown: &CancellationToken,
    ) -> Result<(), LogError> {
        let mut workers = JoinSet::new();
        let ended = loop {
            tokio::select! {
                assignment = consumer.next_assignment() => match assignment {
                    Ok(assignment) => {
                        let worker = Worker::new(Arc::clone(&self.0), assignment, shutdown.clone());
                        workers.spawn(worker.run());
                    }
                    Err(error) => break Err(error),
                },
                Some(ended) = workers.join_next() => {
                    // A worker's panic is the process's: it must not look alive while nothing is forwarded.
                    match ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
                        Ended::Log(error) => break Err(error),
                        Ended::TakenAway | Ended::Stopped => {}
                    }
                }
                () = shutdown.cancelled() => break Ok(()),
            }
        };
        if ended.is_err() {
            drop(consumer);
            workers.abort_all();
        }
        while workers.join_next().await.is_some() {}
        ended
    }
}

#[cfg(test)]
mod tests;
