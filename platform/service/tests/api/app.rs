//! Three endpoints behind a guard, on a clock that the test moves.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::body::{Body, to_bytes};
use axum::extract::{FromRef, Request, State};
use axum::http::{HeaderMap, Method};
use axum::{Json, Router};
use jiff::Timestamp;
use prometheus::{IntGauge, Registry};
use serde_json::Value;
use tally_directory::{Directory, Scope, SecretHash};
use tally_service::api::{
    Access, ApiError, BodyLimits, BodyReader, Budget, Caller, Guard, GuardConfig, OptionalCaller, Routes,
    Security, openapi, with_fallbacks,
};
use tally_service::clock::Clock;
use tally_service::http::Peer;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

/// A whole minute.
pub const START: i64 = 1_767_312_000;

pub const WRITE: &str = "/api/v4/write";
pub const READ: &str = "/api/v4/read";
pub const ADMIN: &str = "/api/v4/admin";
pub const PUBLIC: &str = "/api/v4/public";

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice}
  - {id: 3, username: eve, state: blocked}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: alice, user: alice, scopes: [api], sha256: "<glpat-alice>"}
  - {name: reader, user: alice, scopes: [read_api], sha256: "<glpat-reader>"}
  - {name: old, user: alice, scopes: [api], expires_at: 2026-01-01, sha256: "<glpat-old>"}
  - {name: gone, user: alice, scopes: [api], revoked: true, sha256: "<glpat-gone>"}
  - {name: eve, user: eve, scopes: [api], sha256: "<glpat-eve>"}
"#;

const WRITING: &[Scope] = &[Scope::Api, Scope::AiWorkflows];
const READING: &[Scope] = &[Scope::Api, Scope::ReadApi];

/// Seconds since the epoch.
pub struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

#[derive(Clone)]
struct AppState {
    access: Access,
    bodies: Arc<BodyReader>,
}

impl FromRef<AppState> for Access {
    fn from_ref(state: &AppState) -> Self {
        state.access.clone()
    }
}

#[utoipa::path(post, path = "/api/v4/write", request_body = Value, responses((status = 200, body = Value)))]
async fn write(
    State(state): State<AppState>,
    caller: Caller,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    caller.require_scope(WRITING)?;
    let body = state.bodies.read(request).await?;
    Ok(Json(body.text().into()))
}

#[utoipa::path(get, path = "/api/v4/read", responses((status = 200, body = i64)))]
async fn read(caller: Caller) -> Result<Json<i64>, ApiError> {
    caller.require_scope(READING)?;
    Ok(Json(caller.0.user_id))
}

#[utoipa::path(get, path = "/api/v4/admin", responses((status = 200, body = i64)))]
async fn admin(caller: Caller) -> Result<Json<i64>, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    Ok(Json(caller.0.user_id))
}

#[utoipa::path(get, path = "/api/v4/public", responses((status = 200, body = Option<i64>)))]
async fn public(caller: OptionalCaller) -> Result<Json<Option<i64>>, ApiError> {
    caller.require_scope(READING)?;
    Ok(Json(caller.principal().map(|principal| principal.user_id)))
}

fn tracking() -> Routes<AppState> {
    Routes::new().secured(Security::Token(WRITING), routes!(write))
}

fn other() -> Routes<AppState> {
    Routes::new()
        .secured(Security::Token(READING), routes!(read))
        .secured(Security::Administrator(READING), routes!(admin))
        .secured(Security::OptionalToken(READING), routes!(public))
}

/// The document of all endpoints.
pub fn document() -> OpenApi {
    let parts = [tracking().into_parts().1, other().into_parts().1];
    openapi::document("Small", "1.0", "https://tally.example.com", parts)
}

pub struct App {
    pub clock: Arc<MovedClock>,
    pub registry: Registry,
    router: Router,
}

impl App {
    pub fn new() -> Self {
        Self::configured(GuardConfig::default())
    }

    pub fn configured(config: GuardConfig) -> Self {
        let clock = Arc::new(MovedClock(AtomicI64::new(START)));
        let registry = Registry::new();
        let access = Access { directory: Arc::new(directory()), clock: Arc::clone(&clock) as Arc<dyn Clock> };
        let guard = Guard::new(access.clone(), config, &registry).unwrap();
        let bodies = BodyReader::new(BodyLimits::default(), IntGauge::new("held", "held").unwrap());
        let state = AppState { access, bodies: Arc::new(bodies) };
        let (tracking, other) = (tracking().into_parts().0, other().into_parts().0);
        let router = guard.protect(Budget::Tracking, tracking).merge(guard.protect(Budget::Other, other));
        Self { clock, registry, router: with_fallbacks(router.with_state(state)) }
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn send(&self, request: Request) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, 1 << 20).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            Answer { status: parts.status.as_u16(), headers: parts.headers, text }
        })
    }

    /// A request from an address, with a token in `PRIVATE-TOKEN` unless that is empty.
    pub fn call(&self, method: Method, path: &str, token: &str, address: &str) -> Answer {
        let address: IpAddr = address.parse().unwrap();
        let mut request = Request::builder().method(method).uri(path).extension(Peer(address));
        if !token.is_empty() {
            request = request.header("PRIVATE-TOKEN", token);
        }
        self.send(request.body(Body::from("{}")).unwrap())
    }

    pub fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Method::GET, path, token, "192.0.2.1")
    }

    /// The counter of denials for this reason.
    pub fn denials(&self, reason: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "tally_denied_requests_total");
        let metrics = family.into_iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let ours = metrics.filter(|metric| metric.get_label().iter().any(|label| label.value() == reason));
        ours.map(|metric| metric.get_counter().get_value() as u64).sum()
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// A header's text, empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

fn directory() -> Directory {
    let mut yaml = DIRECTORY.to_owned();
    for token in ["glpat-root", "glpat-alice", "glpat-reader", "glpat-old", "glpat-gone", "glpat-eve"] {
        yaml = yaml.replace(&format!("<{token}>"), &SecretHash::of(token).to_hex());
    }
    Directory::from_yaml(&yaml, "directory.yml").unwrap()
}
