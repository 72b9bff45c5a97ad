//! What the handlers share. A thin handle: cloning it is cheap.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use tally_schemas::Definitions;
use tally_service::api::{Access, BodyReader};

use crate::config::QueryConfig;
use crate::cube::Model;
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
    pub(crate) model: Model,
}

impl QueryState {
    /// Prepares everything that does not change between requests.
    pub fn new(config: QueryConfig, deps: Deps) -> Self {
        Self(Arc::new(Shared {
            warehouse: deps.warehouse,
            dictionary: Dictionary::new(Arc::clone(&deps.definitions)),
            definition_texts: MetricDefinitionTexts::new(deps.definitions),
            model: Model::built_in(),
            access: deps.access,
            bodies: BodyReader::new(config.body.clone(), deps.metrics.in_flight_bytes.clone()),
            metrics: deps.metrics,
            config,
        }))
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
