//! Reads a data model from Cube's YAML and checks it on the way: a model that loads compiles. Supported are `sql_table`,
//! segments, dimensions and the plain aggregates; anything else is an error that names cube and member.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::model::{Aggregate, Cube, Dimension, DimensionKind, Label, Measure, Model, Segment};
use super::title::titleize;

/// The model that is part of Tally.
const BUILT_IN: &str = include_str!("../../../schemas/cubes/tracked_events.yml");

/// Why a model can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not YAML, an unknown key, or a value of the wrong type; the text names line and column.
    #[error("data model: {0}")]
    Syntax(#[from] serde_yaml_ng::Error),
    /// A cube or member that can't be compiled.
    #[error("data model: {path}: {reason}")]
    Invalid { path: String, reason: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    cubes: Vec<CubeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CubeEntry {
    name: String,
    sql_table: String,
    title: Option<String>,
    meta: CubeMeta,
    #[serde(default)]
    segments: Vec<SegmentEntry>,
    #[serde(default)]
    measures: Vec<MeasureEntry>,
    #[serde(default)]
    dimensions: Vec<DimensionEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CubeMeta {
    tenant_column: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SegmentEntry {
    name: String,
    sql: String,
    title: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureEntry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    sql: Option<String>,
    #[serde(default)]
    filters: Vec<MeasureFilter>,
    #[serde(default)]
    drill_members: Vec<String>,
    title: Option<String>,
    description: Option<String>,
    format: Option<String>,
    meta: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MeasureFilter {
    sql: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "primary_key and public are Cube's; no query of this endpoint depends on them")]
struct DimensionEntry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    sql: String,
    #[serde(default)]
    primary_key: bool,
    #[serde(default)]
    public: bool,
    title: Option<String>,
    description: Option<String>,
    format: Option<String>,
    meta: Option<Value>,
}

impl Model {
    /// Tally's own model: the cube `TrackedEvents`.
    ///
    /// # Panics
    /// Never: a test loads it.
    pub fn built_in() -> Self {
        Self::parse(BUILT_IN).expect("the built-in model is valid")
    }

    /// Reads a model from YAML text.
    pub fn parse(yaml: &str) -> Result<Self, ModelError> {
        let file: ModelFile = serde_yaml_ng::from_str(yaml)?;
        let mut cubes = BTreeMap::new();
        for entry in file.cubes {
            let cube = cube(entry)?;
            if let Some(earlier) = cubes.insert(cube.name.clone(), cube) {
                return Err(invalid(&earlier.name, "a second cube of this name"));
            }
        }
        Ok(Self { cubes })
    }
}

fn cube(entry: CubeEntry) -> Result<Cube, ModelError> {
    identifier(&entry.name, &entry.name)?;
    entry.sql_table.split('.').try_for_each(|part| identifier(&entry.name, part))?;
    identifier(&entry.name, &entry.meta.tenant_column)?;
    let context = Context {
        alias: snake_case(&entry.name),
        title: entry.title.unwrap_or_else(|| titleize(&entry.name)),
        cube: entry.name,
    };
    let measures =
        entry.measures.into_iter().map(|measure| context.measure(measure)).collect::<Result<_, _>>()?;
    let dimensions =
        entry.dimensions.into_iter().map(|entry| context.dimension(entry)).collect::<Result<_, _>>()?;
    let segments =
        entry.segments.into_iter().map(|segment| context.segment(segment)).collect::<Result<_, _>>()?;
    let cube = Cube {
        name: context.cube,
        table: entry.sql_table,
        alias: context.alias,
        tenant_column: entry.meta.tenant_column,
        measures,
        dimensions,
        segments,
    };
    no_name_twice(&cube)?;
    Ok(cube)
}

/// What a cube's members need to know of it.
struct Context {
    cube: String,
    alias: String,
    title: String,
}

impl Context {
    fn measure(&self, entry: MeasureEntry) -> Result<Measure, ModelError> {
        let path = self.path(&entry.name);
        let argument = entry.sql.as_deref().map(|sql| self.sql(&path, sql)).transpose()?;
        let filters =
            entry.filters.iter().map(|filter| self.sql(&path, &filter.sql)).collect::<Result<Vec<_>, _>>()?;
        let argument = filtered(argument, &filters);
        let needed = || argument.clone().ok_or_else(|| invalid(&path, "sql is missing"));
        let aggregate = match entry.kind.as_str() {
            "count" => Aggregate::Count(argument.clone()),
            "count_distinct" => Aggregate::CountDistinct(needed()?),
            "count_distinct_approx" => Aggregate::CountDistinctApprox(needed()?),
            "sum" => Aggregate::Sum(needed()?),
            "avg" => Aggregate::Avg(needed()?),
            "min" => Aggregate::Min(needed()?),
            "max" => Aggregate::Max(needed()?),
            other => return Err(invalid(&path, &format!("measures of type {other} are not supported"))),
        };
        let drill_members =
            entry.drill_members.iter().map(|member| format!("{}.{member}", self.cube)).collect();
        let label = self.label(&entry.name, entry.title, entry.description, entry.format, entry.meta)?;
        Ok(Measure { label, aggregate, drill_members })
    }

    fn dimension(&self, entry: DimensionEntry) -> Result<Dimension, ModelError> {
        let path = self.path(&entry.name);
        let kind = match entry.kind.as_str() {
            "string" => DimensionKind::String,
            "number" => DimensionKind::Number,
            "boolean" => DimensionKind::Boolean,
            "time" => DimensionKind::Time,
            other => return Err(invalid(&path, &format!("dimensions of type {other} are not supported"))),
        };
        let label = self.label(&entry.name, entry.title, entry.description, entry.format, entry.meta)?;
        Ok(Dimension { label, sql: self.sql(&path, &entry.sql)?, kind })
    }

    fn segment(&self, entry: SegmentEntry) -> Result<Segment, ModelError> {
        let sql = self.sql(&self.path(&entry.name), &entry.sql)?;
        Ok(Segment { label: self.label(&entry.name, entry.title, None, None, None)?, sql })
    }

    fn label(
        &self,
        name: &str,
        title: Option<String>,
        description: Option<String>,
        format: Option<String>,
        meta: Option<Value>,
    ) -> Result<Label, ModelError> {
        identifier(&self.path(name), name)?;
        let short_title = title.unwrap_or_else(|| titleize(name));
        let title = format!("{} {short_title}", self.title);
        Ok(Label { id: self.path(name), title, short_title, description, format, meta })
    }

    /// `sql` with `{CUBE}` replaced by the table's alias; other references are refused.
    fn sql(&self, path: &str, sql: &str) -> Result<String, ModelError> {
        let resolved = sql.replace("{CUBE}", &format!("`{}`", self.alias));
        if resolved.contains(['{', '}']) {
            return Err(invalid(path, "sql may refer to {CUBE} only"));
        }
        Ok(resolved)
    }

    fn path(&self, member: &str) -> String {
        format!("{}.{member}", self.cube)
    }
}

/// A measure's argument where its filters hold, null elsewhere; aggregates skip nulls.
fn filtered(argument: Option<String>, filters: &[String]) -> Option<String> {
    if filters.is_empty() {
        return argument;
    }
    let condition = filters.iter().map(|filter| format!("({filter})")).collect::<Vec<_>>().join(" AND ");
    Some(format!("CASE WHEN {condition} THEN {} END", argument.as_deref().unwrap_or("1")))
}

fn no_name_twice(cube: &Cube) -> Result<(), ModelError> {
    let measures = cube.measures.iter().map(|measure| &measure.label.id);
    let dimensions = cube.dimensions.iter().map(|dimension| &dimension.label.id);
    let segments = cube.segments.iter().map(|segment| &segment.label.id);
    let mut ids: Vec<&String> = measures.chain(dimensions).chain(segments).collect();
    ids.sort();
    match ids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(pair[0], "a second member of this name")),
        None => Ok(()),
    }
}

fn identifier(path: &str, name: &str) -> Result<(), ModelError> {
    let is_identifier = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if is_identifier { Ok(()) } else { Err(invalid(path, &format!("{name:?} is not an identifier"))) }
}

fn invalid(path: &str, reason: &str) -> ModelError {
    ModelError::Invalid { path: path.to_owned(), reason: reason.to_owned() }
}

/// `TrackedEvents` as `tracked_events`: the alias that Cube gives the table.
fn snake_case(name: &str) -> String {
    let mut alias = String::new();
    for (place, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && place > 0 {
            alias.push('_');
        }
        alias.push(letter.to_ascii_lowercase());
    }
    alias
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_has_the_tracked_events() {
        let model = Model::built_in();
        let cube = model.cube_of("TrackedEvents.count").unwrap();
        assert_eq!(
            (cube.table.as_str(), cube.alias.as_str(), cube.tenant_column.as_str()),
            ("events", "tracked_events", "project_id")
        );
        assert_eq!(model.dimension("TrackedEvents.derivedTstamp").unwrap().kind, DimensionKind::Time);
    }

    #[test]
    fn a_model_that_would_not_compile_is_refused_by_name() {
        let cube = |members: &str| {
            format!("cubes: [{{name: T, sql_table: t, meta: {{tenant_column: project_id}}, {members}}}]")
        };
        for (yaml, message) in [
            (cube("measures: [{name: a, type: rank}]"), "T.a: measures of type rank are not supported"),
            (cube("measures: [{name: a, type: sum}]"), "T.a: sql is missing"),
            (cube("measures: [{name: a, type: sum, sql: '{b} / 2'}]"), "T.a: sql may refer to {CUBE} only"),
            (
                cube("dimensions: [{name: a, type: geo, sql: a}]"),
                "T.a: dimensions of type geo are not supported",
            ),
            (cube("dimensions: [{name: a-b, type: string, sql: a}]"), "T.a-b: \"a-b\" is not an identifier"),
            (cube("dimensions: [{name: a, type: string}]"), "missing field `sql`"),
            (cube("measures: [{name: a, type: count}, {name: a, type: count}]"), "T.a: a second member"),
            (cube("joins: []"), "unknown field `joins`"),
            ("cubes: [{name: T, sql_table: t, meta: {}}]".to_owned(), "missing field `tenant_column`"),
            (
                "cubes: [{name: T, sql_table: 't; x', meta: {tenant_column: a}}]".to_owned(),
                "is not an identifier",
            ),
        ] {
            let error = Model::parse(&yaml).unwrap_err().to_string();
            assert!(error.contains(message), "{yaml}: {error}");
        }
    }
}
