//! From a normalized query to ClickHouse SQL with bound parameters. The project that asks is a parameter of every cube's
//! rows, put there by this module alone.

mod answer;
mod filter;
mod granularity;
mod joins;
mod members;
mod output;
mod rollup;
mod select;
mod source;
#[cfg(test)]
mod tests;
mod writer;

use tally_store::Statement;

use self::joins::JoinTree;
use self::select::Selection;
use crate::model::Cube;
use crate::query::Query;
use crate::{CubeError, Model};

pub use answer::sql;
pub(crate) use granularity::Granularity;
pub(crate) use members::{aggregates_of, filter_ids, is_on_groups, references};
pub use rollup::{projection, projections};

/// The SQL of a query, for the rows of the project `tenant` alone.
pub fn compile(model: &Model, query: &Query, tenant: i64) -> Result<Compiled, CubeError> {
    match &query.refusal {
        Some(refusal) => Err(refusal.clone()),
        None => Selection::of(model, query, tenant)?.compile(),
    }
}

/// What the planner refuses although every member exists: cubes that no path of joins connects.
pub fn check_joins(model: &Model, query: &Query) -> Result<(), CubeError> {
    JoinTree::of(model, query).map(|_| ())
}

/// The cubes that answer a query, those among them that only lie on a join's path.
pub(crate) fn joined_cubes<'m>(model: &'m Model, query: &Query) -> Result<Vec<&'m Cube>, CubeError> {
    Ok(JoinTree::of(model, query)?.cubes().collect())
}

/// Whether a join repeats rows that a measure of the query is taken over, so that it is computed apart.
pub fn has_multiplied_measures(model: &Model, query: &Query) -> Result<bool, CubeError> {
    let tree = JoinTree::of(model, query)?;
    Ok(query.measures.iter().any(|id| tree.multiplies(members::cube_name(id))))
}

/// A projection of a table: what `ALTER TABLE table ADD PROJECTION name (sql)` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The cube and the pre-aggregation that declare it.
    pub cube: String,
    pub pre_aggregation: String,
    /// As the model writes it, perhaps with its database.
    pub table: String,
    /// Begins with [`PROJECTION_PREFIX`], ends with a hash of `sql`.
    pub name: String,
    /// A SELECT without FROM.
    pub sql: String,
}

/// What the names of all projections begin with that are made of a model.
pub const PROJECTION_PREFIX: &str = "cube_";

/// A query as SQL.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The rows of the answer; every column is a text or null, in the order of `columns`.
    pub rows: Statement,
    /// How many rows there are without limit and offset, where the query asks for the total.
    pub total: Option<Statement>,
    pub columns: Vec<Column>,
    /// Pre-aggregations that answer it.
    pub pre_aggregations: Vec<UsedPreAggregation>,
    /// Every table that it reads, with its database where the model names one: what a cached answer depends on. Empty for
    /// a model's own SELECT whose tables nobody knows.
    pub tables: Vec<String>,
}

/// A column of the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The key in the answer: `Cube.member` or `Cube.time.granularity`.
    pub key: String,
    /// The plain name that a grouped time dimension's value stands under, too, if this column is the one to take it from.
    pub also: Option<String>,
    /// The name in SQL.
    pub alias: String,
}

/// A pre-aggregation and its projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedPreAggregation {
    pub cube: String,
    pub name: String,
    pub table: String,
    pub projection: String,
}
