//! `POST /internal/kubernetes/usage_metrics`: takes the agent server's counts into the log.

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use tally_letters::{Refused, Sender, reason_of};
use tally_schemas::dead_letter::Origin;
use tally_schemas::topics;
use tally_service::api::{ApiError, RefusedBody};
use utoipa::ToSchema;

use super::agent_server::AgentServerCall;
use super::usage_events::{events, records};
use super::usage_report::UsageReport;
use crate::append::append;
use crate::parameters::Parameters;
use crate::request_identity::RequestIdentity;
use crate::state::{Inner, InternalState};

/// What the agent server has counted since it last reported.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct UsageMetrics {
    /// Synchronizations, as older servers report them.
    #[schema(minimum = 0)]
    gitops_sync_count: Option<i64>,
    /// Proxied requests, as older servers report them.
    #[schema(minimum = 0)]
    k8s_api_proxy_request_count: Option<i64>,
    /// Counts by counter, none below 0.
    counters: Option<Map<String, Value>>,
    /// Ids by counter.
    unique_counters: Option<Map<String, Value>>,
}

/// Report usage
///
/// Adds to the counters of the agent server, which the Service Ping shows. Counts of zero, empty lists and unknown counters
/// change nothing. A report that is tried again with the same `X-Request-ID` counts once.
#[utoipa::path(
    post, path = "/api/v4/internal/kubernetes/usage_metrics", tag = "kubernetes",
    request_body = UsageMetrics,
    responses((status = 204, description = "Counted")),
)]
pub(super) async fn report(
    State(state): State<InternalState>,
    _: AgentServerCall,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let headers = request.headers().clone();
    let state = &*state.0;
    let read = Parameters::read_keeping(request, &state.bodies, state.letters.max_bytes()).await;
    let parameters = read.map_err(|refused| kept(state, content_type(&headers), refused))?;
    let identity = RequestIdentity::of(&headers, "usage_metrics", &parameters);
    let sent = parameters.to_string();
    let report = UsageReport::parse(&parameters.into_fields()).map_err(|error| {
        kept(state, String::new(), RefusedBody { error, bytes: sent.into_bytes(), whole_size: None })
    })?;
    let now = state.access.clock.now();
    let events = events(&report, &state.definitions, &state.access.directory.read(), &state.metrics, now);
    if !events.is_empty() {
        let records = records(events, identity.as_ref(), &*state.randomness, state.framings);
        append(state, topics::EVENTS, records).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// The path as letters name it.
const PATH: &str = "/api/v4/internal/kubernetes/usage_metrics";

/// What the report says that its body is, which is kept beside bytes that could not be read.
fn content_type(headers: &HeaderMap) -> String {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Counts a refused report and keeps it: its counts are lost otherwise. The answer.
fn kept(state: &Inner, content_type: String, refused: RefusedBody) -> ApiError {
    let RefusedBody { error, bytes, whole_size } = refused;
    let Some(reason) = reason_of(&error) else { return error };
    state.metrics.dropped.with_label_values(&[reason.as_str()]).inc();
    state.letters.keep(Refused {
        sender: Sender::Unknown,
        reason,
        detail: error.to_string(),
        origin: Origin::Request { endpoint: PATH.to_owned(), user_id: None, content_type },
        project_id: None,
        payload: bytes,
        whole_size,
    });
    error
}
