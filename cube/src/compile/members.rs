//! Walks over a query's members and the members that their SQL names.

use crate::model::{CaseLabel, Cube, Expression, Measure, MeasureKind, Piece, Sql};
use crate::query::{Filter, Operator, Query};
use crate::{CubeError, Model};

/// The cubes of a query's members, and of what these are computed of, in Cube's order: measures, dimensions, segments, filters, filters on measures, time
/// dimensions.
pub(super) fn cubes_of<'m>(model: &'m Model, query: &Query) -> Result<Vec<&'m Cube>, CubeError> {
    let mut cubes: Vec<&'m Cube> = Vec::new();
    for id in member_ids(model, query) {
        let mut ids = vec![id.to_owned()];
        references(model, id, &mut ids, 0)?;
        for id in ids {
            let cube = model.cube_of(&id)?;
            if !cubes.iter().any(|known| known.name == cube.name) {
                cubes.push(cube);
            }
        }
    }
    Ok(cubes)
}

fn member_ids<'q>(model: &Model, query: &'q Query) -> Vec<&'q str> {
    let mut filtered: Vec<&str> = Vec::new();
    for filter in &query.filters {
        filter_ids(filter, &mut filtered);
    }
    let (on_measures, on_rows): (Vec<&str>, Vec<&str>) =
        filtered.into_iter().partition(|id| model.measure(id).is_ok());
    let times = query.time_dimensions.iter().map(|time| time.dimension.as_str());
    let named = query.measures.iter().chain(&query.dimensions).chain(&query.segments);
    named.map(String::as_str).chain(on_rows).chain(on_measures).chain(times).collect()
}

/// The ids of the members that a filter compares.
pub(crate) fn filter_ids<'q>(filter: &'q Filter, ids: &mut Vec<&'q str>) {
    match filter {
        Filter::Member { member, .. } | Filter::Range { member, .. } | Filter::Instant { member, .. } => {
            ids.push(member);
        }
        Filter::And(filters) | Filter::Or(filters) => {
            for filter in filters {
                filter_ids(filter, ids);
            }
        }
    }
}

/// Whether a filter is a condition on groups: it compares a measure. (`measureFilter` asks something of rows.)
pub(crate) fn is_on_groups(model: &Model, filter: &Filter) -> bool {
    match filter {
        Filter::Member { operator: Operator::MeasureFilter, .. } => false,
        Filter::Member { member, .. } | Filter::Range { member, .. } | Filter::Instant { member, .. } => {
            model.measure(member).is_ok()
        }
        Filter::And(filters) | Filter::Or(filters) => {
            filters.iter().any(|filter| is_on_groups(model, filter))
        }
    }
}

/// The measures that conditions on groups compare.
pub(super) fn group_measures<'m>(model: &'m Model, query: &Query) -> Result<Vec<&'m Measure>, CubeError> {
    let mut ids = Vec::new();
    for filter in query.filters.iter().filter(|filter| is_on_groups(model, filter)) {
        filter_ids(filter, &mut ids);
    }
    ids.into_iter().map(|id| model.measure(id)).collect()
}

/// Ids of everything that the member's SQL names, to any depth: members, and cubes by their names.
pub(crate) fn references(
    model: &Model,
    id: &str,
    found: &mut Vec<String>,
    depth: usize,
) -> Result<(), CubeError> {
    if depth > 64 {
        return Err(CubeError::Internal(format!("Error: references of '{id}' are too deep")));
    }
    for sql in sqls_of(model, id) {
        for piece in &sql.0 {
            match piece {
                Piece::Cube(name) => found.push(name.clone()),
                Piece::Member(member) => {
                    found.push(member.clone());
                    references(model, member, found, depth + 1)?;
                }
                Piece::Text(_) | Piece::Tenant | Piece::Value(_) => {}
            }
        }
    }
    Ok(())
}

/// All SQL that a member consists of.
fn sqls_of<'m>(model: &'m Model, id: &str) -> Vec<&'m Sql> {
    if let Ok(measure) = model.measure(id) {
        return measure.sql.iter().chain(&measure.filters).collect();
    }
    if let Ok(segment) = model.segment(id) {
        return vec![&segment.sql];
    }
    match model.dimension(id).map(|dimension| &dimension.expression) {
        Ok(Expression::Sql(sql)) => vec![sql],
        Ok(Expression::Geo { latitude, longitude }) => vec![latitude, longitude],
        Ok(Expression::Case { when, otherwise }) => {
            let labels = when.iter().map(|(_, label)| label).chain([otherwise]);
            let labels = labels.filter_map(|label| match label {
                CaseLabel::Sql(sql) => Some(sql),
                CaseLabel::Text(_) => None,
            });
            when.iter().map(|(condition, _)| condition).chain(labels).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// The measures that a measure is SQL over.
pub(super) fn measures_in<'m>(model: &'m Model, measure: &Measure) -> Vec<&'m Measure> {
    let computed = matches!(
        measure.kind,
        MeasureKind::Number | MeasureKind::Time | MeasureKind::String | MeasureKind::Boolean
    );
    let pieces = measure.sql.iter().filter(|_| computed).flat_map(|sql| &sql.0);
    pieces
        .filter_map(|piece| match piece {
            Piece::Member(id) => model.measure(id).ok(),
            _ => None,
        })
        .collect()
}

/// The measures that are aggregates themselves and that `measure` is computed of, or itself.
pub(crate) fn aggregates_of<'m>(model: &'m Model, measure: &'m Measure, found: &mut Vec<&'m Measure>) {
    let inner = measures_in(model, measure);
    if inner.is_empty() {
        push_measure(found, measure);
    }
    for measure in inner {
        aggregates_of(model, measure, found);
    }
}

/// The measures to compute each over the rows of one cube alone, and that `measure` is computed of, or itself.
pub(super) fn one_cube_measures<'m>(model: &'m Model, measure: &'m Measure, found: &mut Vec<&'m Measure>) {
    let mut aggregates = Vec::new();
    aggregates_of(model, measure, &mut aggregates);
    let cube = cube_name(&measure.label.id);
    if aggregates.iter().all(|aggregate| cube_name(&aggregate.label.id) == cube) {
        push_measure(found, measure);
        return;
    }
    for inner in measures_in(model, measure) {
        one_cube_measures(model, inner, found);
    }
}

fn push_measure<'m>(found: &mut Vec<&'m Measure>, measure: &'m Measure) {
    if !found.iter().any(|known| known.label.id == measure.label.id) {
        found.push(measure);
    }
}

pub(super) fn cube_name(id: &str) -> &str {
    id.split('.').next().unwrap_or(id)
}
