//! The data model: cubes with their measures, dimensions, segments and joins, every reference found, ready to compile. Every
//! identifier and every piece of SQL text in a compiled query comes from here, never from a request.

pub mod funnel;

mod annotation;
mod check;
mod error;
mod format;
mod joins;
mod load;
mod lookup;
mod meta;
mod names;
mod places;
mod read_cube;
mod read_member;
mod sql;
#[cfg(test)]
mod tests;
mod title;
mod yaml;

use serde_json::Value;

pub use annotation::annotation;
pub use error::{ModelError, ModelErrors};
pub use funnel::{Funnel, funnel_cubes};
pub use load::Ownership;
pub use lookup::Member;
pub use meta::meta;
pub use title::underscore;

/// The cubes that one reader can ask, in the order of their files.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub cubes: Vec<Cube>,
}

/// Rows and what can be asked of them.
#[derive(Clone, Debug)]
pub struct Cube {
    pub name: String,
    /// The name of its rows in SQL: the cube's name in snake case.
    pub alias: String,
    pub title: String,
    pub description: Option<String>,
    pub public: bool,
    pub meta: Option<Value>,
    pub source: Source,
    pub tenant: Tenant,
    pub measures: Vec<Measure>,
    pub dimensions: Vec<Dimension>,
    pub segments: Vec<Segment>,
    pub joins: Vec<Join>,
    pub pre_aggregations: Vec<PreAggregation>,
    pub hierarchies: Vec<Hierarchy>,
    /// The file that declares it, relative to its folder.
    pub file: String,
}

/// Where a cube's rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `sql_table`, perhaps with its database.
    Table(String),
    /// `sql`: a SELECT.
    Select(Sql),
}

/// How a cube's rows are kept to the project that asks. The compiler adds the condition; no query can leave it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// The column of the source that holds the project's id (`meta.tenant_column`).
    Column(String),
    /// The source's SELECT names `{TENANT}` wherever it needs the project's id.
    InSource,
    /// All rows belong to this project: the model is that project's own.
    Project(i64),
}

/// SQL text with its references found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sql(pub Vec<Piece>);

/// A piece of SQL text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    /// `{CUBE}` or `{Other}`: the rows of the cube of that name.
    Cube(String),
    /// `{member}`, `{CUBE.member}` or `{Other.member}`: the member's own SQL; the id is `Cube.member`.
    Member(String),
    /// `{TENANT}`: the id of the project that asks, as a bound parameter.
    Tenant,
    /// A text that somebody typed, such as the path of a funnel's step: a bound parameter, never SQL. Model files have none.
    Value(String),
}

/// What the answers say about a member.
#[derive(Clone, Debug)]
pub struct Label {
    /// `Cube.member`.
    pub id: String,
    pub title: String,
    pub short_title: String,
    pub description: Option<String>,
    /// As answers show it: a name, or an object for a link or a d3 format.
    pub format: Option<Value>,
    pub meta: Option<Value>,
    pub public: bool,
}

/// An aggregate over rows, or SQL over other measures.
#[derive(Clone, Debug)]
pub struct Measure {
    pub label: Label,
    pub kind: MeasureKind,
    /// The argument; only a count may go without.
    pub sql: Option<Sql>,
    /// Conditions on the rows that count.
    pub filters: Vec<Sql>,
    /// Ids of the members to drill down by.
    pub drill_members: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureKind {
    Count,
    CountDistinct,
    CountDistinctApprox,
    Sum,
    Avg,
    Min,
    Max,
    /// The SQL is the whole expression: aggregates of its own, or other measures.
    Number,
    Time,
    String,
    Boolean,
}

/// Something to group and filter by.
#[derive(Clone, Debug)]
pub struct Dimension {
    pub label: Label,
    pub kind: DimensionKind,
    pub expression: Expression,
    pub primary_key: bool,
    pub suggest_filter_values: bool,
}

/// What a dimension's value is computed by.
#[derive(Clone, Debug)]
pub enum Expression {
    Sql(Sql),
    /// The first case that holds, else the default.
    Case {
        when: Vec<(Sql, CaseLabel)>,
        otherwise: CaseLabel,
    },
    /// `latitude,longitude`.
    Geo {
        latitude: Sql,
        longitude: Sql,
    },
}

/// What a case stands for: a fixed text, or SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseLabel {
    Text(String),
    Sql(Sql),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DimensionKind {
    String,
    Number,
    Boolean,
    Time,
    Geo,
}

/// A named condition on rows.
#[derive(Clone, Debug)]
pub struct Segment {
    pub label: Label,
    pub sql: Sql,
}

/// How a cube's rows meet another's.
#[derive(Clone, Debug)]
pub struct Join {
    /// The other cube's name.
    pub to: String,
    pub relationship: Relationship,
    pub sql: Sql,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relationship {
    OneToOne,
    OneToMany,
    ManyToOne,
}

/// Dimensions from coarse to fine.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    pub name: String,
    pub title: Option<String>,
    pub public: bool,
    /// Ids.
    pub levels: Vec<String>,
}

/// A rollup that ClickHouse keeps: a projection of the cube's table, grouped by dimensions and time.
#[derive(Clone, Debug)]
pub struct PreAggregation {
    pub name: String,
    /// Ids.
    pub measures: Vec<String>,
    pub dimensions: Vec<String>,
    pub segments: Vec<String>,
    /// The id of the time dimension and the granularity of its buckets (`hour`, `day`, ...), UTC.
    pub time: Option<(String, String)>,
}
