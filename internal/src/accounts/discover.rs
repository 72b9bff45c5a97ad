//! `GET /internal/discover`: who is behind a key, an id or a username.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actor::Actor;
use crate::auth::ShellCall;
use crate::bounded::Refused;
use crate::state::InternalState;

/// A user, as far as everybody may know them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SafeUser {
    id: i64,
    name: String,
    username: String,
}

/// Find a user
///
/// Answers null for somebody who isn't known, for a key that doesn't work, and when nobody is named.
#[utoipa::path(
    get, path = "/api/v4/internal/discover", tag = "accounts",
    params(
        ("key_id" = Option<i64>, Query, description = "A key's id"),
        ("user_id" = Option<i64>, Query, description = "A user's id, without key_id"),
        ("username" = Option<String>, Query, description = "A username, without key_id and user_id"),
    ),
    responses(
        (status = 200, description = "The user, or null", body = Option<SafeUser>),
        (status = 503, description = "It took too long", body = Refused),
    ),
)]
pub(super) async fn discover(
    State(state): State<InternalState>,
    ShellCall(parameters): ShellCall,
) -> Json<Option<SafeUser>> {
    let actor = Actor::find(&parameters, &state.0.access.directory.read());
    Json(actor.user.map(|user| SafeUser {
        id: user.id,
        name: user.name.clone(),
        username: user.username.clone(),
    }))
}
