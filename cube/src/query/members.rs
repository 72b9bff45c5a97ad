//! What the planner refuses: members that the model doesn't have, granularities that don't exist, conditions that mix measures
//! with dimensions.

use serde_json::Value;

use super::{Filter, Query};
use crate::compile::{Granularity, check_joins, filter_ids, is_on_groups};
use crate::model::{DimensionKind, MeasureKind, Member};
use crate::{CubeError, Model};

/// Checks the query against the model; what Cube notices no sooner than when it has rows becomes the query's refusal.
pub(super) fn check(model: &Model, query: &mut Query) -> Result<(), CubeError> {
    query.measures.iter().try_for_each(|id| model.measure(id).map(drop))?;
    query.dimensions.iter().try_for_each(|id| model.dimension(id).map(drop))?;
    query.segments.iter().try_for_each(|id| model.segment(id).map(drop))?;
    query.filters.iter().try_for_each(|filter| check_filter_members(model, filter))?;
    for time in &query.time_dimensions {
        model.dimension(&time.dimension)?;
        if let Some(granularity) = &time.granularity {
            check_granularity(&time.dimension, granularity)?;
        }
    }
    for shown in query.normalized.get("filters").and_then(Value::as_array).into_iter().flatten() {
        check_mixture(model, shown)?;
    }
    check_joins(model, query)?;
    if query.ungrouped && query.filters.iter().any(|filter| is_on_groups(model, filter)) {
        return Err(CubeError::User("Measure filters aren't allowed in ungrouped query".to_owned()));
    }
    query.refusal = query.refusal.take().or_else(|| refusal(model, query));
    Ok(())
}

fn check_granularity(dimension: &str, granularity: &str) -> Result<(), CubeError> {
    match Granularity::from_name(granularity) {
        Some(_) => Ok(()),
        None => Err(CubeError::User(format!(
            "Granularity \"{granularity}\" does not exist in dimension {dimension}"
        ))),
    }
}

fn check_filter_members(model: &Model, filter: &Filter) -> Result<(), CubeError> {
    let mut ids = Vec::new();
    filter_ids(filter, &mut ids);
    ids.into_iter().try_for_each(|id| model.member(id).map(drop))
}

/// A group of conditions is about measures or about dimensions, not both.
fn check_mixture(model: &Model, shown: &Value) -> Result<(), CubeError> {
    let Some(filters) = shown.get("or").or_else(|| shown.get("and")).and_then(Value::as_array) else {
        return Ok(());
    };
    let mut members = Vec::new();
    for filter in filters {
        collect_members(filter, &mut members);
    }
    let measures = members.iter().filter(|id| model.measure(id).is_ok()).count();
    if measures != 0 && measures != members.len() {
        return Err(CubeError::User(format!(
            "You cannot use dimension and measure in same condition: {shown}"
        )));
    }
    filters.iter().try_for_each(|filter| check_mixture(model, filter))
}

fn collect_members<'f>(shown: &'f Value, members: &mut Vec<&'f str>) {
    match shown.get("or").or_else(|| shown.get("and")).and_then(Value::as_array) {
        Some(filters) => filters.iter().for_each(|filter| collect_members(filter, members)),
        None => members.extend(shown.get("member").and_then(Value::as_str)),
    }
}

fn refusal(model: &Model, query: &Query) -> Option<CubeError> {
    hidden_member(model, query).or_else(|| not_a_time(model, query))
}

/// Hidden members can be filtered by and are not shown.
fn hidden_member(model: &Model, query: &Query) -> Option<CubeError> {
    let times = query.time_dimensions.iter().filter(|time| time.granularity.is_some());
    let ids = query.measures.iter().chain(&query.dimensions).chain(times.map(|time| &time.dimension));
    let is_hidden = |id: &&String| {
        let is_public = match model.member(id) {
            Ok(Member::Measure(measure)) => measure.label.public,
            Ok(Member::Dimension(dimension)) => dimension.label.public,
            Err(_) => true,
        };
        !is_public || model.cube_of(id).is_ok_and(|cube| !cube.public)
    };
    let id = ids.into_iter().find(is_hidden)?;
    Some(CubeError::User(format!(
        "You requested hidden member: '{id}'. Please make it visible using `public: true`. Please note primaryKey \
         fields are `public: false` by default: \
         https://cube.dev/docs/schema/reference/joins#setting-a-primary-key."
    )))
}

/// Dates are compared with times only.
fn not_a_time(model: &Model, query: &Query) -> Option<CubeError> {
    let mut filtered = Vec::new();
    query.filters.iter().for_each(|filter| date_filter_ids(filter, &mut filtered));
    let times = query.time_dimensions.iter().map(|time| time.dimension.as_str());
    let is_time = |id: &str| match model.member(id) {
        Ok(Member::Measure(measure)) => measure.kind == MeasureKind::Time,
        Ok(Member::Dimension(dimension)) => dimension.kind == DimensionKind::Time,
        Err(_) => true,
    };
    let id = times.chain(filtered).find(|id| !is_time(id))?;
    Some(CubeError::Invalid(format!("Error: Query failed: Error: {id} is not a time")))
}

fn date_filter_ids<'f>(filter: &'f Filter, ids: &mut Vec<&'f str>) {
    match filter {
        Filter::Range { member, .. } | Filter::Instant { member, .. } => ids.push(member),
        Filter::And(filters) | Filter::Or(filters) => {
            for filter in filters {
                date_filter_ids(filter, ids);
            }
        }
        Filter::Member { .. } => {}
    }
}
