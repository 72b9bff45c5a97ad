//! The routes of the Internal API, and serving them on a listener of their own.

use axum::{Router, middleware};
use tally_service::api::{self, Routes};
use tally_service::http::{self, HttpConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::state::InternalState;
use crate::{accounts, bounded, check, git, kubernetes, minutes, reconciliations, subscriptions};

/// All routes, without a fallback, and their document. Never part of a public router.
pub fn router(state: InternalState) -> (Router, OpenApi) {
    let (router, document) = routes().into_parts();
    let router = router.route_layer(middleware::from_fn_with_state(state.clone(), bounded::bound));
    (router.with_state(state), document)
}

/// The routes' document.
pub fn document() -> OpenApi {
    routes().into_parts().1
}

fn routes() -> Routes<InternalState> {
    Routes::new()
        .merge(git::routes())
        .merge(accounts::routes())
        .merge(check::routes())
        .merge(kubernetes::routes())
        .merge(minutes::routes())
        .merge(reconciliations::routes())
        .merge(subscriptions::routes())
}

/// Serves the Internal API on a bound listener until `shutdown`, then drains.
pub async fn serve(
    listener: TcpListener,
    http: HttpConfig,
    state: InternalState,
    shutdown: CancellationToken,
) {
    let (router, _) = router(state);
    http::serve(listener, api::with_fallbacks(router), http, shutdown).await;
}
