//! From a normalized query to ClickHouse SQL with bound parameters. The project that asks is a parameter of every cube's
//! rows, put there by this module alone.

use tally_store::Statement;

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
