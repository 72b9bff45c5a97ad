//! `/features`: which features are on. The directory keeps them; the two operations flags of the usage data endpoints are the
//! ones that Tally itself asks.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use tally_directory::{Change, Scope, State as Directory};
use tally_service::api::parameter::Reader;
use tally_service::api::{ApiError, Caller, Routes, Security};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::error::of_directory;
use super::parameters;
use super::state::HttpState;

/// The flag that `GET /usage_data/queries` asks.
pub(super) const QUERIES: &str = "usage_data_queries_api";

/// The flag that `GET /usage_data/non_sql_metrics` asks.
pub(super) const NON_SQL_METRICS: &str = "usage_data_non_sql_metrics";

/// The flags that have a meaning here.
const KNOWN: [&str; 2] = [QUERIES, NON_SQL_METRICS];

/// Bytes a flag's name may have.
const MAX_NAME_BYTES: usize = 255;

/// Whom GitLab can switch a feature on for. Here a feature is on for all or for nobody, and a request for some must not
/// switch it on for all.
const ACTORS: [&str; 10] = [
    "key",
    "feature_group",
    "user",
    "group",
    "namespace",
    "project",
    "organization",
    "repository",
    "runner",
    "endpoint",
];

/// The name in the path is no text.
const NO_FEATURE: ApiError = ApiError::NotFound(None);

/// The scopes that may read flags, and the one that may write them.
const READING: &[Scope] = &[Scope::Api, Scope::ReadApi];
const WRITING: &[Scope] = &[Scope::Api];

/// The endpoints of this part.
pub(super) fn routes() -> Routes<HttpState> {
    Routes::new()
        .secured(Security::Administrator(READING), routes!(features))
        .secured(Security::Administrator(WRITING), routes!(set))
        .secured(Security::Administrator(WRITING), routes!(remove))
}

/// A feature flag as GitLab answers it.
#[derive(Debug, Serialize, ToSchema)]
struct Feature {
    name: String,
    /// `on` or `off`.
    state: &'static str,
    gates: [Gate; 1],
    /// Null for flags that nothing here asks.
    definition: Option<FeatureDefinition>,
}

/// What decides: a boolean, the same for everybody.
#[derive(Debug, Serialize, ToSchema)]
struct Gate {
    key: &'static str,
    value: bool,
}

/// What is known of a flag.
#[derive(Debug, Serialize, ToSchema)]
struct FeatureDefinition {
    name: String,
    r#type: &'static str,
    default_enabled: bool,
}

/// A flag's new value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct FeatureValue {
    /// `true` or `false`.
    value: String,
}

impl Feature {
    fn new(name: &str, enabled: bool) -> Self {
        let definition = KNOWN.contains(&name).then(|| FeatureDefinition {
            name: name.to_owned(),
            r#type: "ops",
            default_enabled: false,
        });
        Self {
            name: name.to_owned(),
            state: if enabled { "on" } else { "off" },
            gates: [Gate { key: "boolean", value: enabled }],
            definition,
        }
    }
}

/// List feature flags
///
/// Every flag that was ever set.
#[utoipa::path(
    get, path = "/api/v4/features", tag = "settings",
    responses((status = 200, description = "The flags", body = [Feature])),
)]
async fn features(State(state): State<HttpState>, caller: Caller) -> Result<Json<Vec<Feature>>, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    let directory = state.access.directory.read();
    Ok(Json(directory.feature_flags().map(|(name, enabled)| Feature::new(name, enabled)).collect()))
}

/// Set a feature flag
///
/// For everybody: a flag that is on for some only can't be had.
#[utoipa::path(
    post, path = "/api/v4/features/{name}", tag = "settings",
    params(("name" = String, Path, description = "The flag's name")),
    request_body = FeatureValue,
    responses((status = 201, description = "The flag as it is now", body = Feature)),
)]
async fn set(
    State(state): State<HttpState>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<(StatusCode, Json<Feature>), ApiError> {
    caller.require_scope(WRITING)?;
    caller.require_admin()?;
    let Path(name) = name.map_err(|_| NO_FEATURE)?;
    let enabled = parse(&name, &parameters::read(request, &state.bodies).await?)?;
    write(&state, &caller, &name, enabled).await?;
    Ok((StatusCode::CREATED, Json(Feature::new(&name, enabled))))
}

/// Whether the flag is to be on.
fn parse(name: &str, sent: &Map<String, Value>) -> Result<bool, ApiError> {
    let mut read = Reader::new(sent);
    let value = read.required("value", Reader::text);
    // As GitLab reads it; a share of time or of actors it would take, too.
    let enabled = match value.as_deref() {
        Some("true") => true,
        Some("false" | "0") => false,
        value => {
            // What is missing, or of no such type, has been noted.
            if value.is_some() || sent.get("value").is_some_and(Value::is_null) {
                read.fail("value", "is invalid");
            }
            false
        }
    };
    for actor in ACTORS.into_iter().filter(|actor| sent.get(*actor).is_some_and(|value| !value.is_null())) {
        read.fail(actor, "is not supported");
    }
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        read.fail("name", "is invalid");
    }
    read.finish(enabled)
}

/// Take a feature flag back
///
/// The flag is off afterwards, whether or not it was ever set.
#[utoipa::path(
    delete, path = "/api/v4/features/{name}", tag = "settings",
    params(("name" = String, Path, description = "The flag's name")),
    responses((status = 204, description = "The flag is off")),
)]
async fn remove(
    State(state): State<HttpState>,
    caller: Caller,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    caller.require_scope(WRITING)?;
    caller.require_admin()?;
    let Path(name) = name.map_err(|_| NO_FEATURE)?;
    write(&state, &caller, &name, false).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Writes the flag, unless it stands so already. One that is off and never was written need not be.
async fn write(state: &HttpState, caller: &Caller, name: &str, enabled: bool) -> Result<(), ApiError> {
    let decide = |directory: &Directory| {
        let change = Change::FeatureFlag { name: name.to_owned(), enabled };
        let changes: Vec<Change> =
            (directory.feature_flag(name) != enabled).then_some(change).into_iter().collect();
        Ok::<_, ApiError>((!changes.is_empty(), changes))
    };
    let is_changed =
        state.access.directory.transact(state.access.clock.now(), decide).await.map_err(of_directory)?;
    if is_changed {
        let (user_id, token_id) = (caller.0.user_id, caller.0.token_id);
        tracing::info!(user_id, token_id, feature = name, enabled, "a feature flag was changed");
    }
    Ok(())
}
