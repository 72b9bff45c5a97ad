//! What gitlab-shell, Workhorse and Gitaly's hooks ask before, during and after a Git command.

mod access;
mod allowed;
mod changes;
mod key_use;
mod lfs_authenticate;
mod post_receive;
mod pre_receive;
mod project_creation;
mod pushes;
mod recent_calls;
mod references;

use tally_service::api::{Routes, Security};
use utoipa_axum::routes;

pub(crate) use key_use::note_use;
pub(crate) use references::References;

use crate::state::InternalState;

/// The endpoints of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new()
        .secured(Security::SharedSecret, routes!(allowed::allowed))
        .secured(Security::SharedSecret, routes!(lfs_authenticate::lfs_authenticate))
        .secured(Security::SharedSecret, routes!(pre_receive::pre_receive))
        .secured(Security::SharedSecret, routes!(post_receive::post_receive))
}
