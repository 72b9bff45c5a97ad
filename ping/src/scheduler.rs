//! The scheduler: every few seconds it decides on the next step and makes it. What it is about to do is in the directory
//! before it is done, so that another process, or this one after a crash, goes on from there.

use std::convert::Infallible;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tally_directory::{Change, State, TransactError};
use tally_query::service_ping::PayloadKind;
use tokio_util::sync::CancellationToken;

use crate::error::PingError;
use crate::lease::Leases;
use crate::outgoing::SendError;
use crate::payload::StoredPayload;
use crate::ping::{Ping, Shared};
use crate::schedule::{Circumstances, Outcome, Schedule, Step, Try};
use crate::storage::StorageError;
use crate::submission::Submission;

/// How long a step that is under way at shutdown may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// Pauses before the directory is told again of a payload that was taken: a directory that is only away for a moment must
/// not cost a second sending.
const PAUSES: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// What a look at the schedule came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Tick {
    /// There was nothing to do.
    Idle,
    /// A slot, or what was left of one, was ended without a try.
    Ended(Outcome),
    /// A payload was stored and is not to be sent.
    Stored,
    /// The receiver took the payload.
    Sent(Submission),
    /// The try failed.
    Failed(SendError),
}

/// A payload that is stored, about to be sent.
struct Prepared {
    payload: StoredPayload,
    may_hold_optional_data: bool,
}

impl Ping {
    /// Looks at the schedule once, and makes the step that is due. An error means that the directory can't be written to.
    pub async fn tick(&self) -> Result<Tick, PingError> {
        let shared = &self.0;
        let _sending = shared.sending.lock().await;
        shared.note_successes().await?;
        shared.store_submissions().await;
        let one = match shared.next_step().await? {
            Step::Idle => return Ok(Tick::Idle),
            Step::Noted(outcome) => {
                tracing::info!(?outcome, "ended a service ping's slot");
                return Ok(Tick::Ended(outcome));
            }
            Step::Try(one) => one,
        };
        shared.set_withdrawable(Some(one));
        let tick = shared.attempt(one).await;
        shared.set_withdrawable(None);
        shared.store_submissions().await;
        tick
    }

    /// The scheduler: looks at the schedule every few seconds until `shutdown`. A step under way then has a few seconds
    /// to end; one that has not come to sending by then is taken back, for the next start or another process.
    pub async fn run(self, shutdown: CancellationToken) {
        self.0.announce_receiver();
        let mut looks = tokio::time::interval(Duration::from_secs(self.0.config.poll_s.max(1)));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = looks.tick() => {}
            }
            let graceful = async {
                shutdown.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                tick = self.tick() => {
                    if let Err(error) = tick {
                        tracing::warn!(%error, "the service ping's schedule can't be kept");
                    }
                }
                () = graceful => return self.0.withdraw().await,
            }
        }
    }
}

impl Shared {
    /// Decides on the next step; what has to be noted for it is in the directory then.
    async fn next_step(&self) -> Result<Step, PingError> {
        let now = self.now();
        let step = self.transact(|state, leases, schedule| {
            let Some(schedule) = schedule else {
                return (Step::Idle, Some(Schedule::beginning(now)));
            };
            let settings = self.settings_of(state);
            let at = Circumstances {
                now,
                slot: self.slot,
                holder: &self.holder,
                generation_enabled: settings.usage_ping_generation_enabled,
                may_send: settings.usage_ping_enabled && self.receiver.is_some(),
            };
            let step = schedule.next(leases, at);
            (step, None)
        });
        let step = step.await?;
        self.show_last_success();
        Ok(step)
    }

    /// Makes an announced try: the payloads first if there are none, then the request. Its end is in the directory.
    async fn attempt(&self, one: Try) -> Result<Tick, PingError> {
        let prepared = match one.recorded_at {
            Some(recorded_at) => match self.stored_full(recorded_at).await {
                Ok(payload) if self.exceeds_consent(&payload) => self.make_payloads_anew(&one).await?,
                stored => stored.map(|payload| {
                    let may_hold_optional_data = payload.may_hold_optional_data();
                    Prepared { payload, may_hold_optional_data }
                }),
            },
            None => self.make_payloads(&one).await?,
        };
        let Prepared { payload, may_hold_optional_data } = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.fail(&one, None, error).await,
        };
        let Some(receiver) = &self.receiver else { return self.leave_unsent(&one).await };
        // Asked of the directory itself: this process's copy may lag behind an opt-out at another.
        let (settings, is_current) = self
            .transact(|state, _, schedule| {
                let is_current = schedule.is_some_and(|schedule| schedule.is_current(&one, self.now()));
                ((self.settings_of(state), is_current), None)
            })
            .await?;
        if !settings.allow_sending() {
            return self.leave_unsent(&one).await;
        }
        if !is_current {
            tracing::warn!(
                attempt = one.attempt,
                "took too long to send the payload; another try is or was made"
            );
            return Ok(Tick::Idle);
        }
        if may_hold_optional_data && !settings.include_optional_data_in_service_ping {
            let what = "optional data were switched off while the payload was made".to_owned();
            return self.fail(&one, None, SendError::NotGenerated(what)).await;
        }
        self.set_withdrawable(None);
        match self.deliver(receiver, &payload).await {
            Ok(taken) => {
                let submission = submission(&one, &payload, Ok(taken));
                self.succeed(&one, &submission).await?;
                self.deliver_metadata(&payload).await;
                Ok(Tick::Sent(submission))
            }
            Err(error) => self.fail(&one, Some(&payload), error).await,
        }
    }

    async fn leave_unsent(&self, one: &Try) -> Result<Tick, PingError> {
        self.note(|schedule| schedule.note_not_sent(one)).await?;
        Ok(Tick::Stored)
    }

    /// The three payloads of the try's slot, under its leases: each lease is given back once its payload is stored. `Err`
    /// inside: a payload could not be made.
    async fn make_payloads(&self, one: &Try) -> Result<Result<Prepared, SendError>, PingError> {
        tokio::time::sleep(self.splay()).await;
        let recorded_at = self.recording_time();
        let settings = self.settings();
        if !settings.usage_ping_generation_enabled {
            return Ok(Err(SendError::NotGenerated(PingError::GenerationOff.to_string())));
        }
        let consent = settings.consent();
        for kind in [PayloadKind::NonSql, PayloadKind::Queries] {
            if let Err(error) = self.generate_kind(kind, recorded_at, consent).await {
                return Ok(Err(error.into()));
            }
            self.transact(|_, leases, _| (leases.release(&self.holder, &[kind]), None)).await?;
        }
        let full = match self.generate_kind(PayloadKind::Full, recorded_at, consent).await {
            Ok(full) => full,
            Err(error) => return Ok(Err(error.into())),
        };
        self.transact(|_, leases, schedule| {
            leases.release(&self.holder, &PayloadKind::ALL);
            if let Some(schedule) = schedule {
                schedule.note_stored(one, recorded_at);
            }
            ((), None)
        })
        .await?;
        Ok(Ok(Prepared { payload: full, may_hold_optional_data: consent.include_optional_data }))
    }

    /// New payloads for a later try, as the customer has taken back a consent that the stored ones were made under.
    async fn make_payloads_anew(&self, one: &Try) -> Result<Result<Prepared, SendError>, PingError> {
        let now = self.now();
        if self.transact(|_, leases, _| (leases.take_all(&self.holder, now), None)).await? {
            return self.make_payloads(one).await;
        }
        Ok(Err(SendError::NotGenerated("another process is computing payloads".to_owned())))
    }

    async fn stored_full(&self, recorded_at: Timestamp) -> Result<StoredPayload, SendError> {
        let gone = || SendError::NotGenerated(format!("the payload of {recorded_at} is gone from the store"));
        match self.parts.storage.payload(recorded_at, PayloadKind::Full).await {
            Ok(payload) => payload.ok_or_else(gone),
            Err(error) => Err(SendError::NotGenerated(error.to_string())),
        }
    }

    /// Notes a success, before anything else is done about it: from here on nobody sends this payload again. While the
    /// directory is away this is tried again, now a few times, and then by each look at the schedule.
    pub async fn succeed(&self, one: &Try, submission: &Submission) -> Result<(), PingError> {
        tracing::info!(%submission, "sent a service ping");
        self.unnoted().push((*one, submission.clone()));
        for pause in PAUSES {
            let Err(error) = self.note_successes().await else { return Ok(()) };
            tracing::warn!(%error, "a service ping was sent, and that can't be noted yet");
            tokio::time::sleep(pause).await;
        }
        self.note_successes().await
    }

    /// Tells the directory of the payloads that were taken, where it could not be told before.
    async fn note_successes(&self) -> Result<(), PingError> {
        let unnoted = self.unnoted().clone();
        for (one, submission) in unnoted {
            let now = self.now();
            self.note(|schedule| schedule.note_sent(&one, submission.clone(), now)).await?;
            self.unnoted().retain(|(_, noted)| *noted != submission);
        }
        self.show_last_success();
        Ok(())
    }

    fn unnoted(&self) -> MutexGuard<'_, Vec<(Try, Submission)>> {
        self.unnoted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a failure, and reports it to the receiver if anything may be sent there.
    pub async fn fail(
        &self,
        one: &Try,
        payload: Option<&StoredPayload>,
        error: SendError,
    ) -> Result<Tick, PingError> {
        self.metrics.failures.with_label_values(&[error.reason()]).inc();
        tracing::warn!(attempt = one.attempt, %error, "a service ping failed");
        let now = self.now();
        let row = payload.map(|payload| submission(one, payload, Err(&error)));
        self.transact(|_, leases, schedule| {
            leases.release(&self.holder, &PayloadKind::ALL);
            if let Some(schedule) = schedule {
                schedule.note_failed(one, &error.to_string(), row.clone(), now);
            }
            ((), None)
        })
        .await?;
        self.deliver_error(&error, one.announced_at).await;
        Ok(Tick::Failed(error))
    }

    /// Takes back the try that this process has announced and not begun to send, and its leases.
    async fn withdraw(&self) {
        let one = self.withdrawable();
        let now = self.now();
        let withdrawn = self.transact(|_, leases, schedule| {
            leases.release(&self.holder, &PayloadKind::ALL);
            if let (Some(schedule), Some(one)) = (schedule, &one) {
                schedule.withdraw(one, now);
            }
            ((), None)
        });
        if let Err(error) = withdrawn.await {
            tracing::warn!(%error, "an announced service ping can't be taken back; it is tried again in 8 hours or more");
        }
    }

    /// Stores the rows of tries that are noted and not stored yet. What can't be stored now stays noted.
    pub async fn store_submissions(&self) {
        let unstored = Schedule::read(&self.parts.directory.read()).map(|schedule| schedule.unstored);
        for submission in unstored.unwrap_or_default() {
            if let Err(error) = self.store_submission(&submission).await {
                tracing::warn!(%error, "a try to send a service ping could not be stored yet");
                return;
            }
        }
    }

    async fn store_submission(&self, submission: &Submission) -> Result<(), PingError> {
        self.parts.storage.put_submission(submission).await?;
        self.note(|schedule| schedule.unstored.retain(|unstored| unstored != submission)).await
    }

    /// Changes the schedule, if there is one.
    pub async fn note(&self, change: impl Fn(&mut Schedule) + Send + Sync) -> Result<(), PingError> {
        self.transact(|_, _, schedule| {
            if let Some(schedule) = schedule {
                change(schedule);
            }
            ((), None)
        })
        .await
    }

    /// Changes leases and schedule in one step; `decide` may be asked again on a later state. It may return a schedule
    /// to begin with.
    pub async fn transact<T: Send>(
        &self,
        decide: impl Fn(&State, &mut Leases, Option<&mut Schedule>) -> (T, Option<Schedule>) + Send + Sync,
    ) -> Result<T, PingError> {
        let mut replaced = None;
        let decided = self.parts.directory.transact(self.now(), |state| {
            let (leases, schedule) = (Leases::read(state), Schedule::read(state));
            let (mut new_leases, mut new_schedule) = (leases.clone(), schedule.clone());
            let (answer, begun) = decide(state, &mut new_leases, new_schedule.as_mut());
            replaced = begun.as_ref().and_then(|_| Schedule::fault(state));
            let new_schedule = begun.or(new_schedule);
            let mut changes: Vec<Change> = Vec::new();
            if new_leases != leases {
                changes.push(new_leases.change());
            }
            if let Some(new_schedule) = new_schedule.filter(|new| Some(new) != schedule.as_ref()) {
                changes.push(new_schedule.change());
            }
            Ok::<_, Infallible>((answer, changes))
        });
        let answer = decided.await.map_err(|error: TransactError<Infallible>| PingError::from(error))?;
        if let Some(error) = replaced {
            self.metrics.failures.with_label_values(&["unreadable_schedule"]).inc();
            tracing::warn!(
                error,
                "the setting service_ping_schedule can't be read: the schedule begins anew, with the next slot"
            );
        }
        Ok(answer)
    }

    /// A random wait of up to `ping.splay_s`.
    fn splay(&self) -> Duration {
        let mut random = [0; 8];
        self.parts.randomness.fill(&mut random);
        let share = u64::from_le_bytes(random) as f64 / u64::MAX as f64;
        Duration::from_secs(self.config.splay_s).mul_f64(share)
    }

    fn show_last_success(&self) {
        let last = Schedule::read(&self.parts.directory.read()).and_then(|schedule| schedule.last_success);
        self.metrics.last_success.set(last.map_or(0.0, |last| last.as_second() as f64));
    }

    fn announce_receiver(&self) {
        if let Some(receiver) = self.shown_receiver() {
            tracing::info!(receiver, slot = %self.slot, "service pings are sent weekly");
        } else {
            tracing::info!(
                slot = %self.slot,
                "service pings are computed and stored weekly, not sent: ping.base_url is empty"
            );
        }
    }
}

/// The row of a try.
pub(crate) fn submission(
    one: &Try,
    payload: &StoredPayload,
    result: Result<crate::answer::Taken, &SendError>,
) -> Submission {
    let (usage_data_id, dev_ops_score, error) = match result {
        Ok(taken) => (Some(taken.usage_data_id), taken.dev_ops_score, None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    Submission {
        recorded_at: payload.recorded_at,
        attempt: one.attempt,
        attempted_at: one.announced_at,
        usage_data_id,
        dev_ops_score,
        error,
    }
}

impl From<StorageError> for SendError {
    fn from(error: StorageError) -> Self {
        Self::NotGenerated(error.to_string())
    }
}
