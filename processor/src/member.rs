//! A member of the consumer group of one topic: it works on the partitions that it is given, watches over that work, and joins
//! the group again whenever the log failed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tally_eventlog::{Assignment, EventLog, GroupConsumer, LogError};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use crate::metrics::PartitionSeries;
use crate::partition::{self, PartitionContext, PartitionError, Progress, TopicContext};

/// The pause before the group is joined again after the log failed.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);

/// How often work is looked after at least.
const LONGEST_WATCH: Duration = Duration::from_secs(5);

/// Works on the partitions of one topic until shutdown.
pub async fn consume(log: Arc<dyn EventLog>, context: TopicContext) {
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
    context: &TopicContext,
) -> Result<(), LogError> {
    let mut workers = Workers { context, tasks: JoinSet::new(), watched: Vec::new() };
    let mut watch = tokio::time::interval(LONGEST_WATCH.min(context.config.stall_timeout() / 4));
    let failed = loop {
        tokio::select! {
            assignment = consumer.next_assignment() => match assignment {
                Ok(assignment) => workers.begin(assignment),
                Err(error) => break Err(error),
            },
            Some(ended) = workers.tasks.join_next() => {
                if let Some(error) = failure_of(ended) {
                    break Err(error);
                }
            }
            _ = watch.tick() => workers.look_after(),
            () = context.shutdown.cancelled() => break Ok(()),
        }
    };
    // A member that leaves lets its batches under way end first, so that nobody has to replay them.
    if failed.is_err() {
        drop(consumer);
        workers.tasks.abort_all();
    }
    while workers.tasks.join_next().await.is_some() {}
    failed
}

/// The work on each partition.
struct Workers<'a> {
    context: &'a TopicContext,
    tasks: JoinSet<Result<(), PartitionError>>,
    watched: Vec<Watched>,
}

/// What is seen of a worker. It holds nothing that is the worker's own: that ends with it.
struct Watched {
    partition: u32,
    task: AbortHandle,
    progress: Arc<Progress>,
    series: Weak<PartitionSeries>,
}

impl Workers<'_> {
    fn begin(&mut self, assignment: Assignment) {
        let (topic, partition) = (self.context.folder.topic(), assignment.partition);
        tracing::info!(topic, partition, position = ?assignment.position, "partition assigned");
        let context = PartitionContext::new(self.context, partition);
        let (progress, series) = (Arc::clone(&context.progress), Arc::downgrade(&context.series));
        let task = self.tasks.spawn(partition::work(context, assignment));
        self.watched.push(Watched { partition, task, progress, series });
    }

    /// Gives up work that hears nothing any more: the log offers the partition again, with the position that was committed last.
    fn look_after(&mut self) {
        self.watched.retain(|watched| !watched.task.is_finished());
        let timeout = self.context.config.stall_timeout();
        for Watched { partition, task, progress, series } in &self.watched {
            if let Some(series) = series.upgrade() {
                series.set_stalled(progress.since_advance() >= timeout);
            }
            if progress.since_answer() < timeout {
                continue;
            }
            let (topic, seconds) = (self.context.folder.topic(), timeout.as_secs());
            tracing::error!(
                topic,
                partition,
                seconds,
                "work on a partition hears nothing; it is begun again"
            );
            self.context.metrics.stalls.with_label_values(&[topic]).inc();
            // Said again after as long, should the task not even end.
            progress.answered();
            task.abort();
        }
    }
}

/// The log's failure, where that is why the work on a partition ended.
fn failure_of(ended: Result<Result<(), PartitionError>, JoinError>) -> Option<LogError> {
    match ended {
        Ok(Err(PartitionError::Log(error))) => Some(error),
        Ok(Err(PartitionError::TakenAway)) => {
            tracing::info!("partition taken away");
            None
        }
        Ok(Err(PartitionError::Interrupted) | Ok(())) => None,
        Err(aborted) if aborted.is_cancelled() => None,
        // A worker's panic is the process's: it must not look alive while nothing is counted.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

#[cfg(test)]
mod tests;
