//! The routes, and the collector as a process of its own.

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use tally_service::api::{self, Routes};
use tally_service::http::HttpConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::collector::Collector;
use crate::{pages, reports, usage_data, version};

/// Bytes that a form's parts may take beside the file in it.
const FORM_OVERHEAD_BYTES: usize = 64 * 1024;

/// All endpoints of the collector, with absolute paths, and their document, ready to merge with those of other services.
/// Paths that nobody offers are the outermost router's affair.
pub fn router(collector: Collector) -> (Router, OpenApi) {
    let (router, document) = routes().into_parts();
    let form_bytes = collector.0.config.body.max_body_bytes.saturating_add(FORM_OVERHEAD_BYTES);
    let router = router
        .layer(DefaultBodyLimit::max(form_bytes))
        .route_layer(middleware::from_fn_with_state(collector.clone(), measure));
    (router.with_state(collector), document)
}

/// The endpoints' document.
pub fn document() -> OpenApi {
    routes().into_parts().1
}

fn routes() -> Routes<Collector> {
    Routes::new()
        .routes(routes!(pages::index))
        .routes(routes!(pages::stylesheet))
        .routes(routes!(usage_data::post_usage_data))
        .routes(routes!(usage_data::new_usage_data, usage_data::upload_usage_data))
        .routes(routes!(reports::post_metadata))
        .routes(routes!(reports::post_errors))
        .routes(routes!(version::check_svg))
        .routes(routes!(version::check_png))
        .routes(routes!(version::check_json))
}

/// Serves the collector alone on a bound listener until `shutdown`, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    http: HttpConfig,
    collector: Collector,
    shutdown: CancellationToken,
) {
    let (router, _) = router(collector.clone());
    tally_service::http::serve(listener, api::with_fallbacks(router), http, shutdown).await;
    collector.flush().await;
}

async fn measure(State(collector): State<Collector>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    collector.0.metrics.requests.with_label_values(&[path.as_str(), response.status().as_str()]).inc();
    response
}
