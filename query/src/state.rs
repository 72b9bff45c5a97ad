//! What the handlers share. A thin handle: cloning it is cheap.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use tally_schemas::Definitions;
use tally_service::api::{Access, BodyReader};
use tally_store::Store;

use crate::config::QueryConfig;
use crate::cube::{CubeService, CubeSetupError};
use crate::dictionary::Dictionary;
use crate::metric_definitions::MetricDefinitionTexts;
use crate::metrics::QueryMetrics;
use crate::warehouse::Warehouse;

/// What the query service stands on; made by the process.
pub struct Deps {
    /// Event and metric definitions.
    pub definitions: Arc<Definitions>,
    /// Users, tokens and projects, and the clock.
    pub access: Access,
    /// ClickHouse.
    pub warehouse: Warehouse,
    /// What the service measures about itself.
    pub metrics: QueryMetrics,
}

/// The state of the service's router.
#[derive(Clone)]
pub struct QueryState(Arc<Shared>);

/// What [`QueryState`] points to.
pub struct Shared {
    pub(crate) config: QueryConfig,
    pub(crate) access: Access,
    pub(crate) bodies: BodyReader,
    pub(crate) warehouse: Warehouse,
    pub(crate) metrics: QueryMetrics,
    pub(crate) definition_texts: MetricDefinitionTexts,
    pub(crate) dictionary: Dictionary,
    pub(crate) cube: CubeService,
}

impl QueryState {
    /// Prepares everything that does not change between requests. Fails where a data model can't be used.
    pub fn new(config: QueryConfig, deps: Deps) -> Result<Self, CubeSetupError> {
        let cube = CubeService::new(
            config.cube.clone(),
            deps.warehouse.clone(),
            Arc::clone(&deps.access.clock),
            deps.metrics.clone(),
        )?;
        Ok(Self(Arc::new(Shared {
            cube,
            warehouse: deps.warehouse,
            dictionary: Dictionary::new(Arc::clone(&deps.definitions)),
            definition_texts: MetricDefinitionTexts::new(deps.definitions),
            access: deps.access,
            bodies: BodyReader::new(config.body.clone(), deps.metrics.in_flight_bytes.clone()),
            metrics: deps.metrics,
            config,
        })))
    }

    /// Loads the data models and the Cube API's secret again. With an error all stays as it was.
    pub fn reload_models(&self) -> Result<(), CubeSetupError> {
        self.cube.reload()
    }

    /// Gives the tables the projections that the data models' pre-aggregations stand for; for after a start or a reload, beside
    /// serving.
    pub async fn ensure_projections(&self, store: &Store) {
        self.cube.ensure_projections(store).await;
    }
}

impl Deref for QueryState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<QueryState> for Access {
    fn from_ref(state: &QueryState) -> Self {
        state.access.clone()
    }
}
