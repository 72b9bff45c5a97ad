//! Why a Cube query has no answer, in Cube's own words. How a status and body are made of it is `http`'s business.

use crate::warehouse::WarehouseError;

/// A refused or failed Cube query. Texts are Cube's (contract: its own and its planner's messages).
#[derive(Debug, thiserror::Error)]
pub enum CubeError {
    /// The query object breaks the format; names the path of the first offending field.
    #[error("Invalid query format: {0}")]
    Format(String),
    /// Nothing is asked for.
    #[error(
        "Query should contain either measures, dimensions or timeDimensions with granularities in order to be valid"
    )]
    Empty,
    /// No query was sent.
    #[error("Query param is required")]
    Missing,
    /// The query was sent as a text that isn't JSON.
    #[error("Unable to decode query param as JSON, error: {0}")]
    NotJson(String),
    /// The model has no such cube.
    #[error("Cube '{cube}' not found for path '{path}'")]
    UnknownCube { cube: String, path: String },
    /// The cube has no such member, or one of another kind.
    #[error("'{member}' not found for path '{path}'")]
    UnknownMember { member: String, path: String },
    /// Members of two cubes in one query; the model has no joins.
    #[error("Can't find join path to join '{0}', '{1}'")]
    NoJoin(String, String),
    /// The time dimension has no such granularity.
    #[error("Granularity \"{granularity}\" does not exist in dimension {dimension}")]
    UnknownGranularity { granularity: String, dimension: String },
    /// A date that isn't one.
    #[error("Can't parse date: '{0}'")]
    Date(String),
    /// A filter without the values that its operator needs; the filter as JSON.
    #[error("Values required for filter: {0}")]
    ValuesRequired(String),
    /// More filter values than one query may have.
    #[error("Invalid query format: \"filters\" must contain less than or equal to {0} values")]
    TooManyValues(usize),
    /// The filter values are longer than one query may carry, in bytes.
    #[error("Invalid query format: the values of \"filters\" must be less than or equal to {0} bytes long")]
    ValuesTooLong(usize),
    /// A filter's value doesn't fit its member's type.
    #[error("Can't use '{value}' as a {kind} in a filter on {member}")]
    FilterValue { value: String, kind: &'static str, member: String },
    /// An operator that the member's type doesn't have.
    #[error("Operator {operator} can't be used on {member}")]
    Operator { operator: String, member: String },
    /// Measures and dimensions under one `and` or `or`; the condition as JSON.
    #[error("You cannot use dimension and measure in same condition: {0}")]
    MixedCondition(String),
    /// More rows asked for than allowed.
    #[error("Error: The query limit has been exceeded.")]
    LimitExceeded,
    /// ClickHouse gave no answer.
    #[error("Error: {0}")]
    Warehouse(#[from] WarehouseError),
}
