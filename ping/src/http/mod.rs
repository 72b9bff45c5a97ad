//! HTTP around the Service Ping: the payloads, the settings and feature flags that govern it, and the pages on which an
//! administrator sees beforehand what is sent. One file an endpoint's matter; when a payload is made and sent is decided
//! outside of this module.

mod error;
mod features;
mod indent;
mod page;
mod parameters;
mod payloads;
mod preview;
mod settings;
mod state;
mod tracking;

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tally_service::api::Routes;
use utoipa::openapi::OpenApi;

pub use state::HttpState;

/// All endpoints around the ping, with absolute paths, and their document, ready to merge with those of other services.
pub fn router(state: HttpState) -> (Router, OpenApi) {
    let (router, document) = routes().into_parts();
    let router = router.route_layer(middleware::from_fn_with_state(state.clone(), measure));
    (router.with_state(state), document)
}

/// The endpoints' document.
pub fn document() -> OpenApi {
    routes().into_parts().1
}

fn routes() -> Routes<HttpState> {
    Routes::new()
        .merge(payloads::routes())
        .merge(settings::routes())
        .merge(features::routes())
        .merge(preview::routes())
}

async fn measure(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let endpoint = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let status = response.status();
    let labels = [endpoint.as_str(), status.as_str()];
    state.request_seconds.with_label_values(&labels).observe(started.elapsed().as_secs_f64());
    response
}
