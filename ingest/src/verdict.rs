//! What `Prefer: return=representation` is answered with: for each event its id, what will become of it, and what was
//! odd about it. Counting is the processor's; a verdict says what it will do by the definitions known here.

use serde::Serialize;
use tally_schemas::{EventMatcher, TrackedEvent};
use uuid::Uuid;

/// The body of the answer.
#[derive(Serialize)]
pub(crate) struct Verdicts {
    pub(crate) events: Vec<Verdict>,
}

/// What is said about one event.
#[derive(Serialize)]
pub(crate) struct Verdict {
    event_id: Uuid,
    status: Status,
    notes: Vec<String>,
}

/// What becomes of an event.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// It will be counted.
    Accepted,
    /// The same request has an event with the same id before it, and only that one is kept. Repetitions over several
    /// requests are not looked for.
    Duplicate,
    /// It is kept, and counted nowhere.
    UnknownEvent,
}

impl Verdict {
    /// The verdict on `event`, whose definition is `definition` and which is or isn't the first of its id.
    pub(crate) fn new(event: &TrackedEvent<'_>, definition: Option<&EventMatcher>, is_first: bool) -> Self {
        let status = match definition {
            _ if !is_first => Status::Duplicate,
            None => Status::UnknownEvent,
            Some(_) => Status::Accepted,
        };
        let undeclared =
            definition.into_iter().flat_map(|definition| definition.undeclared(&event.additional_properties));
        let mut notes: Vec<String> = undeclared.map(|name| format!("undeclared_property:{name}")).collect();
        if event.timestamp_clamped {
            notes.push("timestamp_clamped".to_owned());
        }
        Self { event_id: event.event_id, status, notes }
    }
}
