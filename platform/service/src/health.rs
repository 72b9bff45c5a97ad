//! `/livez`, `/readyz` and `/metrics`. A process is live while it answers, and ready while everything it stands on does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};
use prometheus::Registry;
use serde_json::{Value, json};

/// How long one readiness check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks one thing that the process stands on whether it serves, and how it is; the error says what is wrong.
pub type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// The named checks of a process.
#[derive(Clone, Default)]
pub struct Health {
    checks: Vec<(&'static str, Check)>,
}

impl Health {
    /// Adds a check under the name that `/readyz` shows.
    pub fn add<F, Fut>(&mut self, name: &'static str, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add_telling(name, move || {
            let checked = check();
            async move { checked.await.map(|()| "ok".to_owned()) }
        });
    }

    /// Adds a check that has something to tell even where all is well enough.
    pub fn add_telling<F, Fut>(&mut self, name: &'static str, check: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
    }

    async fn run(&self) -> (bool, Value) {
        let outcomes = join_all(self.checks.iter().map(|(name, check)| async move {
            let outcome = tokio::time::timeout(CHECK_TIMEOUT, check())
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())));
            (*name, outcome)
        }))
        .await;
        let ready = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
        let told = |outcome: Result<String, String>| Value::from(outcome.unwrap_or_else(|error| error));
        let checks: serde_json::Map<String, Value> =
            outcomes.into_iter().map(|(name, outcome)| (name.to_owned(), told(outcome))).collect();
        (ready, json!({"status": if ready { "ready" } else { "not ready" }, "checks": checks}))
    }
}

/// The routes every process offers.
pub fn router(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { Json(json!({"status": "live"})) }))
        .route("/readyz", get(readyz).with_state(health))
        .route("/metrics", get(metrics).with_state(registry))
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let (ready, body) = health.run().await;
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

async fn metrics(State(registry): State<Registry>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], crate::metrics::render(&registry))
}
