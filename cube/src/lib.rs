//! Cube's data model and query language over ClickHouse, without I/O but for reading model files: a [`Model`] is read from
//! YAML and checked, a [`query::Request`] is parsed, checked against the model and normalized, and [`compile`] makes
//! SQL with bound parameters of it. Who asks, how the SQL is run and what travels over HTTP is another crate's affair.

pub mod compile;
mod error;
pub mod model;
pub mod query;

pub use error::CubeError;
pub use model::Model;
