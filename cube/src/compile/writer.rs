//! Writes the SQL of members. Text and identifiers come from the model; whatever a query or a person typed is bound.

use std::collections::HashMap;

use tally_store::{Parameter, Statement};

use crate::CubeError;
use crate::Model;
use crate::model::{CaseLabel, Cube, Dimension, Expression, Measure, MeasureKind, Member, Piece, Sql};

/// References to members are followed this deep; a model whose references form no cycle stays far below it.
const MAX_DEPTH: usize = 64;

/// What a measure stands for where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Measures {
    /// An aggregate over the rows of its cube, each of which is there once; `counted_by_key` names cubes whose rows may be
    /// missing beside another's, so that their primary key has to be counted.
    Aggregated { counted_by_key: Vec<String> },
    /// Its value for one row.
    PerRow,
    /// Columns that hold measures already; other measures are computed of these.
    Columns(HashMap<String, String>),
}

/// How the cubes' rows are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Each cube's rows have its alias.
    Aliased,
    /// There is one table, whose columns stand alone; so it must be inside of a projection.
    Bare,
}

/// A statement in the making.
pub(super) struct Writer<'m> {
    pub model: &'m Model,
    pub measures: Measures,
    rows: Rows,
    tenant: i64,
    statement: Statement,
    /// Placeholders by value and type: what is written twice is bound once, so that ClickHouse sees the same expression.
    placeholders: HashMap<String, String>,
    depth: usize,
}

impl<'m> Writer<'m> {
    pub fn new(model: &'m Model, tenant: i64, rows: Rows) -> Self {
        let measures = Measures::Aggregated { counted_by_key: Vec::new() };
        Self {
            model,
            measures,
            rows,
            tenant,
            statement: Statement::default(),
            placeholders: HashMap::new(),
            depth: 0,
        }
    }

    /// The statement of this text and of all that was bound for it.
    pub fn finish(self, sql: String) -> Statement {
        Statement { sql, ..self.statement }
    }

    pub fn bind(&mut self, value: Parameter, kind: &str) -> String {
        let key = format!("{kind} {value:?}");
        if let Some(placeholder) = self.placeholders.get(&key) {
            return placeholder.clone();
        }
        let placeholder = self.statement.bind(value, kind);
        self.placeholders.insert(key, placeholder.clone());
        placeholder
    }

    pub fn bind_text(&mut self, text: &str) -> String {
        self.bind(Parameter::Text(text.to_owned()), "String")
    }

    /// The project that asks.
    pub fn tenant(&mut self) -> String {
        self.bind(Parameter::Integer(self.tenant), "Int64")
    }

    pub fn is_project(&self, project: i64) -> bool {
        self.tenant == project
    }

    /// SQL of the model as `cube` writes it. A name alone is a column of the cube's rows.
    pub fn sql(&mut self, cube: &Cube, sql: &Sql) -> Result<String, CubeError> {
        if let [Piece::Text(text)] = sql.0.as_slice()
            && is_identifier(text.trim())
        {
            let column = quoted(text.trim());
            return Ok(match self.rows {
                Rows::Aliased => format!("{}.{column}", quoted(&cube.alias)),
                Rows::Bare => column,
            });
        }
        self.text(cube, sql)
    }

    /// SQL of the model with its references written out.
    pub fn text(&mut self, cube: &Cube, sql: &Sql) -> Result<String, CubeError> {
        let mut written = String::new();
        let mut follows_bare_cube = false;
        for piece in &sql.0 {
            let after_cube = std::mem::take(&mut follows_bare_cube);
            match piece {
                Piece::Text(text) if after_cube => {
                    let column = text.strip_prefix('.').ok_or_else(|| not_bare(cube))?;
                    written.push_str(column);
                }
                _ if after_cube => return Err(not_bare(cube)),
                Piece::Text(text) => written.push_str(text),
                Piece::Cube(_) if self.rows == Rows::Bare => follows_bare_cube = true,
                Piece::Cube(name) => written.push_str(&quoted(&self.cube(name)?.alias)),
                Piece::Member(id) => written.push_str(&self.member(id)?),
                Piece::Tenant => written.push_str(&self.tenant()),
                Piece::Value(text) => written.push_str(&self.bind_text(text)),
            }
        }
        if follows_bare_cube {
            return Err(not_bare(cube));
        }
        // A comment at the end must not reach into what follows.
        if written.contains("--") {
            written.push('\n');
        }
        Ok(written)
    }

    fn cube(&self, name: &str) -> Result<&'m Cube, CubeError> {
        self.model.cube_of(name)
    }

    fn member(&mut self, id: &str) -> Result<String, CubeError> {
        if self.depth >= MAX_DEPTH {
            return Err(CubeError::Internal(format!("Error: references of '{id}' are too deep")));
        }
        self.depth += 1;
        let model = self.model;
        let written = if let Ok(segment) = model.segment(id) {
            self.sql(model.cube_of(id)?, &segment.sql)
        } else {
            match model.member(id)? {
                Member::Measure(measure) => self.measure(measure),
                Member::Dimension(dimension) => self.dimension(dimension),
            }
        };
        self.depth -= 1;
        Ok(format!("({})", written?))
    }

    /// A dimension's value for a row.
    pub fn dimension(&mut self, dimension: &Dimension) -> Result<String, CubeError> {
        let cube = self.cube(&dimension.label.id)?;
        match &dimension.expression {
            Expression::Sql(sql) => self.sql(cube, sql),
            Expression::Geo { latitude, longitude } => {
                let (latitude, longitude) = (self.sql(cube, latitude)?, self.sql(cube, longitude)?);
                Ok(format!("concat(toString({latitude}), ',', toString({longitude}))"))
            }
            Expression::Case { when, otherwise } => {
                let mut cases = Vec::new();
                for (condition, label) in when {
                    let (condition, label) = (self.sql(cube, condition)?, self.case_label(cube, label)?);
                    cases.push(format!("WHEN ({condition}) THEN {label}"));
                }
                let otherwise = self.case_label(cube, otherwise)?;
                Ok(format!("CASE {} ELSE {otherwise} END", cases.join(" ")))
            }
        }
    }

    fn case_label(&mut self, cube: &Cube, label: &CaseLabel) -> Result<String, CubeError> {
        match label {
            CaseLabel::Text(text) => Ok(literal(text)),
            CaseLabel::Sql(sql) => self.sql(cube, sql),
        }
    }

    /// A measure's value for a group, or for a row, or out of the columns that hold it.
    pub fn measure(&mut self, measure: &Measure) -> Result<String, CubeError> {
        let cube = self.cube(&measure.label.id)?;
        if let Measures::Columns(columns) = &self.measures
            && let Some(column) = columns.get(&measure.label.id)
        {
            return Ok(column.clone());
        }
        let argument = match &measure.sql {
            Some(sql) => Some(self.sql(cube, sql)?),
            None => None,
        };
        let condition = self.conditions(cube, &measure.filters)?;
        if self.measures == Measures::PerRow {
            return self.row_value(cube, measure, argument, condition);
        }
        match (aggregate(measure.kind), argument) {
            (Some(_), None) => {
                let counted = self.counted_key(cube)?;
                Ok(call("count", counted.as_deref(), condition.as_deref()))
            }
            (Some(function), argument) => Ok(call(function, argument.as_deref(), condition.as_deref())),
            (None, argument) => Ok(conditional(argument.unwrap_or_default(), condition.as_deref())),
        }
    }

    /// What a measure's own filters ask of a row.
    pub fn conditions(&mut self, cube: &Cube, filters: &[Sql]) -> Result<Option<String>, CubeError> {
        let mut written = Vec::new();
        for filter in filters {
            written.push(format!("({})", self.sql(cube, filter)?));
        }
        Ok((!written.is_empty()).then(|| written.join(" AND ")))
    }

    /// As Cube 1.7 does: counts are 1 for a row that counts, the rest is its argument.
    fn row_value(
        &mut self,
        cube: &Cube,
        measure: &Measure,
        argument: Option<String>,
        condition: Option<String>,
    ) -> Result<String, CubeError> {
        let counts = matches!(
            measure.kind,
            MeasureKind::Count | MeasureKind::CountDistinct | MeasureKind::CountDistinctApprox
        );
        if !counts {
            return Ok(conditional(argument.unwrap_or_default(), condition.as_deref()));
        }
        let counted = match argument {
            Some(argument) => Some(argument),
            None => cube.primary_key().next().map(|key| self.dimension(key)).transpose()?,
        };
        let mut conditions: Vec<String> = condition.into_iter().collect();
        conditions.extend(counted.map(|sql| format!("({sql}) IS NOT NULL")));
        let condition = (!conditions.is_empty()).then(|| conditions.join(" AND "));
        Ok(conditional("1".to_owned(), condition.as_deref()))
    }

    /// What to count where a cube's rows may be missing.
    fn counted_key(&mut self, cube: &Cube) -> Result<Option<String>, CubeError> {
        let by_key = match &self.measures {
            Measures::Aggregated { counted_by_key } => counted_by_key.contains(&cube.name),
            _ => false,
        };
        if !by_key {
            return Ok(None);
        }
        let key = cube.primary_key().next().ok_or_else(|| no_primary_key(cube))?;
        self.dimension(key).map(Some)
    }
}

/// Joins need to tell a cube's rows apart.
pub(super) fn no_primary_key(cube: &Cube) -> CubeError {
    CubeError::User(format!("One or more Primary key is required for '{}' cube", cube.name))
}

fn not_bare(cube: &Cube) -> CubeError {
    CubeError::Internal(format!("Error: SQL of '{}' needs the name of its rows", cube.name))
}

/// The aggregate function of a kind of measure; over no rows null, but for counts. `None` for SQL that aggregates itself.
fn aggregate(kind: MeasureKind) -> Option<&'static str> {
    match kind {
        MeasureKind::Count => Some("count"),
        MeasureKind::CountDistinct => Some("uniqExact"),
        MeasureKind::CountDistinctApprox => Some("uniqCombined64"),
        MeasureKind::Sum => Some("sumOrNull"),
        MeasureKind::Avg => Some("avgOrNull"),
        MeasureKind::Min => Some("minOrNull"),
        MeasureKind::Max => Some("maxOrNull"),
        MeasureKind::Number | MeasureKind::Time | MeasureKind::String | MeasureKind::Boolean => None,
    }
}

fn call(function: &str, argument: Option<&str>, condition: Option<&str>) -> String {
    match (argument, condition) {
        (None, None) => format!("{function}()"),
        (Some(argument), None) => format!("{function}({argument})"),
        (None, Some(condition)) => format!("{function}If({condition})"),
        (Some(argument), Some(condition)) => format!("{function}If({argument}, {condition})"),
    }
}

fn conditional(sql: String, condition: Option<&str>) -> String {
    match condition {
        Some(condition) => format!("CASE WHEN {condition} THEN {sql} END"),
        None => sql,
    }
}

/// A name of the model between backquotes.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text of the model as a string literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub(super) fn is_identifier(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}
