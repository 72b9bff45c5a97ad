//! Pre-aggregations are projections of a cube's table: what one consists of, and which queries it answers. ClickHouse takes
//! a projection by itself where a query's expressions are made of the projection's; so a query that one can answer is
//! written over its buckets.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use xxhash_rust::xxh3::xxh3_64;

use super::granularity::Granularity;
use super::members::{aggregates_of, filter_ids, group_measures, is_on_groups};
use super::source::table_of;
use super::writer::{Rows, Writer, quoted};
use super::{PROJECTION_PREFIX, Projection, UsedPreAggregation};
use crate::model::{Cube, PreAggregation, Tenant, underscore};
use crate::query::{Comparison, DateRange, Filter, Query};
use crate::{CubeError, Model};

/// Every projection that the model's pre-aggregations ask of their tables. Pre-aggregations of cubes that are no table
/// have none.
pub fn projections(model: &Model) -> Vec<Projection> {
    let declared =
        model.cubes.iter().flat_map(|cube| cube.pre_aggregations.iter().map(move |pre| (cube, pre)));
    declared.filter_map(|(cube, pre)| projection(model, cube, pre)).collect()
}

/// The projection of one pre-aggregation.
pub fn projection(model: &Model, cube: &Cube, declared: &PreAggregation) -> Option<Projection> {
    let table = table_of(cube)?;
    let sql = body(model, cube, declared).ok()??;
    let hash = xxh3_64(sql.as_bytes()) & 0xffff_ffff;
    let name = format!("{PROJECTION_PREFIX}{}_{}_{hash:08x}", cube.alias, underscore(&declared.name));
    Some(Projection { cube: cube.name.clone(), pre_aggregation: declared.name.clone(), table, name, sql })
}

/// `None` for what needs a value bound, which a projection can't have.
fn body(model: &Model, cube: &Cube, declared: &PreAggregation) -> Result<Option<String>, CubeError> {
    let mut writer = Writer::new(model, 0, Rows::Bare);
    let mut keys = Vec::new();
    if let Tenant::Column(column) = &cube.tenant {
        keys.push(quoted(column));
    }
    if let Some((time, granularity)) = &declared.time {
        let Some(granularity) = Granularity::from_name(granularity) else { return Ok(None) };
        let time = writer.dimension(model.dimension(time)?)?;
        keys.push(granularity.rollup_bucket(&time));
    }
    for dimension in &declared.dimensions {
        keys.push(writer.dimension(model.dimension(dimension)?)?);
    }
    for segment in &declared.segments {
        keys.push(format!("({})", writer.sql(cube, &model.segment(segment)?.sql)?));
    }
    let mut measures = Vec::new();
    for measure in &declared.measures {
        aggregates_of(model, model.measure(measure)?, &mut measures);
    }
    let mut columns = keys.clone();
    for measure in measures {
        columns.push(writer.measure(measure)?);
    }
    let groups = if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) };
    let statement = writer.finish(format!("SELECT {}{groups}", columns.join(", ")));
    Ok(statement.parameters.is_empty().then_some(statement.sql))
}

/// A pre-aggregation that answers a query.
#[derive(Clone, Debug)]
pub(super) struct Rollup {
    pub used: UsedPreAggregation,
    /// The time dimension of its buckets.
    pub time: Option<(String, Granularity)>,
}

impl Rollup {
    /// The first pre-aggregation of `cube` that has all that the query asks for.
    pub fn of(model: &Model, cube: &Cube, query: &Query) -> Result<Option<Self>, CubeError> {
        if query.ungrouped {
            return Ok(None);
        }
        for declared in &cube.pre_aggregations {
            let answers = answers(model, declared, query)?;
            if answers && let Some(projection) = projection(model, cube, declared) {
                let time = declared.time.as_ref().and_then(|(time, granularity)| {
                    Granularity::from_name(granularity).map(|granularity| (time.clone(), granularity))
                });
                let Projection { cube, pre_aggregation: name, table, name: projection, .. } = projection;
                return Ok(Some(Self { used: UsedPreAggregation { cube, name, table, projection }, time }));
            }
        }
        Ok(None)
    }

    /// The granularity of the buckets, if `dimension` is the time that they are of.
    pub fn buckets_of(&self, dimension: &str) -> Option<Granularity> {
        self.time.as_ref().filter(|(time, _)| time == dimension).map(|(_, granularity)| *granularity)
    }
}

fn answers(model: &Model, declared: &PreAggregation, query: &Query) -> Result<bool, CubeError> {
    let mut asked = Vec::new();
    for id in &query.measures {
        aggregates_of(model, model.measure(id)?, &mut asked);
    }
    for measure in group_measures(model, query)? {
        aggregates_of(model, measure, &mut asked);
    }
    let mut kept = Vec::new();
    for id in &declared.measures {
        aggregates_of(model, model.measure(id)?, &mut kept);
    }
    let has_measures = asked.iter().all(|asked| kept.iter().any(|kept| kept.label.id == asked.label.id));
    let on_rows = query.filters.iter().filter(|filter| !is_on_groups(model, filter));
    Ok(has_measures
        && query.dimensions.iter().all(|dimension| declared.dimensions.contains(dimension))
        && query.segments.iter().all(|segment| declared.segments.contains(segment))
        && query.time_dimensions.iter().all(|time| {
            let is_nothing_asked = time.granularity.is_none() && time.range.is_none();
            is_nothing_asked || has_time(declared, query, time)
        })
        && on_rows.into_iter().all(|filter| has_filter(model, declared, filter)))
}

fn has_time(declared: &PreAggregation, query: &Query, time: &crate::query::TimeDimension) -> bool {
    let Some(kept) = bucket_of(declared, &time.dimension) else { return false };
    let grouped = match &time.granularity {
        None => true,
        Some(name) => {
            Granularity::from_name(name).is_some_and(|asked| is_utc(&query.zone) && asked.consists_of(kept))
        }
    };
    grouped && time.range.as_ref().is_none_or(|range| is_aligned(range, kept))
}

fn has_filter(model: &Model, declared: &PreAggregation, filter: &Filter) -> bool {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            filters.iter().all(|filter| has_filter(model, declared, filter))
        }
        Filter::Range { member, range, .. } => {
            bucket_of(declared, member).is_some_and(|kept| is_aligned(range, kept))
                || declared.dimensions.contains(member)
        }
        Filter::Instant { member, comparison, instant } => {
            let by_bucket = matches!(comparison, Comparison::Before | Comparison::AtOrAfter);
            bucket_of(declared, member).is_some_and(|kept| by_bucket && starts_bucket(*instant, kept))
                || declared.dimensions.contains(member)
        }
        Filter::Member { .. } => {
            let mut ids = Vec::new();
            filter_ids(filter, &mut ids);
            // A `measureFilter` asks for the measure's own conditions on rows: those may be of any column.
            ids.into_iter().all(|id| {
                declared.dimensions.iter().any(|dimension| dimension == id)
                    || model.measure(id).is_ok_and(|measure| measure.filters.is_empty())
            })
        }
    }
}

fn bucket_of(declared: &PreAggregation, dimension: &str) -> Option<Granularity> {
    let (time, granularity) = declared.time.as_ref()?;
    if time == dimension { Granularity::from_name(granularity) } else { None }
}

/// Whether the zone's civil times are UTC's.
pub(super) fn is_utc(zone: &TimeZone) -> bool {
    *zone == TimeZone::UTC || matches!(zone.iana_name(), Some("UTC" | "Etc/UTC" | "Zulu" | "Etc/Zulu"))
}

/// Whether a range is whole buckets of UTC.
fn is_aligned(range: &DateRange, granularity: Granularity) -> bool {
    let end = range.to.checked_add(jiff::SignedDuration::from_millis(1));
    starts_bucket(range.from, granularity) && end.is_ok_and(|end| starts_bucket(end, granularity))
}

/// Whether a bucket of UTC begins at this instant.
pub(super) fn starts_bucket(instant: Timestamp, granularity: Granularity) -> bool {
    let civil = TimeZone::UTC.to_datetime(instant);
    let starts_day = civil.time() == jiff::civil::Time::midnight();
    let whole = |seconds: i64| instant.as_millisecond() % (seconds * 1000) == 0;
    match granularity {
        Granularity::Second => whole(1),
        Granularity::Minute => whole(60),
        Granularity::Hour => whole(3600),
        Granularity::Day => starts_day,
        Granularity::Week => starts_day && civil.weekday() == jiff::civil::Weekday::Monday,
        Granularity::Month => starts_day && civil.day() == 1,
        Granularity::Quarter => starts_day && civil.day() == 1 && civil.month() % 3 == 1,
        Granularity::Year => starts_day && civil.day() == 1 && civil.month() == 1,
    }
}
