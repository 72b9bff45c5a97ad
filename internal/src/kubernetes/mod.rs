//! What the agent server asks and reports (`/internal/kubernetes/*`).

use tally_service::api::Routes;

use crate::state::InternalState;

/// The routes of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new()
}
