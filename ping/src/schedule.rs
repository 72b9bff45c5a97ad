//! What became of the weekly slots, in the directory, and what is to be done next. Knows no network and no store: every
//! step of the scheduler is a transition here, made by compare-and-set, before its effect.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_directory::{Change, State};

use crate::lease::Leases;
use crate::slot::WeeklySlot;
use crate::submission::Submission;

/// The setting that holds the schedule.
const SETTING: &str = "service_ping_schedule";

/// How often a payload is tried: once, and again 8, 16 and 24 hours after a failure (the contract; GitLab's worker).
const TRIES: u8 = 4;

/// How long an announced try may stay without a result before it counts as failed: its process is gone.
const SILENCE: SignedDuration = SignedDuration::from_hours(8);

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not finished: a try is under way or will be.
    Pending,
    /// The receiver took the payload.
    Sent,
    /// The payload is stored; sending is off or has nowhere to go.
    NotSent,
    /// Nothing was done: generation is off.
    GenerationOff,
    /// The last try failed.
    GivenUp,
}

/// A slot and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// The slot's time.
    pub slot: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// Its payload, once that is stored.
    pub recorded_at: Option<Timestamp>,
    /// How many tries were announced.
    pub attempts: u8,
    /// When the last try was announced.
    pub announced_at: Timestamp,
    /// When the next step is due, unless a result comes before; `None` when there is none.
    pub due: Option<Timestamp>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

/// An announced try: whoever announced it makes it, and nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Try {
    /// The slot it belongs to; `None` for a payload that belongs to none, which only a person sends.
    pub slot: Option<Timestamp>,
    /// Its number, from 1.
    pub attempt: u8,
    /// The payload to send; `None` when it has to be made first, under the leases that came with the try.
    pub recorded_at: Option<Timestamp>,
    /// When it was announced.
    pub announced_at: Timestamp,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Idle,
    /// Nothing more: the schedule has noted why.
    Noted(Outcome),
    /// The announced try.
    Try(Try),
}

/// What the decision on the next step depends on, next to the schedule and the leases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances<'a> {
    pub now: Timestamp,
    pub slot: WeeklySlot,
    pub holder: &'a str,
    pub generation_enabled: bool,
    pub may_send: bool,
}

/// The schedule, as the directory holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    /// When the schedule began: slots before don't count.
    pub since: Timestamp,
    /// The last slot that was begun.
    pub cycle: Option<Cycle>,
    /// When a payload was taken last.
    pub last_success: Option<Timestamp>,
    /// Tries whose row is not stored yet.
    #[serde(default)]
    pub unstored: Vec<Submission>,
}

impl Schedule {
    /// A schedule that begins now.
    pub fn beginning(now: Timestamp) -> Self {
        Self { since: now, cycle: None, last_success: None, unstored: Vec::new() }
    }

    /// The schedule of this state, if it has begun and can be read.
    pub fn read(state: &State) -> Option<Self> {
        serde_json::from_value(state.setting(SETTING)?.clone()).ok()
    }

    /// Why the schedule of this state can't be read, if there is one.
    pub fn fault(state: &State) -> Option<String> {
        let read: Result<Self, _> = serde_json::from_value(state.setting(SETTING)?.clone());
        read.err().map(|error| error.to_string())
    }

    /// The change that writes it.
    pub fn change(&self) -> Change {
        let value: Value = serde_json::to_value(self).expect("texts, numbers and times are JSON");
        Change::Setting { name: SETTING.to_owned(), value }
    }

    /// Decides on the next step and notes it.
    pub fn next(&mut self, leases: &mut Leases, at: Circumstances) -> Step {
        let latest = at.slot.at_or_before(at.now);
        let is_begun = self.cycle.as_ref().is_some_and(|cycle| cycle.slot >= latest);
        if latest >= self.since && !is_begun {
            self.begin(latest, leases, at)
        } else {
            self.go_on(leases, at)
        }
    }

    fn begin(&mut self, slot: Timestamp, leases: &mut Leases, at: Circumstances) -> Step {
        let outcome = if at.generation_enabled { Outcome::Pending } else { Outcome::GenerationOff };
        if at.generation_enabled && !leases.take_all(at.holder, at.now) {
            return Step::Idle;
        }
        let mut cycle = Cycle {
            slot,
            outcome,
            recorded_at: None,
            attempts: 0,
            announced_at: at.now,
            due: None,
            last_error: None,
        };
        let step = if at.generation_enabled { cycle.announce(at.now) } else { Step::Noted(outcome) };
        self.cycle = Some(cycle);
        step
    }

    fn go_on(&mut self, leases: &mut Leases, at: Circumstances) -> Step {
        let is_due = |cycle: &&mut Cycle| {
            cycle.outcome == Outcome::Pending && cycle.due.is_some_and(|due| due <= at.now)
        };
        let Some(cycle) = self.cycle.as_mut().filter(is_due) else { return Step::Idle };
        if !at.generation_enabled {
            return cycle.end(Outcome::GenerationOff);
        }
        if cycle.recorded_at.is_some() && !at.may_send {
            return cycle.end(Outcome::NotSent);
        }
        if cycle.attempts >= TRIES {
            return cycle.end(Outcome::GivenUp);
        }
        if cycle.recorded_at.is_none() && !leases.take_all(at.holder, at.now) {
            return Step::Idle;
        }
        cycle.announce(at.now)
    }

    /// Announces a try that a person asked for. Where the payload is the last slot's, it is one of that slot's tries.
    pub fn announce_by_hand(&mut self, recorded_at: Timestamp, stored_attempts: u8, now: Timestamp) -> Try {
        match &mut self.cycle {
            Some(cycle) if cycle.recorded_at == Some(recorded_at) => {
                cycle.attempts = cycle.attempts.max(stored_attempts);
                cycle.announced(now)
            }
            _ => Try {
                slot: None,
                attempt: stored_attempts.saturating_add(1),
                recorded_at: Some(recorded_at),
                announced_at: now,
            },
        }
    }

    /// Whether the announced try may still be made: nobody has announced another one since, nor may they have.
    pub fn is_current(&self, one: &Try, now: Timestamp) -> bool {
        one.slot.is_none()
            || self.cycle_of(one).is_some_and(|cycle| {
                cycle.attempts == one.attempt
                    && cycle.outcome != Outcome::Sent
                    && now < cycle.announced_at + SILENCE
            })
    }

    /// Notes that the try's payload is stored.
    pub fn note_stored(&mut self, one: &Try, recorded_at: Timestamp) {
        if let Some(cycle) = self.cycle_at(one) {
            cycle.recorded_at = Some(recorded_at);
        }
    }

    /// Notes that the try ended with the payload stored and not to be sent.
    pub fn note_not_sent(&mut self, one: &Try) {
        if let Some(cycle) = self.cycle_at(one) {
            cycle.end(Outcome::NotSent);
        }
    }

    /// Notes that the receiver took the payload; a second time it changes nothing.
    pub fn note_sent(&mut self, one: &Try, submission: Submission, now: Timestamp) {
        if let Some(cycle) = self.cycle.as_mut().filter(|cycle| one.slot == Some(cycle.slot)) {
            cycle.last_error = None;
            cycle.end(Outcome::Sent);
        }
        self.last_success = Some(now);
        if !self.unstored.contains(&submission) {
            self.unstored.push(submission);
        }
    }

    /// Notes that the try failed at `now`, from where the pause before the next one counts.
    pub fn note_failed(&mut self, one: &Try, error: &str, submission: Option<Submission>, now: Timestamp) {
        if let Some(cycle) = self.cycle_at(one) {
            cycle.last_error = Some(error.to_owned());
            if cycle.outcome == Outcome::Pending {
                match pause_after(cycle.attempts) {
                    Some(pause) => cycle.due = Some(now + pause),
                    None => drop(cycle.end(Outcome::GivenUp)),
                }
            }
        }
        self.unstored.extend(submission);
    }

    /// Takes back the announcement of a try that was not begun.
    pub fn withdraw(&mut self, one: &Try, now: Timestamp) {
        if let Some(cycle) = self.cycle_at(one).filter(|cycle| cycle.outcome == Outcome::Pending) {
            cycle.attempts -= 1;
            cycle.due = Some(now);
        }
    }

    /// When the next try is due.
    pub fn next_attempt(&self) -> Option<Timestamp> {
        let cycle = self.cycle.as_ref().filter(|cycle| cycle.outcome == Outcome::Pending)?;
        cycle.due.filter(|_| cycle.attempts < TRIES)
    }

    fn cycle_of(&self, one: &Try) -> Option<&Cycle> {
        self.cycle.as_ref().filter(|cycle| one.slot == Some(cycle.slot))
    }

    /// The try's slot, unless another try was announced there since.
    fn cycle_at(&mut self, one: &Try) -> Option<&mut Cycle> {
        let is_its = |cycle: &&mut Cycle| one.slot == Some(cycle.slot) && cycle.attempts == one.attempt;
        self.cycle.as_mut().filter(is_its)
    }
}

impl Cycle {
    fn announce(&mut self, now: Timestamp) -> Step {
        Step::Try(self.announced(now))
    }

    fn announced(&mut self, now: Timestamp) -> Try {
        self.attempts = self.attempts.saturating_add(1);
        self.announced_at = now;
        if self.outcome == Outcome::Pending {
            self.due = Some(now + SILENCE.max(pause_after(self.attempts).unwrap_or(SILENCE)));
        }
        Try {
            slot: Some(self.slot),
            attempt: self.attempts,
            recorded_at: self.recorded_at,
            announced_at: now,
        }
    }

    fn end(&mut self, outcome: Outcome) -> Step {
        self.outcome = outcome;
        self.due = None;
        Step::Noted(outcome)
    }
}

/// How long after the failure of try number `attempt` (from 1) the next one is due; `None` after the last.
fn pause_after(attempt: u8) -> Option<SignedDuration> {
    (attempt < TRIES).then(|| SignedDuration::from_hours(8 * i64::from(attempt)))
}
