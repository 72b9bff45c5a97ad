//! Commands: decided on the state, appended, and done once this process has folded them. One at a time, as a second one
//! would be decided on a state that the first is about to change.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tally_eventlog::{AppendError, Appended, LogRecord, Record};
use tokio::time::{Instant, timeout_at};

use super::replica::Replica;
use super::transaction::{Rewrite, Transaction};
use crate::backend::Decide;
use crate::{Change, State, Unavailable};

/// The longest pause of a writer that lost, which grows with its losses.
const LONGEST_PAUSE: Duration = Duration::from_millis(30);
const PAUSE_STEP: Duration = Duration::from_millis(2);

/// What a command decided.
pub(super) enum Decision<T> {
    /// Nothing is to change.
    Nothing(T),
    /// These changes are to take effect together.
    Write { answer: T, changes: Vec<Change>, rewrite: Option<Rewrite> },
}

/// What came of one attempt to write.
enum Attempt {
    Done,
    /// Another writer was faster; the log reaches at least so far by now.
    Lost {
        end: u64,
    },
}

impl Replica {
    /// Asks `decide` on the state as of the log's end, appends its changes as one transaction and returns once the state
    /// has them; asks again for as long as other writers are faster.
    ///
    /// After `Unavailable` the changes may still take effect, as with every log whose answer got lost.
    pub(crate) async fn transact(&self, now: Timestamp, decide: &mut Decide<'_>) -> Result<(), Unavailable> {
        let decide = |state: &State, _at| match decide(state) {
            changes if changes.is_empty() => Decision::Nothing(()),
            changes => Decision::Write { answer: (), changes, rewrite: None },
        };
        self.write(now, decide).await.map(|_| ())
    }

    /// Writes changes that mean the same on every state, and waits until they are in this one.
    pub(crate) async fn record(&self, now: Timestamp, changes: Vec<Change>) -> Result<(), Unavailable> {
        let deadline = self.deadline();
        let time = now.as_millisecond();
        let transaction = Transaction { at: None, time, writer: self.writer, rewrite: None, changes };
        let record = transaction.record(self.next_number());
        let appended = timeout_at(deadline, self.append_one(record)).await.map_err(|_| too_late())?;
        let appended = appended.map_err(|error| Unavailable(error.to_string()))?;
        self.wait_for(appended.offset + 1, deadline).await
    }

    /// Whether this copy reaches the log's end within the time that a command may take.
    pub(crate) async fn check(&self) -> Result<(), String> {
        if let Some(failure) = &*self.failure.lock() {
            return Err(failure.clone());
        }
        let deadline = self.deadline();
        let reached = async { self.wait_for(self.end_of_log(deadline).await?, deadline).await };
        reached.await.map_err(|Unavailable(reason)| reason)
    }

    /// As `transact`, with the offset that the decision was taken at. `decide` is told it, too.
    pub(super) async fn write<T>(
        &self,
        now: Timestamp,
        mut decide: impl FnMut(&State, u64) -> Decision<T> + Send,
    ) -> Result<(T, u64), Unavailable> {
        let deadline = self.deadline();
        let _turn = timeout_at(deadline, self.turn.lock()).await.map_err(|_| too_late())?;
        // Where the log ended at some time since the call, once that is known.
        let mut end = None;
        for losses in 0.. {
            let (at, decision) = self.decide(&mut decide);
            match decision {
                Decision::Nothing(answer) => {
                    let end = match end {
                        Some(end) => end,
                        None => *end.insert(self.end_of_log(deadline).await?),
                    };
                    // What was written before the call has to be seen.
                    if at >= end {
                        return Ok((answer, at));
                    }
                    self.wait_for(end, deadline).await?;
                }
                Decision::Write { answer, changes, rewrite } => {
                    let (time, writer) = (now.as_millisecond(), self.writer);
                    let transaction = Transaction { at: Some(at), time, writer, rewrite, changes };
                    match self.attempt(&transaction, at, deadline).await? {
                        Attempt::Done => return Ok((answer, at)),
                        Attempt::Lost { end: reached } => {
                            end = end.max(Some(reached));
                            self.wait_for(reached, deadline).await?;
                            tokio::time::sleep(pause(losses)).await;
                        }
                    }
                }
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(too_late())
    }

    /// A decision, and the offset up to which it takes everything into account.
    fn decide<T>(&self, decide: &mut impl FnMut(&State, u64) -> Decision<T>) -> (u64, Decision<T>) {
        let fold = self.fold.lock();
        let state = self.state.read();
        let at = fold.next();
        drop(fold);
        let decision = decide(&state, at);
        (at, decision)
    }

    async fn attempt(
        &self,
        transaction: &Transaction,
        at: u64,
        deadline: Instant,
    ) -> Result<Attempt, Unavailable> {
        let record = transaction.record(self.next_number());
        let Record { key, value, timestamp } = record.clone();
        let key = key.unwrap_or_default();
        match timeout_at(deadline, self.append_one(record)).await {
            Ok(Ok(Appended { offset, .. })) if offset == at => {
                self.fold_own(&LogRecord { offset, timestamp, key: Some(key), value });
                self.wait_for(at + 1, deadline).await?;
                Ok(Attempt::Done)
            }
            Ok(Ok(Appended { offset, .. })) => Ok(Attempt::Lost { end: offset + 1 }),
            Ok(Err(error)) if !error.is_retriable() => Err(Unavailable(error.to_string())),
            Ok(Err(error)) => self.outcome(at, &key, deadline, &error.to_string()).await,
            Err(_) => self.outcome(at, &key, deadline, "the log did not answer in time").await,
        }
    }

    /// What came of a record whose answer got lost: whatever lies at its offset tells.
    async fn outcome(
        &self,
        at: u64,
        key: &Bytes,
        deadline: Instant,
        reason: &str,
    ) -> Result<Attempt, Unavailable> {
        self.wait_for(at + 1, deadline).await.map_err(|_| Unavailable(reason.to_owned()))?;
        if self.fold.lock().is_own(at, key) {
            return Ok(Attempt::Done);
        }
        Ok(Attempt::Lost { end: at + 1 })
    }

    pub(super) async fn append_one(&self, record: Record) -> Result<Appended, AppendError> {
        let mut results = self.log.append(&self.config.topic, vec![record]).await;
        let missing = || AppendError::Unavailable("the log said nothing of the record".to_owned());
        results.pop().unwrap_or_else(|| Err(missing()))
    }

    async fn end_of_log(&self, deadline: Instant) -> Result<u64, Unavailable> {
        let asked = timeout_at(deadline, self.log.watermarks(&self.config.topic)).await;
        let reach = asked.map_err(|_| too_late())?.map_err(|error| Unavailable(error.to_string()))?;
        Ok(reach.first().map_or(0, |reach| reach.high))
    }

    /// Waits until everything before the offset is folded.
    async fn wait_for(&self, offset: u64, deadline: Instant) -> Result<(), Unavailable> {
        let mut position = self.position.subscribe();
        let reached = timeout_at(deadline, position.wait_for(|position| *position >= offset)).await;
        reached.map(|_| ()).map_err(|_| too_late())
    }

    fn next_number(&self) -> u64 {
        self.records.fetch_add(1, Ordering::Relaxed)
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.config.write_timeout
    }
}

/// Some time up to a bound that grows with the losses, so that writers who compete don't do so in step.
fn pause(losses: u32) -> Duration {
    let most = (PAUSE_STEP * losses).min(LONGEST_PAUSE);
    most.mul_f64(rand::random::<f64>())
}

fn too_late() -> Unavailable {
    Unavailable("the directory's log did not take the command in time".to_owned())
}
