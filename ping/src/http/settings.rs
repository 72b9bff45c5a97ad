//! `/application/settings`, as far as it is about the Service Ping. Answers hold what is in force: what the configuration file
//! forbids stays off, whatever is asked for.

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use serde_json::{Map, Value};
use tally_directory::Scope;
use tally_service::api::parameter::Reader;
use tally_service::api::{ApiError, Caller, Routes, Security};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::error::of_ping;
use super::parameters;
use super::state::HttpState;
use crate::{Settings, SettingsChange};

/// The scopes that may read settings, and the one that may write them.
const READING: &[Scope] = &[Scope::Api, Scope::ReadApi];
const WRITING: &[Scope] = &[Scope::Api];

/// The endpoints of this part.
pub(super) fn routes() -> Routes<HttpState> {
    Routes::new()
        .secured(Security::Administrator(READING), routes!(read))
        .secured(Security::Administrator(WRITING), routes!(write))
}

/// The settings in force, by GitLab's names.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's settings are that many switches")]
struct ApplicationSettings {
    /// Whether payloads are sent.
    usage_ping_enabled: bool,
    /// Whether payloads are made.
    usage_ping_generation_enabled: bool,
    /// Whether optional metrics stand in payloads.
    include_optional_data_in_service_ping: bool,
    /// Whether registration features are on.
    usage_ping_features_enabled: bool,
    /// Whether the receiver is asked for newer versions.
    version_check_enabled: bool,
}

/// Settings to change; those that are not sent stay.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct ApplicationSettingsChange {
    /// Whether payloads are sent. The configuration file can forbid it.
    usage_ping_enabled: Option<bool>,
    /// Whether payloads are made.
    usage_ping_generation_enabled: Option<bool>,
    /// Whether optional metrics stand in payloads.
    include_optional_data_in_service_ping: Option<bool>,
    /// Whether registration features are on: only while payloads are sent.
    usage_ping_features_enabled: Option<bool>,
    /// Whether the receiver is asked for newer versions.
    version_check_enabled: Option<bool>,
}

impl From<Settings> for ApplicationSettings {
    fn from(settings: Settings) -> Self {
        Self {
            usage_ping_enabled: settings.usage_ping_enabled,
            usage_ping_generation_enabled: settings.usage_ping_generation_enabled,
            include_optional_data_in_service_ping: settings.include_optional_data_in_service_ping,
            usage_ping_features_enabled: settings.usage_ping_features_enabled,
            version_check_enabled: settings.version_check_enabled,
        }
    }
}

/// Read settings
#[utoipa::path(
    get, path = "/api/v4/application/settings", tag = "settings",
    responses((status = 200, description = "The settings in force", body = ApplicationSettings)),
)]
async fn read(State(state): State<HttpState>, caller: Caller) -> Result<Json<ApplicationSettings>, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    Ok(Json(state.ping.settings().into()))
}

/// Change settings
///
/// Answers what is in force afterwards. Switching the ping off switches registration features off, too. Settings that
/// are not known here are ignored.
#[utoipa::path(
    put, path = "/api/v4/application/settings", tag = "settings",
    request_body = ApplicationSettingsChange,
    responses((status = 200, description = "The settings in force", body = ApplicationSettings)),
)]
async fn write(
    State(state): State<HttpState>,
    caller: Caller,
    request: Request,
) -> Result<Json<ApplicationSettings>, ApiError> {
    caller.require_scope(WRITING)?;
    caller.require_admin()?;
    let change = parse(&parameters::read(request, &state.bodies).await?)?;
    let settings = state.ping.change_settings(change).await.map_err(of_ping)?;
    let (user_id, token_id) = (caller.0.user_id, caller.0.token_id);
    tracing::info!(user_id, token_id, ?settings, "application settings were written");
    Ok(Json(settings.into()))
}

fn parse(sent: &Map<String, Value>) -> Result<SettingsChange, ApiError> {
    let mut read = Reader::new(sent);
    let change = SettingsChange {
        usage_ping_enabled: read.boolean("usage_ping_enabled"),
        usage_ping_generation_enabled: read.boolean("usage_ping_generation_enabled"),
        include_optional_data_in_service_ping: read.boolean("include_optional_data_in_service_ping"),
        usage_ping_features_enabled: read.boolean("usage_ping_features_enabled"),
        version_check_enabled: read.boolean("version_check_enabled"),
    };
    read.finish(change)
}
