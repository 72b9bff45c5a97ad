//! Queries: parsed as Cube 1.7 checks them, normalized, their members and dates found. What comes out compiles without
//! further questions about its form.

mod date;
mod dry_run;
mod english;
mod filters;
mod format;
mod js;
mod loose_date;
mod members;
mod pivot;
mod relative;
mod request;
#[cfg(test)]
mod tests;
mod time_zone;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use crate::CubeError;

pub use dry_run::dry_run;
pub use pivot::{default_order, pivot_query};
pub use request::parse;

/// What the HTTP layer hands over: the parameters of a request as they were sent.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// An object, an array of objects (blending), or either as JSON in a string.
    pub query: Option<Value>,
    /// `cache` beside the query: wins over the query's own.
    pub cache: Option<Value>,
    /// The client reads one result only (a load without `queryType`): comparison and blending are refused.
    pub single: bool,
}

/// How many rows one query may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Without a `limit`.
    pub default: u64,
    /// At most.
    pub max: u64,
}

/// What one request asks: one query, or several that belong together.
#[derive(Clone, Debug)]
pub struct Request {
    pub kind: QueryKind,
    /// One for a regular query; one a range for compareDateRange, perhaps none; one a part for blending.
    pub queries: Vec<Query>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    Regular,
    CompareDateRange,
    Blending,
}

impl QueryKind {
    /// The `queryType` of answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regularQuery",
            Self::CompareDateRange => "compareDateRangeQuery",
            Self::Blending => "blendingQuery",
        }
    }
}

/// A normalized query. Every id is that of a member of the model, of the right kind.
#[derive(Clone, Debug)]
pub struct Query {
    pub measures: Vec<String>,
    pub dimensions: Vec<String>,
    pub segments: Vec<String>,
    pub time_dimensions: Vec<TimeDimension>,
    pub filters: Vec<Filter>,
    /// As sent; `None` asks for the default order, an empty list for none. May name members that are not selected.
    pub order: Option<Vec<Order>>,
    pub limit: u64,
    pub offset: Option<u64>,
    pub total: bool,
    pub ungrouped: bool,
    pub response_format: ResponseFormat,
    /// As the query wrote it; the answer repeats it.
    pub timezone: String,
    pub zone: TimeZone,
    pub cache: CacheMode,
    /// The query as the answer repeats it (`results[].query`), before `queryType` is added.
    pub normalized: Map<String, Value>,
    /// What Cube leaves to the database to refuse: dates that are none. `/dry-run` shows such a query all the same, a load
    /// must answer with this; ranges and filters that can't be read are missing above.
    pub refusal: Option<CubeError>,
}

/// A time dimension: grouped by when it has a granularity, filtered by when it has a range.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeDimension {
    pub dimension: String,
    /// As the query wrote it (`day`, `Day`); answers repeat it.
    pub granularity: Option<String>,
    pub range: Option<DateRange>,
}

/// Both ends belong to the range. Civil times of the query's zone with milliseconds, and the instants they are.
#[derive(Clone, Debug, PartialEq)]
pub struct DateRange {
    /// `2026-11-02T00:00:00.000`.
    pub labels: [String; 2],
    pub from: Timestamp,
    pub to: Timestamp,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// `Cube.member`, or `Cube.time.granularity`.
    pub id: String,
    pub descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResponseFormat {
    #[default]
    Default,
    Compact,
    Columnar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CacheMode {
    #[default]
    StaleIfSlow,
    StaleWhileRevalidate,
    MustRevalidate,
    NoCache,
}

/// A condition. Empty groups are gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    Member {
        member: String,
        operator: Operator,
        values: Vec<Option<String>>,
    },
    /// A date filter with its dates found: `InDateRange` and `NotInDateRange` have a range, the others an instant, which is
    /// the one that the operator compares with.
    Range {
        member: String,
        negated: bool,
        range: DateRange,
    },
    Instant {
        member: String,
        comparison: Comparison,
        instant: Timestamp,
    },
    And(Vec<Filter>),
    Or(Vec<Filter>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Before,
    BeforeOrAt,
    After,
    AtOrAfter,
}

/// The operators whose values are compared as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Equals,
    NotEquals,
    Contains,
    NotContains,
    StartsWith,
    NotStartsWith,
    EndsWith,
    NotEndsWith,
    In,
    NotIn,
    Gt,
    Gte,
    Lt,
    Lte,
    Set,
    NotSet,
    MeasureFilter,
}
