//! The routes, and the service as a process of its own.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tally_service::api::{self, Routes};
use tally_service::http::HttpConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::state::QueryState;
use crate::{cube, dead_letters, dictionary, events, funnels, metric_definitions};

/// All endpoints of the query service, with absolute paths, and their document, ready to merge with those of other
/// services. Paths that nobody offers are the outermost router's affair.
pub fn router(state: QueryState) -> (Router, OpenApi) {
    let (router, document) = routes().into_parts();
    let router = router.merge(cube::rest::routes());
    let router = router.route_layer(middleware::from_fn_with_state(state.clone(), measure));
    (router.with_state(state), document)
}

/// The endpoints' document.
pub fn document() -> OpenApi {
    routes().into_parts().1
}

fn routes() -> Routes<QueryState> {
    Routes::new()
        .routes(routes!(metric_definitions::metric_definitions))
        .merge(cube::gitlab::routes())
        .merge(events::http::routes())
        .merge(funnels::routes())
        .merge(dead_letters::http::routes())
        .merge(dictionary::http::routes())
}

/// Serves the query service alone on a bound listener until `shutdown`, then lets requests under way finish.
pub async fn serve(listener: TcpListener, http: HttpConfig, state: QueryState, shutdown: CancellationToken) {
    let (router, _) = router(state);
    tally_service::http::serve(listener, api::with_fallbacks(router), http, shutdown).await;
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
