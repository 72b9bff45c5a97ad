//! What the Internal API stands on, and its shared state.

use std::sync::Arc;

use axum::extract::FromRef;
use prometheus::Registry;
use tally_directory::Directory;
use tally_eventlog::Intake;
use tally_letters::{Letters, LettersParts};
use tally_schemas::{ContributionIds, Framings, Matcher};
use tally_service::api::{Access, BodyReader};
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;

use uuid::Builder;

use crate::auth::SecretFile;
use crate::config::InternalConfig;
use crate::git::References;
use crate::metrics::Metrics;

/// Everything the Internal API stands on, passed in.
pub struct Dependencies {
    /// Users, keys, tokens, projects and all else that is administered.
    pub directory: Arc<Directory>,
    /// Where pushes and tracked events go. The topics of `tally_schemas::topics` must have been ensured.
    pub log: Arc<dyn Intake>,
    /// Tells when tokens expire and when things happen.
    pub clock: Arc<dyn Clock>,
    /// Makes tokens and recovery codes.
    pub randomness: Arc<dyn Randomness>,
    /// Tells what counts the agent server's events: their number or their values.
    pub definitions: Arc<Matcher>,
    /// How records name their schema.
    pub framings: Framings,
    /// Numbers contributions; one for all services of a process.
    pub contribution_ids: Arc<ContributionIds>,
    /// Where the metrics are registered.
    pub registry: Registry,
}

/// Why the Internal API can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The registry already has these metrics.
    #[error("the Internal API's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A configured secret file can't be used.
    #[error(transparent)]
    Secret(#[from] crate::auth::SecretError),
}

/// The Internal API's shared state; cloning shares it.
#[derive(Clone)]
pub struct InternalState(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: InternalConfig,
    pub(crate) access: Access,
    pub(crate) log: Arc<dyn Intake>,
    pub(crate) randomness: Arc<dyn Randomness>,
    pub(crate) definitions: Arc<Matcher>,
    pub(crate) framings: Framings,
    pub(crate) contribution_ids: Arc<ContributionIds>,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: BodyReader,
    pub(crate) shared_secret: SecretFile,
    pub(crate) kas_secret: SecretFile,
    pub(crate) references: References,
    pub(crate) letters: Letters,
}

impl InternalState {
    /// Reads the secrets and registers the metrics.
    pub fn new(config: InternalConfig, dependencies: Dependencies) -> Result<Self, StartError> {
        let metrics = Metrics::new(&dependencies.registry)?;
        let letters = LettersParts {
            service: "internal",
            log: Arc::clone(&dependencies.log),
            clock: Arc::clone(&dependencies.clock),
            randomness: Arc::clone(&dependencies.randomness),
            registry: &dependencies.registry,
        };
        let letters = Letters::new(config.dead_letters.clone(), letters)?;
        let mut random = [0; 16];
        dependencies.randomness.fill(&mut random);
        Ok(Self(Arc::new(Inner {
            references: References::new(Builder::from_random_bytes(random).into_uuid()),
            shared_secret: SecretFile::open(&config.shared_secret_file)?,
            kas_secret: SecretFile::open(&config.kas_secret_file)?,
            bodies: BodyReader::new(config.body.clone(), metrics.in_flight_bytes.clone()),
            config,
            access: Access { directory: dependencies.directory, clock: dependencies.clock },
            log: dependencies.log,
            randomness: dependencies.randomness,
            definitions: dependencies.definitions,
            framings: dependencies.framings,
            contribution_ids: dependencies.contribution_ids,
            metrics,
            letters,
        })))
    }

    /// Waits until the dead letters of all that was refused are in the log, or given up.
    pub async fn letters_settled(&self) {
        self.0.letters.settled().await;
    }
}

impl FromRef<InternalState> for Access {
    fn from_ref(state: &InternalState) -> Self {
        state.0.access.clone()
    }
}
