//! Waiting for the store: nothing is read meanwhile, and whoever wants the partition, or this process to end, is heeded.

use std::time::Duration;

use tally_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::{PartitionContext, PartitionError};

/// How long an insert under way may go on after shutdown began.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Ends some time after shutdown began.
pub async fn grace_after(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}

/// Asks the store until it answers, however long it is out of reach.
pub async fn ask<T, F>(
    context: &PartitionContext,
    revoked: &CancellationToken,
    question: impl Fn() -> F,
) -> Result<T, PartitionError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    loop {
        let answer = unless_ended(context, revoked, question()).await?;
        context.progress.answered();
        match answer {
            Ok(answer) => {
                context.series.set_waiting(false);
                return Ok(answer);
            }
            Err(error) => {
                context.metrics.store_outages.inc();
                let topic = context.folder.topic();
                tracing::error!(topic, %error, "the store did not answer; consumption waits");
            }
        }
        pause(context, revoked, 1).await?;
    }
}

/// Waits before the store is tried again, so many times the configured pause. Ends the work when nobody wants it any more: what
/// was announced is replayed by whoever comes next.
pub async fn pause(
    context: &PartitionContext,
    revoked: &CancellationToken,
    times: u32,
) -> Result<(), PartitionError> {
    context.series.set_waiting(true);
    let paused = tokio::time::sleep(context.config.outage_pause() * times);
    unless_ended(context, revoked, paused).await?;
    context.progress.answered();
    Ok(())
}

/// What `work` gives, unless the partition is taken away or shutdown begins first.
pub async fn unless_ended<T>(
    context: &PartitionContext,
    revoked: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, PartitionError> {
    tokio::select! {
        done = work => Ok(done),
        () = revoked.cancelled() => Err(PartitionError::TakenAway),
        () = context.shutdown.cancelled() => Err(PartitionError::Interrupted),
    }
}
