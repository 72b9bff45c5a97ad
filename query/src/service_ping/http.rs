//! `GET /api/v4/usage_data/service_ping`: for administrators.

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};
use tally_directory::Scope;
use tally_service::api::{ApiError, Caller};

use crate::state::QueryState;

/// The scopes that may read the ping.
const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadServicePing];

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
