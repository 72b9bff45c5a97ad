//! What gitlab-shell asks about the people behind keys, and what it does for them: tokens and recovery codes.

mod authorized_keys;
mod discover;
mod personal_access_token;
mod subject;
mod two_factor_recovery_codes;

use tally_service::api::{Routes, Security};
use utoipa_axum::routes;

use crate::state::InternalState;

/// The endpoints of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new()
        .secured(Security::SharedSecret, routes!(authorized_keys::authorized_keys))
        .secured(Security::SharedSecret, routes!(discover::discover))
        .secured(Security::SharedSecret, routes!(two_factor_recovery_codes::two_factor_recovery_codes))
        .secured(Security::SharedSecret, routes!(personal_access_token::personal_access_token))
}
