//! Writes an announced batch: its raw rows first, then what is derived of them. Each insert carries its token, so that it may
//! be sent again.

use futures::{StreamExt, stream};
use tally_store::{Insert, InsertError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::refusal::withdraw;
use super::wait::grace_after;
use super::{PartitionContext, PartitionError};
use crate::batch::Batch;
use crate::fold::{RawTable, TableInsert};

/// Inserts of one batch under way at once.
const CONCURRENT_INSERTS: usize = 4;

/// A batch whose range is committed as pending.
pub struct Announced {
    pub batch: Batch,
    /// Raw rows that are not written yet. None of the others is sent before all of these are in the tables.
    pub raw: Vec<TableInsert>,
    /// Whether rows of what is left out may be there, from a try that did not leave it out.
    may_hold_refused: bool,
    /// Dead letters of what is left out, which may be more than at an earlier try as long as not all raw rows are written.
    letters: Vec<TableInsert>,
    derived: Vec<TableInsert>,
    pub at: Instant,
}

impl Announced {
    /// A batch that was announced at that time, and of which nothing is written.
    pub fn new(batch: Batch, raw_tables: &[RawTable], at: Instant) -> Self {
        let is_raw = |insert: &TableInsert| raw_tables.iter().any(|table| table.name == insert.table);
        let (raw, derived) = batch.folded.inserts.iter().cloned().partition(is_raw);
        let (letters, may_hold_refused) = (batch.letters.clone(), !batch.without.is_empty());
        Self { batch, raw, may_hold_refused, letters, derived, at }
    }

    fn is_written(&self) -> bool {
        !self.may_hold_refused && [&self.raw, &self.letters, &self.derived].into_iter().all(Vec::is_empty)
    }
}

/// How writing an announced batch went.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it is in the tables.
    All,
    /// The store did not take some of it.
    InPart,
    /// It takes some of the raw rows never. None of what is derived of them was sent.
    Refused,
    /// Time went by without all of it written: it must be announced again before more of it is.
    Stale,
}

/// Sends the inserts that are not written yet, each once (the store tries again by itself for a while). Those that succeed
/// are unwritten no more. An insert under way is given up when the partition is taken away, or some time after shutdown:
/// whoever comes next replays the range, and the token tells what had arrived.
pub async fn write_once(
    context: &PartitionContext,
    partition: u32,
    announced: &mut Announced,
    revoked: &CancellationToken,
) -> Result<Written, PartitionError> {
    if announced.is_written() {
        return Ok(Written::All);
    }
    if announced.at.elapsed() >= context.config.announcement_ttl() {
        return Ok(Written::Stale);
    }
    let failed = tokio::select! {
        failed = send_unwritten(context, partition, announced) => failed,
        () = revoked.cancelled() => return Err(PartitionError::TakenAway),
        () = grace_after(&context.shutdown) => return Err(PartitionError::Interrupted),
    };
    let Err(error) = failed else {
        report_freshness(context, &announced.batch);
        return Ok(Written::All);
    };
    report_failure(context, partition, &error);
    let is_refused = matches!(error, InsertError::Rejected { .. }) && !announced.raw.is_empty();
    Ok(if is_refused { Written::Refused } else { Written::InPart })
}

/// Sends each insert that is not written yet.
async fn send_unwritten(
    context: &PartitionContext,
    partition: u32,
    announced: &mut Announced,
) -> Result<(), InsertError> {
    let Batch { offsets, content_hash, .. } = &announced.batch;
    let start_before = announced.at + context.config.announcement_ttl();
    let topic = context.folder.topic();
    let prefix = format!("{topic}:{partition}:{}-{}:{content_hash:016x}", offsets.start, offsets.end);
    send_all(context, &prefix, start_before, &mut announced.raw).await?;
    if announced.may_hold_refused {
        let withdrawn =
            withdraw(&context.store, context.folder.raw_tables(), partition, &announced.batch).await;
        context.progress.answered();
        withdrawn.map_err(|error| InsertError::Outage {
            table: "raw tables (deleting the rows of refused records)".to_owned(),
            tries: 1,
            message: error.to_string(),
        })?;
        announced.may_hold_refused = false;
    }
    send_all(context, &format!("{prefix}:left out"), start_before, &mut announced.letters).await?;
    send_all(context, &prefix, start_before, &mut announced.derived).await
}

/// Sends the inserts, some at once; those that succeed are taken out.
async fn send_all(
    context: &PartitionContext,
    token_prefix: &str,
    start_before: Instant,
    inserts: &mut Vec<TableInsert>,
) -> Result<(), InsertError> {
    let outcomes: Vec<(TableInsert, Result<(), InsertError>)> = stream::iter(std::mem::take(inserts))
        .map(|insert| async {
            let token = format!("{token_prefix}:{}", insert.month);
            let outcome = send(context, &insert, token, start_before).await;
            (insert, outcome)
        })
        .buffer_unordered(CONCURRENT_INSERTS)
        .collect()
        .await;
    let mut first_error = None;
    for (insert, outcome) in outcomes {
        if let Err(error) = outcome {
            inserts.push(insert);
            // What is refused tells more than what only failed, and all others were tried.
            let is_refused = matches!(error, InsertError::Rejected { .. });
            if first_error.is_none() || is_refused {
                first_error = Some(error);
            }
        }
    }
    first_error.map_or(Ok(()), Err)
}

fn report_failure(context: &PartitionContext, partition: u32, error: &InsertError) {
    match error {
        // The announcement grew old while the store was being tried; it is made again.
        InsertError::Late { .. } => {}
        InsertError::Rejected { .. } => {
            context.metrics.refused_batches.inc();
            tracing::error!(partition, %error, "the store refuses a batch; the records at fault are searched");
        }
        InsertError::Outage { .. } => {
            context.metrics.store_outages.inc();
            tracing::error!(partition, %error, "the store did not take a batch; consumption waits");
        }
    }
}

/// From ingest's acceptance of the newest record to now, when its rows can be queried.
fn report_freshness(context: &PartitionContext, batch: &Batch) {
    if let Some(age) = age_of(context, batch) {
        context.metrics.freshness_seconds.with_label_values(&[context.folder.topic()]).observe(age);
        context.series.set_freshness(age);
    }
}

/// How long ago ingest accepted the batch's newest record, in seconds.
pub fn age_of(context: &PartitionContext, batch: &Batch) -> Option<f64> {
    let age_ms = context.clock.now().as_millisecond() - batch.folded.received_at?.1;
    Some(age_ms.max(0) as f64 / 1000.0)
}

async fn send(
    context: &PartitionContext,
    insert: &TableInsert,
    token: String,
    start_before: Instant,
) -> Result<(), InsertError> {
    let started = Instant::now();
    let request = Insert {
        table: insert.table,
        columns: insert.columns,
        body: insert.body.clone(),
        token,
        start_before: Some(start_before.into_std()),
    };
    let outcome = context.store.insert(&request).await;
    context.progress.answered();
    outcome?;
    let labels = [insert.table];
    context.metrics.insert_seconds.with_label_values(&labels).observe(started.elapsed().as_secs_f64());
    context.metrics.inserted_rows.with_label_values(&labels).inc_by(insert.rows);
    Ok(())
}
