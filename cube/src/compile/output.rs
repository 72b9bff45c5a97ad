//! The columns of an answer: what each groups and orders by, and how its values are shown.

use super::Column;
use super::granularity::{Granularity, Zone, instant_label};
use super::members::cube_name;
use super::rollup::Rollup;
use super::writer::Writer;
use crate::model::{Cube, Dimension, DimensionKind, Expression, Measure, MeasureKind, Piece, underscore};
use crate::query::Query;
use crate::{CubeError, Model};

/// A selected member.
#[derive(Clone, Debug)]
pub(super) enum Output<'m> {
    Dimension(&'m Dimension),
    /// A time dimension by granularity; the name is the query's.
    Bucket(&'m Dimension, Granularity, String),
    Measure(&'m Measure),
}

/// What a query selects, in Cube's order: dimensions, time dimensions, measures; each once.
pub(super) fn outputs<'m>(model: &'m Model, query: &Query) -> Result<Vec<Output<'m>>, CubeError> {
    let mut outputs = Vec::new();
    for id in &query.dimensions {
        push(&mut outputs, Output::Dimension(model.dimension(id)?));
    }
    for time in &query.time_dimensions {
        if let Some(name) = &time.granularity {
            let granularity =
                Granularity::from_name(name).ok_or_else(|| no_granularity(name, &time.dimension))?;
            push(&mut outputs, Output::Bucket(model.dimension(&time.dimension)?, granularity, name.clone()));
        }
    }
    for id in &query.measures {
        push(&mut outputs, Output::Measure(model.measure(id)?));
    }
    Ok(outputs)
}

fn push<'m>(outputs: &mut Vec<Output<'m>>, output: Output<'m>) {
    if !outputs.iter().any(|known| known.key() == output.key()) {
        outputs.push(output);
    }
}

fn no_granularity(name: &str, dimension: &str) -> CubeError {
    CubeError::User(format!("Granularity \"{name}\" does not exist in dimension {dimension}"))
}

impl Output<'_> {
    /// The key in rows of the answer.
    pub fn key(&self) -> String {
        match self {
            Self::Dimension(dimension) => dimension.label.id.clone(),
            Self::Bucket(dimension, _, name) => format!("{}.{name}", dimension.label.id),
            Self::Measure(measure) => measure.label.id.clone(),
        }
    }

    /// The name in SQL, as Cube makes it.
    fn alias(&self) -> String {
        match self {
            Self::Bucket(dimension, granularity, _) => {
                format!("{}_{}", alias_of(&dimension.label.id), granularity.name())
            }
            Self::Dimension(dimension) => alias_of(&dimension.label.id),
            Self::Measure(measure) => alias_of(&measure.label.id),
        }
    }

    /// Whether the member goes by this id in an order. A granularity may be left out.
    pub fn answers_to(&self, id: &str) -> bool {
        let plain = match self {
            Self::Bucket(dimension, ..) => dimension.label.id == id,
            _ => false,
        };
        plain || self.key() == id
    }

    /// What rows are grouped by; for a measure its aggregate.
    pub fn sql(
        &self,
        writer: &mut Writer<'_>,
        zone: &Zone,
        rollup: Option<&Rollup>,
    ) -> Result<String, CubeError> {
        match self {
            Self::Measure(measure) => writer.measure(measure),
            Self::Bucket(dimension, granularity, _) => {
                let sql = writer.dimension(dimension)?;
                let kept = rollup.and_then(|rollup| rollup.buckets_of(&dimension.label.id));
                Ok(match kept {
                    Some(kept) => granularity.bucket_of_local(&kept.rollup_bucket(&sql)),
                    None => granularity.bucket(&sql, zone),
                })
            }
            Self::Dimension(dimension) => {
                let sql = writer.dimension(dimension)?;
                // Cube 1.7 shows times without a granularity at whole seconds of the query's zone.
                let is_time = dimension.kind == DimensionKind::Time;
                Ok(if is_time { format!("toDateTime({sql}, {})", zone.sql) } else { sql })
            }
        }
    }

    /// A value of [`Self::sql`] as the answer shows it: a text or null.
    pub fn shown(&self, model: &Model, sql: &str, zone: &Zone) -> String {
        match self {
            Self::Bucket(_, granularity, _) => granularity.label(sql, zone),
            Self::Dimension(dimension) => match dimension.kind {
                DimensionKind::String | DimensionKind::Geo => format!("toString({sql})"),
                DimensionKind::Number => number(sql),
                DimensionKind::Boolean => boolean(sql),
                DimensionKind::Time => instant_label(sql, &zone.sql),
            },
            Self::Measure(measure) => match measure.kind {
                // Cube has no zone for measures: their times are UTC.
                _ if is_time_measure(model, measure) => instant_label(sql, "'UTC'"),
                MeasureKind::Boolean => boolean(sql),
                MeasureKind::String
                | MeasureKind::Count
                | MeasureKind::CountDistinct
                | MeasureKind::CountDistinctApprox => format!("toString({sql})"),
                MeasureKind::Sum
                | MeasureKind::Avg
                | MeasureKind::Min
                | MeasureKind::Max
                | MeasureKind::Number
                | MeasureKind::Time => number(sql),
            },
        }
    }
}

/// What isn't a number has no value, as in ClickHouse's JSON.
fn number(sql: &str) -> String {
    format!("nullIf(nullIf(nullIf(toString({sql}), 'nan'), 'inf'), '-inf')")
}

fn boolean(sql: &str) -> String {
    format!("toString(toUInt8({sql}))")
}

/// Whether a measure's values are times: it says so, or it is the first or last of a time dimension.
pub(super) fn is_time_measure(model: &Model, measure: &Measure) -> bool {
    match measure.kind {
        MeasureKind::Time => true,
        MeasureKind::Min | MeasureKind::Max => {
            let Some(sql) = &measure.sql else { return false };
            let is_time = |dimension: &Dimension| dimension.kind == DimensionKind::Time;
            match sql.0.as_slice() {
                [Piece::Member(id)] => model.dimension(id).is_ok_and(is_time),
                _ => {
                    model.cube(cube_name(&measure.label.id)).is_some_and(|cube| is_time_column(cube, measure))
                }
            }
        }
        _ => false,
    }
}

fn is_time_column(cube: &Cube, measure: &Measure) -> bool {
    cube.dimensions.iter().any(|dimension| {
        dimension.kind == DimensionKind::Time
            && matches!(&dimension.expression, Expression::Sql(sql) if Some(sql) == measure.sql.as_ref())
    })
}

/// `tracked_events__page_urlpath` for `TrackedEvents.pageUrlpath`.
fn alias_of(id: &str) -> String {
    id.split('.').map(underscore).collect::<Vec<_>>().join("__")
}

/// The columns as the compiled query names them. A grouped time dimension stands under its plain name, too, with the value
/// of its smallest granularity, unless it is a dimension of the query in its own right.
pub(super) fn columns(outputs: &[Output<'_>]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for output in outputs {
        let alias = output.alias();
        let is_taken = columns.iter().any(|column| column.alias == alias);
        let alias = if is_taken { format!("{alias}_{}", columns.len()) } else { alias };
        columns.push(Column { key: output.key(), also: also(output, outputs), alias });
    }
    columns
}

fn also(output: &Output<'_>, outputs: &[Output<'_>]) -> Option<String> {
    let Output::Bucket(dimension, ..) = output else { return None };
    let id = &dimension.label.id;
    let first_smallest = outputs
        .iter()
        .filter_map(|other| match other {
            Output::Bucket(of, finer, _) if of.label.id == *id => Some((finer, other.key())),
            _ => None,
        })
        .min_by_key(|(granularity, _)| **granularity);
    let is_smallest = first_smallest.is_some_and(|(_, key)| key == output.key());
    let is_selected = outputs.iter().any(|other| other.key() == *id);
    (is_smallest && !is_selected).then(|| id.clone())
}
