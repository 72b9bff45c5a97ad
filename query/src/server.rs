//! The routes, and the service as a process of its own.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing;
use tally_service::api;
use tally_service::http::HttpConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::state::QueryState;
use crate::{cube, events, metric_definitions, service_ping};

/// All endpoints of the query service, with absolute paths, ready to merge with those of other services. Paths that
/// nobody offers are the outermost router's affair.
pub fn router(state: QueryState) -> Router {
    let load = routing::get(cube::http::get_load).post(cube::http::post_load);
    Router::new()
        .route("/api/v4/usage_data/service_ping", api::get(service_ping::http::service_ping))
        .route("/api/v4/usage_data/metric_definitions", api::get(metric_definitions::metric_definitions))
        .route(
            "/api/v4/projects/{id}/product_analytics/request/load",
            api::route::offered("OPTIONS, GET, HEAD, POST", load),
        )
        .route("/api/v4/events", api::get(events::http::own_events))
        .route_layer(middleware::from_fn_with_state(state.clone(), measure))
        .with_state(state)
}

/// Serves the query service alone on a bound listener until `shutdown`, then lets requests under way finish.
pub async fn serve(listener: TcpListener, http: HttpConfig, state: QueryState, shutdown: CancellationToken) {
    tally_service::http::serve(listener, api::with_fallbacks(router(state)), http, shutdown).await;
}

async fn measure(State(state): State<QueryState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let endpoint = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let labels = [endpoint.as_str(), status.as_str()];
    state.metrics.request_seconds.with_label_values(&labels).observe(started.elapsed().as_secs_f64());
    response
}
