//! What both base paths offer: load, dry-run, SQL and the model itself, each for one project. Who asks, and the form that
//! refusals take, are theirs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use serde_json::Value;
use tally_cube::compile::{self, Compiled};
use tally_cube::model::ModelErrors;
use tally_cube::model::funnel::Funnel;
use tally_cube::query::{self, Body, Limits, Request};
use tally_cube::{CubeError, Model, model};
use tally_service::clock::Clock;
use tally_store::Store;
use tokio::time::Instant;

use super::answer::{Envelope, Gaps, Part, render};
use super::config::CubeConfig;
use super::execute::{Executor, Fetched, NoRows};
use super::models::{Models, NumberedModel};
use super::projections::ensure_projections;
use super::token::{self, TokenError};
use crate::metrics::QueryMetrics;
use crate::warehouse::{Warehouse, WarehouseError};

/// Why the Cube API can't be set up or loaded again.
#[derive(Debug, thiserror::Error)]
pub enum CubeSetupError {
    #[error(transparent)]
    Model(#[from] ModelErrors),
    #[error("query.cube.api_secret_file: {path}: {error}")]
    Secret { path: String, error: std::io::Error },
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It breaks a rule of Cube's.
    #[error(transparent)]
    Refused(#[from] CubeError),
    /// The query goes on; the same request will be answered.
    #[error("Continue wait")]
    ContinueWait,
    #[error("Error: {0}")]
    Warehouse(Arc<WarehouseError>),
}

/// Who asks: a project, and what it adds to the model.
pub struct Tenant {
    pub project: i64,
    pub funnels: Vec<Funnel>,
}

/// The Cube API without HTTP.
pub struct CubeService {
    config: CubeConfig,
    models: Models,
    executor: Executor,
    secret: RwLock<Vec<u8>>,
    clock: Arc<dyn Clock>,
}

impl CubeService {
    /// Loads the models and the secret.
    pub fn new(
        config: CubeConfig,
        warehouse: Warehouse,
        clock: Arc<dyn Clock>,
        metrics: QueryMetrics,
    ) -> Result<Self, CubeSetupError> {
        Ok(Self {
            models: Models::load(config.models.clone())?,
            executor: Executor::new(&config, warehouse, Arc::clone(&clock), metrics),
            secret: RwLock::new(read_secret(&config)?),
            clock,
            config,
        })
    }

    /// Loads the models and the secret again. With an error all stays as it was.
    pub fn reload(&self) -> Result<(), CubeSetupError> {
        let secret = read_secret(&self.config)?;
        self.models.reload()?;
        *self.secret.write().unwrap_or_else(PoisonError::into_inner) = secret;
        Ok(())
    }

    /// The id of the project that a token of Cube's own base path is for.
    pub fn project_of_token(&self, token: &str) -> Result<i64, TokenError> {
        let secret = self.secret.read().unwrap_or_else(PoisonError::into_inner);
        token::project_of(token, &secret, self.clock.now())
    }

    /// Gives the tables the projections that the models' pre-aggregations stand for, and takes those away that none does.
    pub async fn ensure_projections(&self, store: &Store) {
        let models = self.models.all();
        let projections = models.iter().flat_map(|model| compile::projections(model)).collect();
        ensure_projections(store, projections).await;
    }

    /// The answer to `/load`. `body` is `single` where it goes into the bare envelope, which holds one result only.
    pub async fn load(
        &self,
        tenant: &Tenant,
        body: &Body,
        envelope: Envelope,
        fills_gaps: bool,
    ) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + Duration::from_millis(self.config.continue_wait_ms);
        let model = self.model(tenant);
        let request = self.parse(&model, body)?;
        let queries = request.queries.iter();
        let compiled: Vec<Compiled> = queries
            .map(|query| compile::compile(&model, query, tenant.project))
            .collect::<Result<_, CubeError>>()?;
        let fetched = self.fetch(tenant.project, &model, &request, &compiled, deadline).await?;
        let parts = request.queries.iter().zip(&compiled).zip(&fetched);
        let parts: Vec<Part<'_>> =
            parts.map(|((query, compiled), fetched)| Part { query, compiled, fetched }).collect();
        let gaps = if fills_gaps { Gaps::Filled(self.config.max_limit) } else { Gaps::Left };
        render(&model, &request, &parts, envelope, gaps)
            .map_err(|error| Failure::Warehouse(Arc::new(WarehouseError::Undecodable(error.to_string()))))
    }

    /// The answer to `/dry-run`.
    pub fn dry_run(&self, tenant: &Tenant, body: &Body) -> Result<Value, Failure> {
        let model = self.model(tenant);
        Ok(query::dry_run(&model, &self.parse(&model, body)?)?)
    }

    /// The answer to `/sql`.
    pub fn sql(&self, tenant: &Tenant, body: &Body) -> Result<Value, Failure> {
        let model = self.model(tenant);
        Ok(compile::sql(&model, &self.parse(&model, body)?, tenant.project)?)
    }

    /// The answer to `/meta`.
    pub fn meta(&self, tenant: &Tenant, is_extended: bool) -> Value {
        model::meta(&self.model(tenant), is_extended)
    }

    fn model(&self, tenant: &Tenant) -> Arc<NumberedModel> {
        self.models.of(tenant.project, &tenant.funnels)
    }

    fn parse(&self, model: &Model, body: &Body) -> Result<Request, CubeError> {
        let now: Timestamp = self.clock.now();
        let limits = Limits { default: self.config.default_limit, max: self.config.max_limit };
        query::parse(model, body, now, &limits)
    }

    async fn fetch(
        &self,
        tenant: i64,
        model: &NumberedModel,
        request: &Request,
        compiled: &[Compiled],
        deadline: Instant,
    ) -> Result<Vec<Fetched>, Failure> {
        let fetching = request.queries.iter().zip(compiled).map(|(query, compiled)| {
            self.executor.fetch(tenant, model.number, compiled, query.cache, deadline)
        });
        try_join_all(fetching).await.map_err(|no_rows| match no_rows {
            NoRows::StillRunning => Failure::ContinueWait,
            NoRows::Failed(error) => Failure::Warehouse(error),
        })
    }
}

fn read_secret(config: &CubeConfig) -> Result<Vec<u8>, CubeSetupError> {
    if config.api_secret_file.is_empty() {
        return Ok(config.api_secret.clone().into_bytes());
    }
    let path = config.api_secret_file.clone();
    let text = std::fs::read(&path).map_err(|error| CubeSetupError::Secret { path, error })?;
    Ok(text.trim_ascii().to_vec())
}
