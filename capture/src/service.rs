//! The capture service put together: what it stands on, its routes, and how their answers are counted.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing;
use jiff::Timestamp;
use prometheus::Registry;
use tally_directory::Directory;
use tally_eventlog::{Intake, Record};
use tally_letters::{Letters, LettersParts};
use tally_schemas::Framings;
use tally_service::api::{BodyReader, Routes};
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::admit;
use crate::budget::Budget;
use crate::config::{CaptureConfig, InvalidConfig};
use crate::enrich::person::Privacy;
use crate::event::EventBuilder;
use crate::metrics::Metrics;
use crate::snowplow::{cors, endpoints};

/// Everything capture stands on, passed in.
pub struct Dependencies {
    /// Where records go. The topics of page events and of dead letters must have been ensured.
    pub log: Arc<dyn Intake>,
    /// Tracking keys of projects.
    pub directory: Arc<Directory>,
    /// Tells when an event is received.
    pub clock: Arc<dyn Clock>,
    /// Makes ids unique.
    pub randomness: Arc<dyn Randomness>,
    /// How records name their schema.
    pub framings: Framings,
    /// Where capture's metrics are registered.
    pub registry: Registry,
}

/// Why capture can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration can't work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The registry already has capture's metrics.
    #[error("capture's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The capture service's shared state; cloning shares it.
#[derive(Clone)]
pub struct Capture(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: CaptureConfig,
    pub(crate) log: Arc<dyn Intake>,
    directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) framings: Framings,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: BodyReader,
    pub(crate) builder: EventBuilder,
    pub(crate) budget: Budget,
    pub(crate) letters: Letters,
}

impl Capture {
    /// Checks the configuration, reads the secret of pseudonyms where they are wanted, and registers the metrics.
    pub fn new(config: CaptureConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        config.check()?;
        let privacy = Privacy::new(&config.privacy)?;
        let metrics = Metrics::new(&dependencies.registry)?;
        let letters = LettersParts {
            service: "capture",
            log: Arc::clone(&dependencies.log),
            clock: Arc::clone(&dependencies.clock),
            randomness: Arc::clone(&dependencies.randomness),
            registry: &dependencies.registry,
        };
        Ok(Self(Arc::new(Inner {
            bodies: BodyReader::new(config.body.clone(), metrics.in_flight_bytes.clone()),
            builder: EventBuilder::new(&config, privacy, metrics.cut_texts.clone()),
            budget: Budget::new(config.events_per_key, config.period_s),
            letters: Letters::new(config.dead_letters.clone(), letters)?,
            config,
            log: dependencies.log,
            directory: dependencies.directory,
            clock: dependencies.clock,
            randomness: dependencies.randomness,
            framings: dependencies.framings,
            metrics,
        })))
    }

    /// Waits until the dead letters of all that was refused are in the log, or given up.
    pub async fn letters_settled(&self) {
        self.0.letters.settled().await;
    }

    /// What an event that was refused or set aside becomes by the rules of now, as its dead letter has it: a record of the
    /// topic of page events, or the reason against it. Nothing is appended. What its request's headers told is not known any
    /// more.
    pub fn record_of(
        &self,
        endpoint: &str,
        payload: &[u8],
        received_at: Timestamp,
    ) -> Result<Record, String> {
        admit::again(&self.0, endpoint, payload, received_at)
    }
}

impl Inner {
    /// The id of the project whose trackers send this key.
    pub(crate) fn project_of_key(&self, key: &str) -> Option<i64> {
        let configured = self.config.keys.get(key).copied();
        configured.or_else(|| self.directory.project_of_key(key))
    }
}

/// The routes of capture and their document, without a fallback, so that they can be merged with other services' routes.
/// Paths that the operator adds are not in the document.
pub fn router(capture: Capture) -> (Router, OpenApi) {
    let (mut router, document) = routes().into_parts();
    for path in &capture.0.config.post_paths {
        router = router.route(path, routing::post(endpoints::post));
    }
    let router = router
        .route_layer(middleware::from_fn(cors::allow))
        .route_layer(middleware::from_fn_with_state(capture.clone(), count_requests));
    (router.with_state(capture), document)
}

/// The routes' document.
pub fn document() -> OpenApi {
    routes().into_parts().1
}

fn routes() -> Routes<Capture> {
    Routes::new().routes(routes!(endpoints::post)).routes(routes!(endpoints::pixel))
}

async fn count_requests(
    State(capture): State<Capture>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    capture.0.metrics.requests.with_label_values(&[path.as_str(), status.as_str()]).inc();
    response
}
