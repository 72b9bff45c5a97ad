//! How the records of each topic name their schema.

use crate::Framing;

/// One framing a topic: a schema registry gives every schema its own id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Framings {
    /// Of tracked events.
    pub tracked_event: Framing,
    /// Of page events.
    pub page_event: Framing,
    /// Of contributions.
    pub contribution: Framing,
}
