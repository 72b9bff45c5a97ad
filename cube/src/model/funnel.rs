//! Funnels as cubes: each its own, named and shaped as GitLab's, and `FunnelEvents` over all funnels of a project.

use super::Cube;

/// Steps that visitors take one after the other within a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Funnel {
    /// The name of its cube: lower-case letters, digits and `_`, a letter first.
    pub name: String,
    pub seconds_to_convert: u64,
    /// At least one.
    pub steps: Vec<Step>,
}

/// One step of a funnel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    pub name: String,
    pub action: Action,
    /// A page's path, or an event's name.
    pub target: String,
}

/// What a visitor does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Views a page.
    Pageview,
    /// Does something that is recorded as an event.
    Event,
}

/// The cubes of a project's funnels; none without funnels.
pub fn funnel_cubes(_funnels: &[Funnel]) -> Vec<Cube> {
    Vec::new()
}
