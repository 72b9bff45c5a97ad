//! Puts each service together from opened parts, and serves whatever a process runs behind one listener.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use prometheus::Registry;
use tally_capture::forward::{ForwardDependencies, Forwarder};
use tally_capture::{Capture, Dependencies as CaptureDependencies};
use tally_collect::{Collector, Dependencies as CollectorDependencies};
use tally_directory::Directory;
use tally_eventlog::spool::{SpoolingLog, Upstream};
use tally_eventlog::{EventLog, Intake};
use tally_evolution::Schemas;
use tally_ingest::{Dependencies as IngestDependencies, Ingest};
use tally_internal::{Dependencies as InternalDependencies, InternalState};
use tally_ping::http::HttpState;
use tally_ping::{Dependencies as PingDependencies, Ping};
use tally_processor::recount::Source;
use tally_processor::{Metrics, ProcessorDeps};
use tally_query::metrics::QueryMetrics;
use tally_query::service_ping::Plan;
use tally_query::warehouse::Warehouse;
use tally_query::{Deps as QueryDeps, QueryState};
use tally_schemas::{ContributionIds, Definitions, Framings, Matcher};
use tally_service::api::{self, Access, Budget, Guard, openapi};
use tally_service::clock::{Clock, system_clock};
use tally_service::health::{self, Health};
use tally_service::randomness::{Randomness, ThreadRandomness};
use tally_service::{http, metrics};
use tally_store::Store;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use crate::config::Config;
use crate::dead_letters::Replaying;
use crate::processing::Processing;
use crate::recounting::Recounting;
use crate::{models, open, registry};

/// How long readiness waits for the directory where a spool can stand in for the log.
const DIRECTORY_ANSWERS_WITHIN: Duration = Duration::from_millis(800);

/// What the services of one process share.
pub struct Process {
    pub config: Config,
    pub shutdown: CancellationToken,
    framings: Framings,
    registry: Registry,
    health: Health,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    contribution_ids: Arc<ContributionIds>,
    guard: Option<Guard>,
    directory: Option<Arc<Directory>>,
    spool: Option<Arc<SpoolingLog>>,
    /// What queries measure about themselves; one for all that read ClickHouse.
    queries: QueryMetrics,
    /// Whose dead letters are on their way to the log.
    ingest: Option<Ingest>,
    capture: Option<Capture>,
    internal: Option<InternalState>,
    routes: Router,
    documents: Vec<OpenApi>,
    /// What is served on other listeners, and the scheduler of the Service Ping.
    beside: Vec<JoinHandle<()>>,
}

impl Process {
    /// A process without services yet. Asks the schema registry, where there is one.
    pub async fn new(config: Config, shutdown: CancellationToken) -> Result<Self> {
        let registry = metrics::registry();
        Ok(Self {
            framings: registry::framings(&config.schema_registry.url).await?,
            contribution_ids: Arc::new(ContributionIds::new(config.ingest.node)),
            config,
            shutdown,
            queries: QueryMetrics::register(&registry),
            registry,
            health: Health::default(),
            clock: system_clock(),
            randomness: Arc::new(ThreadRandomness),
            guard: None,
            directory: None,
            spool: None,
            ingest: None,
            capture: None,
            internal: None,
            routes: Router::new(),
            documents: Vec::new(),
            beside: Vec::new(),
        })
    }

    /// What the services of this process write through: the log, or the spool before it, which is drained until shutdown.
    /// `/readyz` asks either, too; what else asks the log may be behind while the spool stands in.
    pub fn use_intake(
        &mut self,
        service: &str,
        log: &Arc<dyn EventLog>,
        upstream: Option<Arc<dyn Upstream>>,
    ) -> Result<Arc<dyn Intake>> {
        let Some(spool) = open::spool(&self.config, service, upstream, &self.registry)? else {
            self.needs_log(log);
            return Ok(Arc::clone(log) as _);
        };
        let (draining, shutdown) = (Arc::clone(&spool), self.shutdown.clone());
        self.beside.push(tokio::spawn(async move { draining.run(shutdown).await }));
        let asked = Arc::clone(&spool);
        self.health.add_telling("log", move || {
            let spool = Arc::clone(&asked);
            async move { spool.readiness().await }
        });
        self.spool = Some(Arc::clone(&spool));
        Ok(spool)
    }

    /// `/readyz` asks the log, too.
    pub fn needs_log(&mut self, log: &Arc<dyn EventLog>) {
        let log = Arc::clone(log);
        self.health.add("log", move || {
            let log = Arc::clone(&log);
            async move { log.check().await.map_err(|error| error.to_string()) }
        });
    }

    /// `/readyz` asks the store, too.
    pub fn needs_store(&mut self, store: &Store) {
        let store = store.clone();
        self.health.add("store", move || {
            let store = store.clone();
            async move { store.check().await.map_err(|error| error.to_string()) }
        });
    }

    /// Routes that are added from here on stand behind a guard that knows the directory; `/readyz` asks whether it follows
    /// its log, too.
    pub fn use_directory(&mut self, directory: &Arc<Directory>) -> Result<()> {
        let access = Access { directory: Arc::clone(directory), clock: Arc::clone(&self.clock) };
        self.guard = Some(Guard::new(access, self.config.guard.clone(), &self.registry)?);
        self.directory = Some(Arc::clone(directory));
        let (directory, spool) = (Arc::clone(directory), self.spool.clone());
        self.health.add_telling("directory", move || {
            let (directory, spool) = (Arc::clone(&directory), spool.clone());
            async move { check_directory(&directory, spool.as_deref()).await }
        });
        Ok(())
    }

    /// Adds ingest's routes.
    pub fn add_ingest(
        &mut self,
        log: Arc<dyn Intake>,
        directory: Arc<Directory>,
        definitions: &Definitions,
    ) -> Result<()> {
        let dependencies = IngestDependencies {
            log,
            directory,
            clock: Arc::clone(&self.clock),
            randomness: Arc::new(ThreadRandomness),
            contribution_ids: Arc::clone(&self.contribution_ids),
            definitions: Arc::new(Matcher::new(definitions)),
            framings: self.framings,
            registry: self.registry.clone(),
        };
        let ingest = Ingest::new(self.config.ingest.clone(), dependencies)?;
        self.ingest = Some(ingest.clone());
        self.add(Budget::Tracking, tally_ingest::router(ingest));
        Ok(())
    }

    /// Adds capture's routes.
    pub fn add_capture(&mut self, log: Arc<dyn Intake>, directory: Arc<Directory>) -> Result<()> {
        let dependencies = CaptureDependencies {
            log,
            directory,
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            framings: self.framings,
            registry: self.registry.clone(),
        };
        let capture = Capture::new(self.config.capture.clone(), dependencies)?;
        self.capture = Some(capture.clone());
        self.add(Budget::Tracking, tally_capture::router(capture));
        Ok(())
    }

    /// What dead letters are replayed by: the services' own rules, on a log without a spool before it, so that where the
    /// records lie is known. Their metrics are nobody's.
    pub fn replaying(
        &self,
        log: Arc<dyn EventLog>,
        directory: &Arc<Directory>,
        definitions: &Definitions,
    ) -> Result<Replaying> {
        let ingest = IngestDependencies {
            log: Arc::clone(&log) as _,
            directory: Arc::clone(directory),
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            contribution_ids: Arc::clone(&self.contribution_ids),
            definitions: Arc::new(Matcher::new(definitions)),
            framings: self.framings,
            registry: Registry::new(),
        };
        let capture = CaptureDependencies {
            log: Arc::clone(&log) as _,
            directory: Arc::clone(directory),
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            framings: self.framings,
            registry: Registry::new(),
        };
        Ok(Replaying {
            ingest: Ingest::new(self.config.ingest.clone(), ingest)?,
            capture: Capture::new(self.config.capture.clone(), capture)?,
            log,
        })
    }

    /// Sends tracked events that ask for it on to the configured collector until shutdown, where one is configured.
    pub fn run_forwarder(&mut self, log: &Arc<dyn EventLog>) -> Result<()> {
        log.keep_places_after(self.shutdown.clone());
        let dependencies = ForwardDependencies {
            log: Arc::clone(log),
            framing: self.framings.tracked_event,
            schemas: self.schemas(log),
            clock: Arc::clone(&self.clock),
            registry: self.registry.clone(),
        };
        if let Some(forwarder) = Forwarder::new(&self.config.capture.forward, dependencies)? {
            let shutdown = self.shutdown.clone();
            self.beside.push(tokio::spawn(async move { forwarder.run(shutdown).await }));
        }
        Ok(())
    }

    /// Adds the query service's routes.
    pub fn add_query(
        &mut self,
        store: &Store,
        directory: Arc<Directory>,
        definitions: Arc<Definitions>,
    ) -> Result<()> {
        let deps = QueryDeps {
            definitions,
            access: Access { directory, clock: Arc::clone(&self.clock) },
            warehouse: self.warehouse(store),
            metrics: self.queries.clone(),
        };
        let state = QueryState::new(self.config.query.clone(), deps)?;
        let following = models::follow(state.clone(), store.clone());
        tokio::spawn(self.shutdown.clone().run_until_cancelled_owned(following));
        self.add(Budget::Other, tally_query::router(state));
        Ok(())
    }

    fn warehouse(&self, store: &Store) -> Warehouse {
        Warehouse::new(store, &self.config.query.limits, self.queries.clone())
    }

    /// The Service Ping: what is asked about it, and its scheduler, which runs where [`Self::run_ping`] says so.
    pub fn ping(
        &self,
        log: Arc<dyn EventLog>,
        store: &Store,
        directory: Arc<Directory>,
        definitions: &Definitions,
    ) -> Result<Ping> {
        let dependencies = PingDependencies {
            plan: Arc::new(Plan::new(definitions)),
            warehouse: self.warehouse(store),
            store: store.clone(),
            directory,
            log,
            framings: self.framings,
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            instance: self.config.query.instance.clone(),
            license: self.config.query.license.clone(),
            prometheus_url: self.config.query.prometheus_url.clone(),
            registry: self.registry.clone(),
        };
        Ok(Ping::new(self.config.ping.clone(), dependencies)?)
    }

    /// Adds the Service Ping's routes.
    pub fn add_ping(&mut self, ping: Ping) -> Result<()> {
        let state = HttpState::new(ping, self.config.query.body.clone(), &self.registry)?;
        self.add(Budget::Other, tally_ping::http::router(state));
        Ok(())
    }

    /// Runs the scheduler of the Service Ping until shutdown.
    pub fn run_ping(&mut self, ping: Ping) {
        self.beside.push(tokio::spawn(ping.run(self.shutdown.clone())));
    }

    /// Adds the routes of the Service Ping's receiver, which is to be flushed once nothing is served any more.
    pub fn add_collector(&mut self, store: Store) -> Result<Collector> {
        let dependencies =
            CollectorDependencies { store, clock: Arc::clone(&self.clock), registry: self.registry.clone() };
        let collector = Collector::new(self.config.collect.clone(), dependencies)?;
        self.add(Budget::Other, tally_collect::router(collector.clone()));
        Ok(collector)
    }

    /// What tells of the schemas of other versions.
    fn schemas(&self, log: &Arc<dyn EventLog>) -> Arc<Schemas> {
        let url = &self.config.schema_registry.url;
        Arc::new(Schemas::new(Arc::clone(log), self.framings, url))
    }

    /// The processor, and its work, to run beside serving.
    pub fn processor(
        &mut self,
        log: Arc<dyn EventLog>,
        store: Store,
        definitions: Arc<Definitions>,
    ) -> Result<(Processing, impl Future<Output = Result<()>> + Send + use<>)> {
        log.keep_places_after(self.shutdown.clone());
        let metrics = Metrics::register(&self.registry)?;
        let measured = metrics.clone();
        self.health.add_telling("processor", move || std::future::ready(Ok(measured.condition())));
        let deps = ProcessorDeps {
            schemas: self.schemas(&log),
            log,
            store,
            definitions,
            framings: self.framings,
            metrics,
            clock: Arc::clone(&self.clock),
        };
        let config = self.config.processor.clone();
        let start = move |stop| {
            let serving = tally_processor::serve(config.clone(), deps.clone(), stop);
            async move { Ok(serving.await?) }
        };
        Ok(Processing::new(start, self.shutdown.clone()))
    }

    /// What recounts are made with.
    pub fn recounting(
        &self,
        log: Arc<dyn EventLog>,
        store: Store,
        definitions: Arc<Definitions>,
        processing: Option<Processing>,
    ) -> Arc<Recounting> {
        let schemas = self.schemas(&log);
        Arc::new(Recounting {
            store,
            source: Source { log, schemas, framings: self.framings },
            definitions,
            group: self.config.processor.group.clone(),
            processing,
            turn: Mutex::default(),
        })
    }

    /// Adds the internal API's routes, for a process that serves nothing else.
    pub fn add_internal(
        &mut self,
        log: Arc<dyn Intake>,
        directory: Arc<Directory>,
        definitions: &Definitions,
    ) -> Result<()> {
        let internal = self.internal(log, directory, definitions)?;
        self.internal = Some(internal.clone());
        self.add(Budget::Unlimited, tally_internal::router(internal));
        Ok(())
    }

    /// Serves the internal API on a listener of its own until shutdown.
    pub fn serve_internal(
        &mut self,
        log: Arc<dyn Intake>,
        directory: Arc<Directory>,
        definitions: &Definitions,
        listener: TcpListener,
    ) -> Result<()> {
        let internal = self.internal(log, directory, definitions)?;
        self.internal = Some(internal.clone());
        let (routes, document) = tally_internal::router(internal);
        let routes = self.guarded(Budget::Unlimited, routes);
        let routes = routes.merge(openapi::router(described(
            "Tally's internal API",
            &self.config.internal.external_url,
            [document],
        )));
        tracing::info!(address = %http::local_address(&listener), "serving the internal api");
        let serving = http::serve(
            listener,
            api::with_fallbacks(routes),
            self.config.http.clone(),
            self.shutdown.clone(),
        );
        self.beside.push(tokio::spawn(serving));
        Ok(())
    }

    fn internal(
        &self,
        log: Arc<dyn Intake>,
        directory: Arc<Directory>,
        definitions: &Definitions,
    ) -> Result<InternalState> {
        let dependencies = InternalDependencies {
            directory,
            log,
            clock: Arc::clone(&self.clock),
            randomness: Arc::clone(&self.randomness),
            definitions: Arc::new(Matcher::new(definitions)),
            framings: self.framings,
            contribution_ids: Arc::clone(&self.contribution_ids),
            registry: self.registry.clone(),
        };
        Ok(InternalState::new(self.config.internal.clone(), dependencies)?)
    }

    fn add(&mut self, budget: Budget, (routes, document): (Router, OpenApi)) {
        self.routes = std::mem::take(&mut self.routes).merge(self.guarded(budget, routes));
        self.documents.push(document);
    }

    fn guarded(&self, budget: Budget, routes: Router) -> Router {
        let guard = self.guard.as_ref().expect("whatever needs a caller needs the directory first");
        guard.protect(budget, routes)
    }

    /// Serves the routes, health and metrics until shutdown; requests under way get to finish.
    pub async fn serve(self, listener: TcpListener) {
        let beside = self.beside;
        let drain = Duration::from_secs(self.config.http.drain_s);
        let routes = self
            .routes
            .merge(openapi::router(described("Tally", &self.config.query.external_url, self.documents)))
            .merge(health::router(self.health, self.registry));
        tracing::info!(address = %http::local_address(&listener), "serving");
        http::serve(listener, api::with_fallbacks(routes), self.config.http, self.shutdown).await;
        let settled = async {
            if let Some(ingest) = self.ingest {
                ingest.letters_settled().await;
            }
            if let Some(capture) = self.capture {
                capture.letters_settled().await;
            }
            if let Some(internal) = self.internal {
                internal.letters_settled().await;
            }
        };
        if timeout(drain, settled).await.is_err() {
            tracing::error!("dead letters of refused requests did not get into the log");
        }
        for serving in beside {
            if let Err(error) = serving.await {
                tracing::error!(%error, "what ran beside ended badly");
            }
        }
        if let Some(directory) = self.directory {
            directory.stopped().await;
        }
    }

    /// Ends a process that serves nothing.
    pub async fn stop(self) {
        self.shutdown.cancel();
        if let Some(directory) = self.directory {
            directory.stopped().await;
        }
    }
}

/// Whether the directory follows its log. While a spool stands in for the log, what was known last will do.
async fn check_directory(directory: &Directory, spool: Option<&SpoolingLog>) -> Result<String, String> {
    let Some(spool) = spool else { return directory.check().await.map(|()| "ok".to_owned()) };
    let checked = timeout(DIRECTORY_ANSWERS_WITHIN, directory.check()).await;
    let reason = match checked {
        Ok(Ok(())) => return Ok("ok".to_owned()),
        Ok(Err(reason)) => reason,
        Err(_) => format!("no answer within {DIRECTORY_ANSWERS_WITHIN:?}"),
    };
    if spool.stands_in().await {
        Ok(format!("behind, while the spool stands in: {reason}"))
    } else {
        Err(reason)
    }
}

/// The document of everything that Tally serves, publicly and internally.
pub fn document() -> OpenApi {
    let parts = [
        tally_ingest::document(),
        tally_capture::document(),
        tally_query::document(),
        tally_ping::http::document(),
        tally_internal::document(),
    ];
    described("Tally", "", parts)
}

fn described(title: &str, url: &str, parts: impl IntoIterator<Item = OpenApi>) -> OpenApi {
    openapi::document(title, env!("CARGO_PKG_VERSION"), url, parts)
}
