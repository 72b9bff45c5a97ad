//! `GET /api/v4/usage_data/service_ping`: for administrators.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use tally_directory::Scope;
use tally_service::api::{ApiError, Caller};

use crate::state::QueryState;

/// The scopes that may read the ping.
pub(crate) const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadServicePing];

/// The Service Ping
///
/// The payload that would be sent, with every metric's value at its key path.
#[utoipa::path(
    get,
    path = "/api/v4/usage_data/service_ping",
    tag = "usage data",
    responses((status = 200, description = "The payload", body = Object)),
)]
pub(crate) async fn service_ping(
    State(state): State<QueryState>,
    caller: Caller,
) -> Result<Json<Map<String, Value>>, ApiError> {
    caller.require_scope(SCOPES)?;
    caller.require_admin()?;
    let now = state.access.clock.now();
    let payload = super::generate(&state.plan, &state.config.instance, &state.warehouse, now).await?;
    tracing::debug!(queries = payload.queries, metrics = state.plan.metric_count(), "service ping computed");
    Ok(Json(payload.document))
}
