//! The ingest service put together: what it stands on, its routes, and serving them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use prometheus::Registry;
use tally_directory::Directory;
use tally_eventlog::Intake;
use tally_letters::{Letters, LettersParts};
use tally_schemas::{ContributionIds, DropReason, Framings, Matcher};
use tally_service::api::{self, Access, BodyReader, Routes, Security};
use tally_service::clock::Clock;
use tally_service::http::{self, HttpConfig};
use tally_service::randomness::Randomness;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::config::{IngestConfig, InvalidConfig};
use crate::contributions;
use crate::increment;
use crate::metrics::Metrics;
use crate::track;

/// Everything ingest stands on, passed in.
pub struct Dependencies {
    /// Where records go. The topics of `tally_schemas::topics` must have been ensured.
    pub log: Arc<dyn Intake>,
    /// Tokens, users and projects.
    pub directory: Arc<Directory>,
    /// Tells when an event is received.
    pub clock: Arc<dyn Clock>,
    /// Makes event ids unique.
    pub randomness: Arc<dyn Randomness>,
    /// Numbers contributions; one for all services of a process.
    pub contribution_ids: Arc<ContributionIds>,
    /// Known events, for verdicts and the count of undeclared properties; counting itself is the processor's.
    pub definitions: Arc<Matcher>,
    /// How records name their schema.
    pub framings: Framings,
    /// Where ingest's metrics are registered.
    pub registry: Registry,
}

/// Why ingest can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration can't work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The registry already has ingest's metrics.
    #[error("ingest's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The ingest service's shared state; cloning shares it.
#[derive(Clone)]
pub struct Ingest(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: IngestConfig,
    pub(crate) log: Arc<dyn Intake>,
    pub(crate) access: Access,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) definitions: Arc<Matcher>,
    pub(crate) framings: Framings,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: BodyReader,
    pub(crate) contribution_ids: Arc<ContributionIds>,
    pub(crate) letters: Letters,
}

impl Ingest {
    /// Checks the configuration and registers the metrics.
    pub fn new(config: IngestConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        config.check()?;
        let metrics = Metrics::new(&dependencies.registry)?;
        let bodies = BodyReader::new(config.body_limits(), metrics.in_flight_bytes.clone());
        let letters = LettersParts {
            service: "ingest",
            log: Arc::clone(&dependencies.log),
            clock: Arc::clone(&dependencies.clock),
            randomness: Arc::clone(&dependencies.randomness),
            registry: &dependencies.registry,
        };
        let letters = Letters::new(config.dead_letters.clone(), letters)?;
        Ok(Self(Arc::new(Inner {
            config,
            log: dependencies.log,
            access: Access { directory: dependencies.directory, clock: dependencies.clock },
            randomness: dependencies.randomness,
            contribution_ids: dependencies.contribution_ids,
            definitions: dependencies.definitions,
            framings: dependencies.framings,
            metrics,
            bodies,
            letters,
        })))
    }

    /// Waits until the dead letters of all that was refused are in the log, or given up.
    pub async fn letters_settled(&self) {
        self.0.letters.settled().await;
    }
}

impl FromRef<Ingest> for Access {
    fn from_ref(ingest: &Ingest) -> Self {
        ingest.0.access.clone()
    }
}

/// The routes of ingest and their document, without a fallback, so that they can be merged with other services' routes.
pub fn router(ingest: Ingest) -> (Router, OpenApi) {
    let (router, document) = routes().into_parts();
    let router = router.route_layer(middleware::from_fn_with_state(ingest.clone(), count_requests));
    (router.with_state(ingest), document)
}

/// The routes' document.
pub fn document() -> OpenApi {
    routes().into_parts().1
}

fn routes() -> Routes<Ingest> {
    Routes::new()
        .secured(Security::Token(track::TRACKING), routes!(track::track_event))
        .secured(Security::Token(track::TRACKING), routes!(track::track_events))
        .secured(Security::Token(increment::INCREMENTING), routes!(increment::increment_counter))
        .secured(Security::Token(increment::INCREMENTING), routes!(increment::increment_unique_users))
        .secured(Security::Token(contributions::POSTING), routes!(contributions::post))
}

/// Serves ingest alone on a bound listener until `shutdown`, then drains.
pub async fn serve(listener: TcpListener, http: HttpConfig, ingest: Ingest, shutdown: CancellationToken) {
    let (router, _) = router(ingest);
    http::serve(listener, api::with_fallbacks(router), http, shutdown).await;
}

async fn count_requests(
    State(ingest): State<Ingest>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let metrics = &ingest.0.metrics;
    metrics.requests.with_label_values(&[path.as_str(), status.as_str()]).inc();
    if let Some(reason) = drop_reason(status) {
        metrics.dropped.with_label_values(&[reason.as_str()]).inc();
    }
    response
}

/// Why a request with this status was refused, where the reason is its body.
fn drop_reason(status: StatusCode) -> Option<DropReason> {
    match status {
        StatusCode::BAD_REQUEST | StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(DropReason::Invalid),
        StatusCode::PAYLOAD_TOO_LARGE => Some(DropReason::Oversized),
        _ => None,
    }
}
