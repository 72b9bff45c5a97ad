//! Alerts that agents report about their clusters: stored with the agent's project, the same alert once, and listed.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tally_directory::{Alert, Change, IdKind, State as Directory};
use tally_service::api::ApiError;
use tally_service::api::parameter::Reader;
use utoipa::ToSchema;

use super::agent_server::AgentCall;
use crate::administrator::Administrator;
use crate::declared::{Failures, Fields, object};
use crate::namespaces::Named;
use crate::parameters::Parameters;
use crate::refusal::{EndpointError, Refusal};
use crate::state::InternalState;

/// Bytes of an alert as JSON. Alerts are held in memory by every process.
const MAX_ALERT_BYTES: usize = 64 * 1024;

/// Different alerts of one project.
const MAX_ALERTS_PER_PROJECT: usize = 10_000;

/// Bytes of a fingerprint that an alert brings along.
const MAX_FINGERPRINT_BYTES: usize = 255;

/// What doesn't tell one alert from another: where and when it happened. GitLab's own selection.
const NOT_IN_FINGERPRINT: [&str; 3] = ["hosts", "start_time", "end_time"];

const DEFAULT_PER_PAGE: u64 = 20;
const MAX_PER_PAGE: u64 = 100;

/// An alert report.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct AlertReport {
    /// The alert, of any shape. Its `fingerprint` tells whether it is the same as another; without one it is computed.
    alert: Map<String, Value>,
}

/// An alert of a project.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListedAlert {
    id: i64,
    project_id: i64,
    /// The agent that reported it last.
    agent_id: i64,
    /// What makes it the same alert.
    fingerprint: String,
    /// The alert's own title, if it has one.
    title: Option<String>,
    /// How often it was reported.
    events: u64,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
    /// The alert as it was reported last.
    payload: Value,
}

impl From<&Alert> for ListedAlert {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id,
            project_id: alert.project_id,
            agent_id: alert.agent_id,
            fingerprint: alert.fingerprint.clone(),
            title: alert.payload.get("title").and_then(Value::as_str).map(str::to_owned),
            events: alert.count,
            started_at: alert.first_seen,
            last_seen_at: alert.last_seen,
            payload: alert.payload.clone(),
        }
    }
}

/// Report an alert
///
/// Stores an alert of the agent's project. The same alert again raises its count.
#[utoipa::path(
    post, path = "/api/v4/internal/kubernetes/modules/cilium_alert", tag = "kubernetes",
    request_body = AlertReport,
    responses(
        (status = 204, description = "Stored"),
        (status = 404, description = "The agent's project is gone", body = EndpointError),
    ),
)]
pub(super) async fn receive(
    State(state): State<InternalState>,
    AgentCall(agent): AgentCall,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let sent = Parameters::read(request, &state.0.bodies).await?.into_fields();
    let mut failures = Failures::default();
    let alert = failures.required(&sent, "alert", object).value();
    failures.check()?;
    let alert = alert.ok_or_else(|| ApiError::BadParameters("alert is empty".to_owned()))?;
    let fingerprint = fingerprint(&alert)?;
    let payload = Value::Object(alert);
    let now = state.0.access.clock.now();
    let stored = state.0.access.directory.transact(now, |directory| {
        let project = directory.project(agent.project_id).ok_or(ApiError::NotFound(Some("Project")))?;
        let alert = match directory.alert(project.id, &fingerprint) {
            Some(known) => Alert {
                agent_id: agent.id,
                payload: payload.clone(),
                last_seen: now.max(known.last_seen),
                count: known.count.saturating_add(1),
                ..Alert::clone(known)
            },
            None => Alert {
                id: new_alert_id(directory, project.id)?,
                project_id: project.id,
                agent_id: agent.id,
                fingerprint: fingerprint.clone(),
                payload: payload.clone(),
                first_seen: now,
                last_seen: now,
                count: 1,
            },
        };
        Ok::<_, Refusal>(((), vec![Change::Alert(alert)]))
    });
    stored.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn new_alert_id(directory: &Directory, project_id: i64) -> Result<i64, ApiError> {
    if directory.alerts_of(project_id).count() >= MAX_ALERTS_PER_PROJECT {
        let text =
            format!("400 Bad request - Maximum {MAX_ALERTS_PER_PROJECT} alerts allowed in one project.");
        return Err(ApiError::BadRequest(text.into()));
    }
    Ok(directory.next_id(IdKind::Alert))
}

/// The alert's own fingerprint, or else a digest of what tells it from others.
fn fingerprint(alert: &Fields) -> Result<String, ApiError> {
    let text = Value::Object(sorted(alert)).to_string();
    if text.len() > MAX_ALERT_BYTES {
        return Err(ApiError::PayloadTooLarge { limit: MAX_ALERT_BYTES });
    }
    let own = alert.get("fingerprint").and_then(Value::as_str).filter(|own| !own.is_empty());
    Ok(match own {
        Some(own) if own.len() <= MAX_FINGERPRINT_BYTES => own.to_owned(),
        Some(own) => hex::encode(Sha256::digest(own)),
        None => {
            let told_apart = alert.iter().filter(|(name, _)| !NOT_IN_FINGERPRINT.contains(&name.as_str()));
            let told_apart = told_apart.map(|(name, value)| (name.clone(), value.clone())).collect();
            hex::encode(Sha256::digest(Value::Object(sorted(&told_apart)).to_string()))
        }
    })
}

/// The object with its names in order at every level, so that equal objects have equal texts.
fn sorted(object: &Fields) -> Fields {
    let mut names: Vec<&String> = object.keys().collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), sorted_value(&object[name]))).collect()
}

fn sorted_value(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(sorted(object)),
        Value::Array(values) => values.iter().map(sorted_value).collect(),
        scalar => scalar.clone(),
    }
}

/// List a project's alerts
///
/// What agents have reported about the project's clusters, what was seen last first. Tally's own endpoint.
#[utoipa::path(
    get, path = "/api/v4/projects/{id}/alert_management_alerts", tag = "kubernetes",
    params(
        ("id" = String, Path, description = "The project's id or its URL-encoded full path"),
        ("page" = Option<i64>, Query, description = "Which page, from 1", minimum = 1),
        ("per_page" = Option<i64>, Query, description = "Alerts on a page, at most 100", minimum = 1),
    ),
    responses((
        status = 200, description = "A page of alerts", body = [ListedAlert],
        headers(("X-Total" = i64, description = "Alerts on all pages"), ("X-Next-Page" = String, description = "Empty on the last page")),
    )),
)]
pub(super) async fn list(
    State(state): State<InternalState>,
    _: Administrator,
    Named(id): Named<String>,
    request: Request,
) -> Result<(HeaderMap, Json<Vec<ListedAlert>>), ApiError> {
    let page = Page::parse(&Parameters::of_query(request.uri())?.into_fields())?;
    let directory = state.0.access.directory.read();
    let is_id = id.bytes().all(|byte| byte.is_ascii_digit());
    let project =
        if is_id { id.parse().ok().and_then(|id| directory.project(id)) } else { directory.project_at(&id) };
    let project = project.ok_or(ApiError::NotFound(Some("Project")))?;
    let mut alerts: Vec<_> = directory.alerts_of(project.id).collect();
    alerts.sort_unstable_by_key(|alert| std::cmp::Reverse((alert.last_seen, alert.id)));
    let listed =
        alerts.iter().skip(page.skipped()).take(page.per_page).map(|alert| ListedAlert::from(&***alert));
    Ok((page.headers(alerts.len()), Json(listed.collect())))
}

/// Which part of a list is wanted.
struct Page {
    /// From 1.
    number: usize,
    per_page: usize,
}

impl Page {
    fn parse(sent: &Fields) -> Result<Self, ApiError> {
        let mut read = Reader::new(sent);
        let number = read.page();
        let per_page = read.per_page(DEFAULT_PER_PAGE, MAX_PER_PAGE);
        let saturated = |number| usize::try_from(number).unwrap_or(usize::MAX);
        read.finish(Self { number: saturated(number), per_page: saturated(per_page) })
    }

    fn skipped(&self) -> usize {
        self.per_page.saturating_mul(self.number - 1)
    }

    fn headers(&self, total: usize) -> HeaderMap {
        let is_last = self.skipped().saturating_add(self.per_page) >= total;
        let next = if is_last { String::new() } else { (self.number + 1).to_string() };
        [("x-total", total.to_string()), ("x-next-page", next)]
            .into_iter()
            .map(|(name, value)| {
                let value = value.parse().expect("digits are header text");
                (HeaderName::from_static(name), value)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(alert: &Value) -> String {
        fingerprint(alert.as_object().unwrap()).unwrap()
    }

    #[test]
    fn an_alerts_own_fingerprint_counts_or_else_what_it_says() {
        assert_eq!(of(&json!({"fingerprint": "abc", "title": "x"})), "abc");
        let computed = of(&json!({"title": "x", "labels": {"a": 1, "b": [{"c": 2, "d": 3}]}}));
        assert_eq!(computed.len(), 64);
        for same in [
            json!({"labels": {"b": [{"d": 3, "c": 2}], "a": 1}, "title": "x"}),
            json!({"title": "x", "labels": {"a": 1, "b": [{"c": 2, "d": 3}]}, "start_time": "now", "hosts": ["h"]}),
        ] {
            assert_eq!(of(&same), computed, "{same}");
        }
        for other in [
            json!({}),
            json!({"title": "y"}),
            json!({"title": "x", "labels": {"a": 1, "b": [{"c": 2, "d": 4}]}}),
        ] {
            assert_ne!(of(&other), computed, "{other}");
        }
    }

    #[test]
    fn what_is_too_long_is_shortened_or_refused() {
        assert_eq!(of(&json!({"fingerprint": "x".repeat(256)})).len(), 64);
        assert_eq!(of(&json!({"fingerprint": "x".repeat(255)})).len(), 255);
        let alert = json!({"title": "x".repeat(MAX_ALERT_BYTES)});
        let refusal = fingerprint(alert.as_object().unwrap()).unwrap_err();
        assert_eq!(refusal, ApiError::PayloadTooLarge { limit: MAX_ALERT_BYTES });
    }
}
