//! `/internal/upcoming_reconciliations`: when a namespace's seats are reconciled next, and from when its owners are told.

mod parameters;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::json;
use tally_directory::{Change, Reconciliation};
use tally_service::api::{Routes, Security};
use utoipa_axum::routes;

use crate::administrator::{Administrator, WRITING};
use crate::parameters::Parameters;
use crate::refusal::{CommandRefusal, Refusal};
use crate::state::InternalState;

/// The endpoints of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new().secured(Security::Administrator(WRITING), routes!(put))
}

/// Update upcoming reconciliations
///
/// Replaces the row of each namespace that is named; either all of them or none. Other namespaces keep theirs.
#[utoipa::path(
    put, path = "/api/v4/internal/upcoming_reconciliations", tag = "subscriptions",
    request_body = parameters::UpcomingReconciliations,
    responses(
        (status = 200, description = "Written; the body is the number 200", body = u16, content_type = "application/json"),
        (status = 400, description = "Something is missing or unknown, and nothing was written", body = CommandRefusal),
    ),
)]
pub(crate) async fn put(
    State(state): State<InternalState>,
    _: Administrator,
    request: Request,
) -> Result<Json<u16>, Refusal> {
    let sent = Parameters::read(request, &state.0.bodies).await?.into_fields();
    let reconciliations = parameters::parse(&sent)?;
    let now = state.0.access.clock.now();
    let written = state.0.access.directory.transact(now, |directory| {
        let is_unknown = |row: &&Reconciliation| directory.namespace(row.namespace_id).is_none();
        let unknown: Vec<_> = reconciliations.iter().filter(is_unknown).map(|row| row.namespace_id).collect();
        if unknown.is_empty() {
            return Ok(((), reconciliations.iter().copied().map(Change::Reconciliation).collect()));
        }
        let errors = unknown.iter().map(|id| json!({id.to_string(): "Namespace can't be blank"}));
        Err(Refusal::Command(serde_json::Value::Array(errors.collect()).to_string()))
    });
    written.await?;
    Ok(Json(200))
}
