//! The answer to `/dry-run`: the queries as they are understood, their order, and what Cube says about how they could be answered
//! from a pre-aggregation (`transformedQueries`).

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::{DateTime, Weekday};
use serde_json::{Map, Value, json};

use super::pivot::{blended, compare, default_order};
use super::{Filter, Operator, Query, QueryKind, Request, TimeDimension};
use crate::compile::{
    Granularity, aggregates_of, filter_ids, has_multiplied_measures, is_on_groups, joined_cubes, references,
};
use crate::model::{Expression, Measure, MeasureKind, Member, Piece, Sql};
use crate::{CubeError, Model};

/// The answer to `/dry-run`.
///
/// # Errors
///
/// What the planner refuses, and Cube's own failure at a comparison of no ranges.
pub fn dry_run(model: &Model, request: &Request) -> Result<Value, CubeError> {
    let transformed = request.queries.iter().map(|query| transformed(model, query));
    let transformed = transformed.collect::<Result<Vec<_>, _>>()?;
    let mut normalized: Vec<_> = request.queries.iter().map(normalized).collect();
    let pivot = match (request.kind, normalized.first_mut()) {
        (QueryKind::Blending, _) => {
            let mut pivot = blended(request);
            pivot.insert("queryType".to_owned(), Value::from(request.kind.name()));
            pivot
        }
        // The pivot query is the first of the queries, and what is put into it appears there, too.
        (kind, Some(first)) => {
            if kind == QueryKind::CompareDateRange {
                compare(first);
            }
            first.insert("queryType".to_owned(), Value::from(kind.name()));
            first.clone()
        }
        (_, None) => {
            let text = "TypeError: Cannot read properties of undefined (reading 'dimensions')";
            return Err(CubeError::Internal(text.to_owned()));
        }
    };
    Ok(json!({
        "queryType": request.kind.name(),
        "normalizedQueries": normalized,
        "queryOrder": request.queries.iter().map(shown_order).collect::<Vec<_>>(),
        "transformedQueries": transformed,
        "pivotQuery": pivot,
    }))
}

/// A query as `/dry-run` shows it: the mode is the one that Cube's second normalization leaves there, whatever was sent.
fn normalized(query: &Query) -> Map<String, Value> {
    let mut shown = query.normalized.clone();
    shown.insert("cacheMode".to_owned(), Value::from("stale-if-slow"));
    shown
}

fn shown_order(query: &Query) -> Value {
    let default = default_order(query);
    let order = query.order.as_ref().unwrap_or(&default);
    let direction = |descending| if descending { "desc" } else { "asc" };
    order.iter().map(|order| (order.id.clone(), Value::from(direction(order.descending)))).collect()
}

/// What Cube matches with pre-aggregations. (It also lists the granularities of every time dimension of the model.)
fn transformed(model: &Model, query: &Query) -> Result<Value, CubeError> {
    let measured = filtered_ids(query, |filter| is_on_groups(model, filter));
    let filtered = filtered_ids(query, |filter| !is_on_groups(model, filter));
    let grouped: Vec<&str> = query
        .dimensions
        .iter()
        .map(String::as_str)
        .chain(filtered.iter().copied())
        .chain(ids(&query.segments))
        .collect();
    let selected: Vec<&str> = ids(&query.measures).collect();
    let all_measures = distinct(selected.iter().copied().chain(measured));
    let leaves = all_measures.iter().map(|id| leaves(model, id)).collect::<Result<Vec<_>, _>>()?;
    let leaf_ids = distinct(leaves.iter().flatten().map(|leaf| leaf.label.id.as_str()));
    let by_measure: Map<_, _> = all_measures
        .iter()
        .zip(&leaves)
        .map(|(id, leaves)| ((*id).to_owned(), leaves.iter().map(|leaf| shown_leaf(leaf)).collect()))
        .collect();
    let additive = |id: &&str| model.measure(id).is_ok_and(is_additive);
    let shown_times = query.normalized.get("timeDimensions");
    let rollup = |place: usize, time: &TimeDimension| {
        let labels = shown_times.and_then(|times| times[place].get("dateRange"));
        rollup_granularity(time.granularity.as_deref(), labels)
    };
    let rollup_times = times(query, rollup);
    let times_as_is = times(query, |_, time| time.granularity.clone());
    let mut shown = json!({
        "sortedDimensions": sorted(grouped.iter().map(|id| (*id).to_owned())),
        "sortedTimeDimensions": rollup_times,
        "timeDimensions": times_as_is,
        "measures": distinct(selected.iter().copied()),
        "leafMeasureAdditive": leaves.iter().flatten().all(|leaf| is_additive(leaf)),
        "leafMeasures": leaf_ids,
        "leafMeasuresFullPaths": leaf_ids,
        "measureToLeafMeasures": by_measure,
        "hasNoTimeDimensionsWithoutGranularity":
            query.time_dimensions.iter().all(|time| time.granularity.is_some()),
        "allFiltersWithinSelectedDimensions":
            filtered.iter().all(|id| query.dimensions.iter().any(|dimension| dimension == id)),
        "isAdditive": selected.iter().all(additive),
        "hasMultipliedMeasures": has_multiplied_measures(model, query)?,
        "hasCumulativeMeasures": false,
        "windowGranularity": null,
        "filterDimensionsSingleValueEqual": single_values(model, query),
        "ownedDimensions": owned(model, &grouped)?,
        "ownedTimeDimensionsWithRollupGranularity": rollup_times,
        "ownedTimeDimensionsAsIs": times_as_is,
        "allBackAliasMembers": {},
        "hasMultiStage": false,
    });
    if query.ungrouped {
        let cubes = joined_cubes(model, query)?;
        let keys = cubes.iter().flat_map(|cube| cube.primary_key()).map(|key| key.label.id.clone());
        shown["ungrouped"] = Value::from(true);
        shown["sortedUsedCubePrimaryKeys"] = Value::from(sorted(keys));
        shown["sortedAllCubeNames"] = Value::from(sorted(cubes.iter().map(|cube| cube.name.clone())));
    }
    Ok(shown)
}

fn ids(ids: &[String]) -> impl Iterator<Item = &str> {
    ids.iter().map(String::as_str)
}

fn distinct<'q>(ids: impl Iterator<Item = &'q str>) -> Vec<&'q str> {
    let mut found = Vec::new();
    for id in ids {
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

fn sorted(ids: impl Iterator<Item = String>) -> Vec<String> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The members that those of the query's filters compare that are `wanted`.
fn filtered_ids(query: &Query, wanted: impl Fn(&Filter) -> bool) -> Vec<&str> {
    let mut ids = Vec::new();
    query.filters.iter().filter(|filter| wanted(filter)).for_each(|filter| filter_ids(filter, &mut ids));
    ids
}

/// The aggregates that a measure is computed of.
fn leaves<'m>(model: &'m Model, id: &str) -> Result<Vec<&'m Measure>, CubeError> {
    let mut leaves = Vec::new();
    aggregates_of(model, model.measure(id)?, &mut leaves);
    Ok(leaves)
}

fn shown_leaf(leaf: &Measure) -> Value {
    json!({"measure": leaf.label.id, "additive": is_additive(leaf), "type": type_name(leaf.kind)})
}

/// Whether the values of parts add up to that of the whole.
fn is_additive(measure: &Measure) -> bool {
    matches!(
        measure.kind,
        MeasureKind::Sum
            | MeasureKind::Count
            | MeasureKind::CountDistinctApprox
            | MeasureKind::Min
            | MeasureKind::Max
    )
}

fn type_name(kind: MeasureKind) -> &'static str {
    match kind {
        MeasureKind::Count => "count",
        MeasureKind::CountDistinct => "countDistinct",
        MeasureKind::CountDistinctApprox => "countDistinctApprox",
        MeasureKind::Sum => "sum",
        MeasureKind::Avg => "avg",
        MeasureKind::Min => "min",
        MeasureKind::Max => "max",
        MeasureKind::Number => "number",
        MeasureKind::Time => "time",
        MeasureKind::String => "string",
        MeasureKind::Boolean => "boolean",
    }
}

/// An empty object (Cube prints a set this way) if every condition on rows compares a member with one value, else null.
fn single_values(model: &Model, query: &Query) -> Value {
    let mut counts = BTreeMap::new();
    let conditions = query.filters.iter().filter(|filter| !is_on_groups(model, filter));
    let all_equal = conditions.into_iter().all(|filter| count_values(filter, query, &mut counts));
    if all_equal && counts.values().all(|count| *count == 1) { json!({}) } else { Value::Null }
}

/// Counts the values that members are equal to, two standing for more; false if the filter has other conditions. A member
/// that the query groups by has one value a row.
fn count_values<'q>(filter: &'q Filter, query: &Query, counts: &mut BTreeMap<&'q str, usize>) -> bool {
    match filter {
        Filter::And(filters) => filters.iter().all(|filter| count_values(filter, query, counts)),
        Filter::Member { member, operator: Operator::Equals, values } => {
            let is_grouped = query.dimensions.iter().chain(&query.segments).any(|id| id == member);
            let known = counts.get(member.as_str()).copied().unwrap_or(if is_grouped { 1 } else { 2 });
            counts.insert(member, known.min(values.len()));
            true
        }
        _ => false,
    }
}

/// The members, and those that their SQL names, that have SQL of their own.
fn owned(model: &Model, grouped: &[&str]) -> Result<Vec<String>, CubeError> {
    let mut found: Vec<String> = Vec::new();
    for id in grouped {
        found.push((*id).to_owned());
        references(model, id, &mut found, 0)?;
    }
    let keys: Vec<String> = found.iter().flat_map(|id| counted_key(model, id)).collect();
    found.extend(keys);
    found.retain(|id| id.contains('.') && is_owned(model, id));
    Ok(sorted(found.into_iter()))
}

/// A count without an argument counts the keys of its cube.
fn counted_key(model: &Model, id: &str) -> Vec<String> {
    match model.measure(id) {
        Ok(measure) if measure.kind == MeasureKind::Count && measure.sql.is_none() => model
            .cube_of(id)
            .map(|cube| cube.primary_key().map(|key| key.label.id.clone()).collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Whether a member's SQL is more than other members: it names none, or its own cube's rows, too.
fn is_owned(model: &Model, id: &str) -> bool {
    if let Ok(segment) = model.segment(id) {
        return has_own_sql(&segment.sql);
    }
    match model.member(id) {
        Ok(Member::Measure(measure)) => measure.sql.as_ref().is_none_or(has_own_sql),
        Ok(Member::Dimension(dimension)) => match &dimension.expression {
            Expression::Sql(sql) => has_own_sql(sql),
            Expression::Case { .. } | Expression::Geo { .. } => true,
        },
        Err(_) => false,
    }
}

fn has_own_sql(sql: &Sql) -> bool {
    let names_rows = sql.0.iter().any(|piece| matches!(piece, Piece::Cube(_)));
    let names_members = sql.0.iter().any(|piece| matches!(piece, Piece::Member(_)));
    names_rows || !names_members
}

/// The time dimensions by their ids, each with a granularity.
fn times<'q>(
    query: &'q Query,
    granularity: impl Fn(usize, &TimeDimension) -> Option<String>,
) -> Vec<(&'q str, Option<String>)> {
    let with_granularity =
        |(place, time): (usize, &'q TimeDimension)| (time.dimension.as_str(), granularity(place, time));
    let mut times: Vec<_> = query.time_dimensions.iter().enumerate().map(with_granularity).collect();
    times.sort_by_key(|(dimension, _)| *dimension);
    times
}

/// The coarsest buckets that a rollup may have to answer for a time dimension: they tile its range, which is shown with these
/// labels, and its granularity.
fn rollup_granularity(granularity: Option<&str>, labels: Option<&Value>) -> Option<String> {
    let labels = labels.and_then(Value::as_array);
    let ends = labels.map(|labels| labels.iter().enumerate().map(range_end).collect::<Vec<_>>());
    let tiling = |ends: &Vec<Option<DateTime>>| ends.iter().copied().map(coarsest_bucket).reduce(common);
    let of_range = ends.as_ref().and_then(tiling);
    let name = |granularity: Granularity| granularity.name().to_owned();
    let Some(sent) = granularity else { return of_range.map(name) };
    let known = Granularity::from_name(sent)?;
    match (of_range, ends) {
        (Some(_), Some(ends))
            if known.name() != sent && ends.iter().all(|end| starts_bucket(*end, known)) =>
        {
            // Cube takes a name in this spelling for a granularity of its own, which tiles the range.
            Some(sent.to_owned())
        }
        (Some(range), _) => Some(name(common(known, range))),
        (None, _) => Some(sent.to_owned()),
    }
}

/// The end of a range between whole milliseconds; `None` of what isn't a date.
fn range_end((place, label): (usize, &Value)) -> Option<DateTime> {
    let label: DateTime = label.as_str()?.parse().ok()?;
    label.checked_add(i64::from(place == 1).milliseconds()).ok()
}

/// The coarsest bucket that begins there. Quarters are none of them, as in Cube.
fn coarsest_bucket(local: Option<DateTime>) -> Granularity {
    use Granularity::{Day, Hour, Minute, Month, Second, Week, Year};
    [Year, Month, Week, Day, Hour, Minute]
        .into_iter()
        .find(|granularity| starts_bucket(local, *granularity))
        .unwrap_or(Second)
}

fn starts_bucket(local: Option<DateTime>, granularity: Granularity) -> bool {
    let Some(local) = local else { return false };
    let is_minute = local.second() == 0 && local.subsec_nanosecond() == 0;
    let is_hour = is_minute && local.minute() == 0;
    let is_day = is_hour && local.hour() == 0;
    let is_month = is_day && local.day() == 1;
    match granularity {
        Granularity::Second => local.subsec_nanosecond() == 0,
        Granularity::Minute => is_minute,
        Granularity::Hour => is_hour,
        Granularity::Day => is_day,
        Granularity::Week => is_day && local.weekday() == Weekday::Monday,
        Granularity::Month => is_month,
        Granularity::Quarter => is_month && local.month() % 3 == 1,
        Granularity::Year => is_month && local.month() == 1,
    }
}

/// The coarsest buckets that both consist of. Weeks don't tile months.
fn common(one: Granularity, other: Granularity) -> Granularity {
    match (one.min(other), one.max(other)) {
        (Granularity::Week, Granularity::Week) => Granularity::Week,
        (Granularity::Week, _) => Granularity::Day,
        (finer, _) => finer,
    }
}
