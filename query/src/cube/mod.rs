//! Cube's load endpoint over a data model: request (HTTP) -> query (parse) -> resolve (validate against the model) ->
//! compile -> execute -> render. Each step has its file; `model` holds the data model, `filter` and `date_range` the two
//! grammars inside a query.

mod annotation;
mod compile;
mod compile_filter;
mod date_range;
mod error;
mod filter;
mod gap_fill;
mod granularity;
pub(crate) mod http;
mod model;
mod model_file;
mod query;
mod render;
mod resolve;
mod title;

pub use error::CubeError;
pub use model::Model;
pub use model_file::ModelError;

use jiff::Timestamp;
use serde_json::Value;

use crate::warehouse::Warehouse;

/// Label of Cube queries in the metrics.
const PURPOSE: &str = "cube";

/// Answers one load query of the project `tenant`: Cube's bare result object (`query`, `data`, `annotation`, …) and the
/// pivot query that belongs to it.
async fn load(
    model: &Model,
    warehouse: &Warehouse,
    tenant: i64,
    query: &Value,
    now: Timestamp,
) -> Result<render::Loaded, CubeError> {
    let query = query::parse(query)?;
    let resolved = resolve::resolve(model, &query)?;
    let statement = compile::rows(&resolved, tenant);
    let rows = warehouse.texts(PURPOSE, &statement).await?;
    let total = if resolved.total { Some(total(warehouse, &resolved, tenant).await?) } else { None };
    Ok(render::render(&resolved, &rows, total, now))
}

/// How many rows the query has without its limit and offset.
async fn total(
    warehouse: &Warehouse,
    resolved: &resolve::Resolved<'_>,
    tenant: i64,
) -> Result<u64, CubeError> {
    let counted: Vec<u64> = warehouse.rows(PURPOSE, &compile::total(resolved, tenant)).await?;
    Ok(counted.first().copied().unwrap_or(0))
}
