//! What became of the weekly slots, in the directory, and what is to be done next. Knows no network and no store: every
//! step of the scheduler is a transition here, made by compare-and-set, before its effect.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_directory::{Change, State};

use crate::submission::Submission;

/// The setting that holds the schedule.
const SETTING: &str = "service_ping_schedule";

/// How often a payload is tried: once, and again 8, 16 and 24 hours after a failure (the contract; GitLab's worker).
pub(crate) const TRIES: u8 = 4;

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
    /// When the next try is due unless this one succeeds; `None` after the last.
    pub due: Option<Timestamp>,
    /// Why the last try failed.
    pub last_error: Option<String>,
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
    /// The schedule of this state, if it has begun.
    pub fn read(state: &State) -> Option<Self> {
        serde_json::from_value(state.setting(SETTING)?.clone()).ok()
    }

    /// The change that writes it.
    pub fn change(&self) -> Change {
        let value: Value = serde_json::to_value(self).expect("texts, numbers and times are JSON");
        Change::Setting { name: SETTING.to_owned(), value }
    }
}

/// How long after the failure of try number `attempt` (from 1) the next one is due; `None` after the last.
pub(crate) fn pause_after(attempt: u8) -> Option<SignedDuration> {
    (attempt < TRIES).then(|| SignedDuration::from_hours(8 * i64::from(attempt)))
}
