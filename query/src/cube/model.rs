//! The data model: cubes with their measures, dimensions and segments, ready to compile. Every identifier and every piece
//! of SQL that a compiled query holds comes from here. `model_file` reads and checks the YAML it is made of.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::CubeError;

/// All cubes, by name.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) cubes: BTreeMap<String, Cube>,
}

/// A table and what can be asked of it. SQL fragments are complete: `{CUBE}` is resolved to the table's alias.
#[derive(Clone, Debug)]
pub(super) struct Cube {
    pub name: String,
    pub table: String,
    pub alias: String,
    /// The column that says which project a row belongs to.
    pub tenant_column: String,
    pub measures: Vec<Measure>,
    pub dimensions: Vec<Dimension>,
    pub segments: Vec<Segment>,
}

/// What annotations say about a member.
#[derive(Clone, Debug)]
pub(super) struct Label {
    /// `Cube.member`.
    pub id: String,
    pub title: String,
    pub short_title: String,
    pub description: Option<String>,
    pub format: Option<String>,
    pub meta: Option<Value>,
}

/// An aggregate over rows.
#[derive(Clone, Debug)]
pub(super) struct Measure {
    pub label: Label,
    pub aggregate: Aggregate,
    /// Ids of the members to drill down by.
    pub drill_members: Vec<String>,
}

/// An aggregate with its argument; a measure's own filters are already inside the argument.
#[derive(Clone, Debug)]
pub(super) enum Aggregate {
    /// Rows, or the non-null values of an expression.
    Count(Option<String>),
    CountDistinct(String),
    CountDistinctApprox(String),
    Sum(String),
    Avg(String),
    Min(String),
    Max(String),
}

/// Something to group and filter by.
#[derive(Clone, Debug)]
pub(super) struct Dimension {
    pub label: Label,
    pub sql: String,
    pub kind: DimensionKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DimensionKind {
    String,
    Number,
    Boolean,
    Time,
}

/// A named condition.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub label: Label,
    pub sql: String,
}

/// What a member id names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member<'m> {
    Measure(&'m Measure),
    Dimension(&'m Dimension),
}

impl DimensionKind {
    /// The type's name in models and annotations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Time => "time",
        }
    }
}

impl Model {
    /// The cube that `id` (`Cube.member`, perhaps with more parts) starts with.
    pub(super) fn cube_of(&self, id: &str) -> Result<&Cube, CubeError> {
        let name = id.split('.').next().unwrap_or(id);
        self.cubes
            .get(name)
            .ok_or_else(|| CubeError::UnknownCube { cube: name.to_owned(), path: id.to_owned() })
    }

    pub(super) fn measure(&self, id: &str) -> Result<&Measure, CubeError> {
        let cube = self.cube_of(id)?;
        cube.measures.iter().find(|measure| measure.label.id == id).ok_or_else(|| unknown_member(id))
    }

    pub(super) fn dimension(&self, id: &str) -> Result<&Dimension, CubeError> {
        let cube = self.cube_of(id)?;
        cube.dimensions.iter().find(|dimension| dimension.label.id == id).ok_or_else(|| unknown_member(id))
    }

    pub(super) fn segment(&self, id: &str) -> Result<&Segment, CubeError> {
        let cube = self.cube_of(id)?;
        cube.segments.iter().find(|segment| segment.label.id == id).ok_or_else(|| unknown_member(id))
    }

    /// The measure or dimension that a filter names.
    pub(super) fn member(&self, id: &str) -> Result<Member<'_>, CubeError> {
        self.measure(id).map(Member::Measure).or_else(|_| self.dimension(id).map(Member::Dimension))
    }
}

fn unknown_member(id: &str) -> CubeError {
    let member = id.split_once('.').map_or(id, |(_, member)| member);
    CubeError::UnknownMember { member: member.to_owned(), path: id.to_owned() }
}
