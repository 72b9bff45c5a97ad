//! Validates a query against the model and fills in what it leaves open: members, granularities, time zone, dates, order,
//! limit. What comes out can be compiled without further questions.

use jiff::tz::TimeZone;
use serde_json::json;

use super::date_range::{DateRange, start_instant};
use super::error::CubeError;
use super::filter::{Filter, Operator};
use super::granularity::Granularity;
use super::model::{Cube, Dimension, DimensionKind, Measure, Member, Model, Segment};
use super::query::{Query, TimeDimension};

/// Rows when the query names no limit, and the most it may name: Cube's own defaults.
pub(super) const DEFAULT_LIMIT: u64 = 10_000;
pub(super) const MAX_LIMIT: u64 = 50_000;

/// Filter values in one query, and their bytes together: they travel to ClickHouse in the request's address, which may have
/// a megabyte once its characters are escaped.
pub(super) const MAX_FILTER_VALUES: usize = 10_000;
pub(super) const MAX_FILTER_BYTES: usize = 256 * 1024;

/// A query with every name replaced by what the model says it is.
#[derive(Debug)]
pub(super) struct Resolved<'m> {
    pub cube: &'m Cube,
    pub measures: Vec<&'m Measure>,
    pub dimensions: Vec<&'m Dimension>,
    pub time_dimensions: Vec<Time<'m>>,
    pub segments: Vec<&'m Segment>,
    /// Conditions on rows.
    pub conditions: Vec<Condition<'m>>,
    /// Conditions on groups.
    pub group_conditions: Vec<Condition<'m>>,
    pub order: Vec<OrderBy<'m>>,
    pub limit: u64,
    pub offset: Option<u64>,
    pub total: bool,
    pub zone_name: String,
    /// The query as it was sent, for the normalized one.
    pub sent: Query,
}

/// A time dimension: grouped by when it has a granularity, filtered by when it has a range.
#[derive(Debug)]
pub(super) struct Time<'m> {
    pub dimension: &'m Dimension,
    pub bucket: Option<Bucket>,
    pub range: Option<DateRange>,
}

/// A granularity and the name it was asked for by, which the answer repeats.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bucket {
    pub granularity: Granularity,
    pub name: String,
}

/// A condition with its member and its dates found.
#[derive(Debug)]
pub(super) enum Condition<'m> {
    Compare {
        member: Member<'m>,
        operator: Operator,
        values: Vec<BoundValue>,
        /// Null was among the values.
        or_null: bool,
    },
    /// Within (or, negated, outside) two instants.
    Between {
        dimension: &'m Dimension,
        range: DateRange,
        negated: bool,
    },
    /// Before, at or after an instant: a ClickHouse operator and `DateTime64(3, 'UTC')` text.
    Instant {
        dimension: &'m Dimension,
        operator: &'static str,
        instant: String,
    },
    And(Vec<Condition<'m>>),
    Or(Vec<Condition<'m>>),
}

/// A filter's value, typed as its member needs it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum BoundValue {
    Text(String),
    Integer(i64),
    Float(f64),
    /// `DateTime64(3, 'UTC')` text.
    Instant(String),
}

/// A selected member to order by.
#[derive(Debug)]
pub(super) struct OrderBy<'m> {
    pub column: Column<'m>,
    pub descending: bool,
}

/// A column of the answer.
#[derive(Clone, Debug)]
pub(super) enum Column<'m> {
    Dimension(&'m Dimension),
    Bucket(&'m Dimension, Bucket),
    Measure(&'m Measure),
}

impl Column<'_> {
    /// The key of the column's values in a row of the answer.
    pub fn key(&self) -> String {
        match self {
            Self::Dimension(dimension) => dimension.label.id.clone(),
            Self::Bucket(dimension, bucket) => format!("{}.{}", dimension.label.id, bucket.name),
            Self::Measure(measure) => measure.label.id.clone(),
        }
    }

    /// Whether an `order` on `id` means this column: a bucket is meant by its time dimension, too.
    fn is_named(&self, id: &str) -> bool {
        match self {
            Self::Bucket(dimension, _) => dimension.label.id == id || self.key() == id,
            _ => self.key() == id,
        }
    }
}

impl<'m> Resolved<'m> {
    /// The columns of the answer: dimensions, buckets, measures.
    pub fn columns(&self) -> Vec<Column<'m>> {
        let dimensions = self.dimensions.iter().map(|dimension| Column::Dimension(dimension));
        let buckets = self
            .time_dimensions
            .iter()
            .filter_map(|time| Some(Column::Bucket(time.dimension, time.bucket.clone()?)));
        let measures = self.measures.iter().map(|measure| Column::Measure(measure));
        dimensions.chain(buckets).chain(measures).collect()
    }
}

/// Finds every member of `query` in `model`.
pub(super) fn resolve<'m>(model: &'m Model, query: &Query) -> Result<Resolved<'m>, CubeError> {
    let (zone_name, zone) = time_zone(query.timezone.as_deref().unwrap_or("UTC"))?;
    if query.limit.is_some_and(|limit| limit > MAX_LIMIT) {
        return Err(CubeError::LimitExceeded);
    }
    check_values(&query.filters)?;
    let cube = the_cube(model, query)?;
    let mut conditions = Vec::new();
    let mut group_conditions = Vec::new();
    for filter in &query.filters {
        let on_groups = is_on_groups(model, filter)?;
        if let Some(condition) = condition(model, filter, &zone)? {
            if on_groups { &mut group_conditions } else { &mut conditions }.push(condition);
        }
    }
    let mut resolved = Resolved {
        cube,
        measures: each(&query.measures, |id| model.measure(id))?,
        dimensions: each(&query.dimensions, |id| model.dimension(id))?,
        time_dimensions: query
            .time_dimensions
            .iter()
            .map(|time| time_dimension(model, time, &zone))
            .collect::<Result<_, _>>()?,
        segments: each(&query.segments, |id| model.segment(id))?,
        conditions,
        group_conditions,
        order: Vec::new(),
        limit: query.limit.unwrap_or(DEFAULT_LIMIT),
        offset: query.offset,
        total: query.total.unwrap_or(false),
        zone_name,
        sent: query.clone(),
    };
    resolved.order = order(&resolved, query);
    Ok(resolved)
}

/// Files of a time zone database that are no zones of their own: what they mean is the machine's affair.
const LOCAL_ZONES: [&str; 4] = ["localtime", "posixrules", "Factory", "Etc/Unknown"];

/// The zone and its name in IANA's spelling, the only one that ClickHouse knows.
fn time_zone(name: &str) -> Result<(String, TimeZone), CubeError> {
    let unknown =
        || CubeError::Format(format!("\"timezone\" must be a valid IANA time zone, got \"{name}\""));
    let zone = TimeZone::get(name).map_err(|_| unknown())?;
    let canonical = zone.iana_name().filter(|_| !zone.is_unknown()).ok_or_else(unknown)?.to_owned();
    if LOCAL_ZONES.iter().any(|local| local.eq_ignore_ascii_case(&canonical)) {
        return Err(unknown());
    }
    Ok((canonical, zone))
}

/// Bounds what the filters carry together.
fn check_values(filters: &[Filter]) -> Result<(), CubeError> {
    let (mut count, mut bytes) = (0, 0);
    for filter in filters {
        measure_values(filter, &mut count, &mut bytes);
    }
    if count > MAX_FILTER_VALUES {
        return Err(CubeError::TooManyValues(MAX_FILTER_VALUES));
    }
    if bytes > MAX_FILTER_BYTES {
        return Err(CubeError::ValuesTooLong(MAX_FILTER_BYTES));
    }
    Ok(())
}

fn measure_values(filter: &Filter, count: &mut usize, bytes: &mut usize) {
    match filter {
        Filter::Member { values, .. } => {
            *count += values.len();
            *bytes += values.iter().flatten().map(String::len).sum::<usize>();
        }
        Filter::And(filters) | Filter::Or(filters) => {
            for filter in filters {
                measure_values(filter, count, bytes);
            }
        }
    }
}

/// What each distinct id names, in the order of first mention.
fn each<'m, T>(
    ids: &[String],
    find: impl Fn(&str) -> Result<&'m T, CubeError>,
) -> Result<Vec<&'m T>, CubeError> {
    let mut seen: Vec<&String> = Vec::new();
    let mut found = Vec::new();
    for id in ids {
        if !seen.contains(&id) {
            seen.push(id);
            found.push(find(id)?);
        }
    }
    Ok(found)
}

/// The one cube that all members belong to.
fn the_cube<'m>(model: &'m Model, query: &Query) -> Result<&'m Cube, CubeError> {
    let times = query.time_dimensions.iter().map(|time| &time.dimension);
    let mut filtered = Vec::new();
    for filter in &query.filters {
        members_of(filter, &mut filtered);
    }
    let ids =
        query.measures.iter().chain(&query.dimensions).chain(times).chain(&query.segments).chain(filtered);
    let mut first: Option<&Cube> = None;
    for id in ids {
        let cube = model.cube_of(id)?;
        match first {
            Some(earlier) if earlier.name != cube.name => {
                return Err(CubeError::NoJoin(earlier.name.clone(), cube.name.clone()));
            }
            _ => first = Some(cube),
        }
    }
    first.ok_or(CubeError::Empty)
}

fn members_of<'f>(filter: &'f Filter, members: &mut Vec<&'f String>) {
    match filter {
        Filter::Member { member, .. } => members.push(member),
        Filter::And(filters) | Filter::Or(filters) => {
            for filter in filters {
                members_of(filter, members);
            }
        }
    }
}

fn time_dimension<'m>(
    model: &'m Model,
    sent: &TimeDimension,
    zone: &TimeZone,
) -> Result<Time<'m>, CubeError> {
    let dimension = model.dimension(&sent.dimension)?;
    let bucket = sent.granularity.as_ref().map(|name| bucket(dimension, name)).transpose()?;
    if sent.date_range.is_some() && dimension.kind != DimensionKind::Time {
        let operator = Operator::InDateRange.as_str().to_owned();
        return Err(CubeError::Operator { operator, member: sent.dimension.clone() });
    }
    let range = sent.date_range.as_deref().map(|dates| DateRange::parse(dates, zone)).transpose()?;
    Ok(Time { dimension, bucket, range })
}

fn bucket(dimension: &Dimension, name: &str) -> Result<Bucket, CubeError> {
    match Granularity::from_name(name).filter(|_| dimension.kind == DimensionKind::Time) {
        Some(granularity) => Ok(Bucket { granularity, name: name.to_owned() }),
        None => Err(CubeError::UnknownGranularity {
            granularity: name.to_owned(),
            dimension: dimension.label.id.clone(),
        }),
    }
}

/// Whether a filter is on measures, thus on groups; a filter on both is refused.
fn is_on_groups(model: &Model, filter: &Filter) -> Result<bool, CubeError> {
    let mut members = Vec::new();
    members_of(filter, &mut members);
    let mut measures = 0;
    for member in &members {
        measures += usize::from(matches!(model.member(member)?, Member::Measure(_)));
    }
    if measures > 0 && measures < members.len() {
        return Err(CubeError::MixedCondition(filter.to_json().to_string()));
    }
    Ok(measures > 0)
}

/// The condition that a filter states; none for an empty group.
fn condition<'m>(
    model: &'m Model,
    filter: &Filter,
    zone: &TimeZone,
) -> Result<Option<Condition<'m>>, CubeError> {
    let group = |filters: &[Filter]| -> Result<Vec<Condition<'m>>, CubeError> {
        filters.iter().filter_map(|filter| condition(model, filter, zone).transpose()).collect()
    };
    Ok(match filter {
        Filter::Member { member, operator, values } => {
            if operator.needs_values() && values.is_empty() {
                return Err(CubeError::ValuesRequired(filter.to_json().to_string()));
            }
            Some(member_condition(model.member(member)?, member, *operator, values, zone)?)
        }
        Filter::And(filters) => Some(group(filters)?).filter(|group| !group.is_empty()).map(Condition::And),
        Filter::Or(filters) => Some(group(filters)?).filter(|group| !group.is_empty()).map(Condition::Or),
    })
}

fn member_condition<'m>(
    member: Member<'m>,
    id: &str,
    operator: Operator,
    values: &[Option<String>],
    zone: &TimeZone,
) -> Result<Condition<'m>, CubeError> {
    let refused = || CubeError::Operator { operator: operator.as_str().to_owned(), member: id.to_owned() };
    let dates: Vec<String> = values.iter().flatten().cloned().collect();
    // A bare day stands for its first instant in all four, as in the recorded answers.
    let comparison = match operator {
        Operator::BeforeDate => "<",
        Operator::BeforeOrOnDate => "<=",
        Operator::AfterDate => ">",
        Operator::AfterOrOnDate => ">=",
        Operator::InDateRange | Operator::OnTheDate | Operator::NotInDateRange => {
            let dimension = time_of(member).ok_or_else(refused)?;
            let negated = operator == Operator::NotInDateRange;
            return Ok(Condition::Between { dimension, range: DateRange::parse(&dates, zone)?, negated });
        }
        _ => return comparison(member, id, operator, values, zone),
    };
    let dimension = time_of(member).ok_or_else(refused)?;
    let instant = start_instant(dates.first().map_or("", String::as_str), zone)?;
    Ok(Condition::Instant { dimension, operator: comparison, instant })
}

fn time_of(member: Member<'_>) -> Option<&Dimension> {
    match member {
        Member::Dimension(dimension) if dimension.kind == DimensionKind::Time => Some(dimension),
        _ => None,
    }
}

fn comparison<'m>(
    member: Member<'m>,
    id: &str,
    operator: Operator,
    values: &[Option<String>],
    zone: &TimeZone,
) -> Result<Condition<'m>, CubeError> {
    let is_text = matches!(member, Member::Dimension(dimension) if dimension.kind == DimensionKind::String);
    if operator.is_on_text() && !is_text {
        return Err(CubeError::Operator { operator: operator.as_str().to_owned(), member: id.to_owned() });
    }
    // An order has one bound: Cube ignores the rest.
    let counted = if operator.is_order() { 1 } else { values.len() };
    let values = if operator.needs_values() { &values[..counted.min(values.len())] } else { &[] };
    let bound = values.iter().flatten().map(|value| bound_value(member, id, value, zone));
    Ok(Condition::Compare {
        member,
        operator,
        or_null: values.iter().any(Option::is_none),
        values: bound.collect::<Result<_, _>>()?,
    })
}

fn bound_value(member: Member<'_>, id: &str, value: &str, zone: &TimeZone) -> Result<BoundValue, CubeError> {
    let misfit = |kind| CubeError::FilterValue { value: value.to_owned(), kind, member: id.to_owned() };
    let kind = match member {
        Member::Measure(_) => DimensionKind::Number,
        Member::Dimension(dimension) => dimension.kind,
    };
    match kind {
        DimensionKind::String => Ok(BoundValue::Text(value.to_owned())),
        DimensionKind::Time => Ok(BoundValue::Instant(start_instant(value, zone)?)),
        DimensionKind::Boolean => match value {
            "true" | "1" => Ok(BoundValue::Integer(1)),
            "false" | "0" => Ok(BoundValue::Integer(0)),
            _ => Err(misfit("boolean")),
        },
        DimensionKind::Number => match (value.parse(), value.parse::<f64>()) {
            (Ok(integer), _) => Ok(BoundValue::Integer(integer)),
            (_, Ok(float)) if float.is_finite() => Ok(BoundValue::Float(float)),
            _ => Err(misfit("number")),
        },
    }
}

/// The order asked for, without the members that aren't selected; else Cube's default: the first time dimension with a
/// granularity, else the first measure descending, else the first dimension.
fn order<'m>(resolved: &Resolved<'m>, query: &Query) -> Vec<OrderBy<'m>> {
    let columns = resolved.columns();
    if let Some(asked) = &query.order {
        let selected = asked.iter().filter_map(|order| {
            let column = columns.iter().find(|column| column.is_named(&order.id))?;
            Some(OrderBy { column: column.clone(), descending: order.descending })
        });
        return selected.collect();
    }
    let first = |wanted: fn(&Column<'m>) -> bool| columns.iter().find(|column| wanted(column)).cloned();
    let bucket = first(|column| matches!(column, Column::Bucket(..)));
    let measure = || first(|column| matches!(column, Column::Measure(_)));
    let chosen = bucket.map(|column| (column, false)).or_else(|| measure().map(|column| (column, true)));
    let chosen = chosen.or_else(|| columns.first().cloned().map(|column| (column, false)));
    chosen.map(|(column, descending)| OrderBy { column, descending }).into_iter().collect()
}

/// The order as the normalized query shows it; none when none was asked for.
pub(super) fn order_json(query: &Query) -> Option<serde_json::Value> {
    let order = query.order.as_ref().filter(|order| !order.is_empty())?;
    Some(order.iter().map(|order| json!({"id": order.id, "desc": order.descending})).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::query;
    use super::*;

    fn refusal(sent: &Value) -> String {
        let model = Model::built_in();
        let query = query::parse(sent).unwrap();
        resolve(&model, &query).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_the_model_does_not_have_is_named() {
        let count = "TrackedEvents.count";
        for (sent, message) in [
            (json!({"measures": ["Nope.count"]}), "Cube 'Nope' not found for path 'Nope.count'"),
            (json!({"measures": ["TrackedEvents.nope"]}), "'nope' not found for path 'TrackedEvents.nope'"),
            (
                json!({"measures": ["TrackedEvents.eventName"]}),
                "'eventName' not found for path 'TrackedEvents.eventName'",
            ),
            (json!({"dimensions": [count]}), "'count' not found for path 'TrackedEvents.count'"),
            (
                json!({"measures": [count], "segments": ["TrackedEvents.nope"]}),
                "'nope' not found for path 'TrackedEvents.nope'",
            ),
            (
                json!({"measures": [count], "filters": [{"member": "Nope.x", "operator": "equals", "values": ["x"]}]}),
                "Cube 'Nope' not found for path 'Nope.x'",
            ),
            (
                json!({"measures": [count], "timeDimensions": [{"dimension": "TrackedEvents.derivedTstamp", "granularity": "fortnight"}]}),
                "Granularity \"fortnight\" does not exist in dimension TrackedEvents.derivedTstamp",
            ),
            (
                json!({"measures": [count], "timeDimensions": [{"dimension": "TrackedEvents.eventName", "granularity": "day"}]}),
                "Granularity \"day\" does not exist in dimension TrackedEvents.eventName",
            ),
            (
                json!({"measures": [count], "timeDimensions": [{"dimension": "TrackedEvents.derivedTstamp", "dateRange": "all time"}]}),
                "Can't parse date: 'all time'",
            ),
            (
                json!({"measures": [count], "timezone": "Foo/Bar"}),
                "Invalid query format: \"timezone\" must be a valid IANA time zone, got \"Foo/Bar\"",
            ),
            (
                json!({"measures": [count], "timeDimensions": [{"dimension": "TrackedEvents.eventName", "dateRange": "2026-11-02"}]}),
                "Operator inDateRange can't be used on TrackedEvents.eventName",
            ),
            (
                json!({"measures": [count], "filters": [{"or": [
                    {"member": "TrackedEvents.userId", "operator": "equals", "values": vec!["1"; 5_000]},
                    {"member": "TrackedEvents.userId", "operator": "equals", "values": vec!["1"; 5_001]},
                ]}]}),
                "Invalid query format: \"filters\" must contain less than or equal to 10000 values",
            ),
            (
                json!({"measures": [count], "filters": [{"member": "TrackedEvents.eventName", "operator": "equals", "values": ["x".repeat(262_145)]}]}),
                "Invalid query format: the values of \"filters\" must be less than or equal to 262144 bytes long",
            ),
            (json!({"measures": [count], "limit": 50_001}), "Error: The query limit has been exceeded."),
            (
                json!({"measures": [count], "filters": [{"member": "TrackedEvents.eventName", "operator": "equals", "values": []}]}),
                r#"Values required for filter: {"member":"TrackedEvents.eventName","operator":"equals","values":[]}"#,
            ),
            (
                json!({"measures": [count], "filters": [{"member": "TrackedEvents.eventName", "operator": "inDateRange", "values": ["2026-11-02"]}]}),
                "Operator inDateRange can't be used on TrackedEvents.eventName",
            ),
            (
                json!({"measures": [count], "filters": [{"member": "TrackedEvents.userId", "operator": "contains", "values": ["1"]}]}),
                "Operator contains can't be used on TrackedEvents.userId",
            ),
            (
                json!({"measures": [count], "filters": [{"member": "TrackedEvents.userId", "operator": "gt", "values": ["abc"]}]}),
                "Can't use 'abc' as a number in a filter on TrackedEvents.userId",
            ),
            (
                json!({"measures": [count], "filters": [{"or": [
                    {"member": count, "operator": "gt", "values": ["1"]},
                    {"member": "TrackedEvents.eventName", "operator": "set"},
                ]}]}),
                r#"You cannot use dimension and measure in same condition: {"or":[{"member":"TrackedEvents.count","operator":"gt","values":["1"]},{"member":"TrackedEvents.eventName","operator":"set"}]}"#,
            ),
        ] {
            assert_eq!(refusal(&sent), message, "{sent}");
        }
    }

    #[test]
    fn time_zones_go_by_their_iana_name() {
        for (sent, canonical) in
            [("utc", "UTC"), ("europe/berlin", "Europe/Berlin"), ("America/New_York", "America/New_York")]
        {
            assert_eq!(time_zone(sent).map(|(name, _)| name).unwrap(), canonical, "{sent}");
        }
        for sent in
            ["Etc/Unknown", "etc/unknown", "localtime", "LocalTime", "posixrules", "Factory", "", "+01:00"]
        {
            let expected =
                format!("Invalid query format: \"timezone\" must be a valid IANA time zone, got \"{sent}\"");
            assert_eq!(time_zone(sent).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn two_cubes_without_a_join_are_refused() {
        let cube = |name: &str| {
            format!(
                "  - {{name: {name}, sql_table: t, meta: {{tenant_column: p}}, measures: [{{name: count, type: count}}]}}\n"
            )
        };
        let model = Model::parse(&format!("cubes:\n{}{}", cube("A"), cube("B"))).unwrap();
        let query = query::parse(&json!({"measures": ["A.count", "B.count"]})).unwrap();
        let error = resolve(&model, &query).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error, "Can't find join path to join 'A', 'B'");
    }

    #[test]
    fn the_default_order_is_time_then_measure_then_dimension() {
        let (count, name, time) =
            ("TrackedEvents.count", "TrackedEvents.eventName", "TrackedEvents.derivedTstamp");
        let by_day = json!([{"dimension": time, "granularity": "day"}]);
        for (sent, expected) in [
            (
                json!({"measures": [count], "dimensions": [name], "timeDimensions": by_day}),
                vec![("TrackedEvents.derivedTstamp.day", false)],
            ),
            (json!({"measures": [count], "dimensions": [name]}), vec![(count, true)]),
            (json!({"dimensions": [name]}), vec![(name, false)]),
            (json!({"measures": [count], "dimensions": [name], "order": {}}), vec![]),
            (json!({"measures": [count], "order": {"TrackedEvents.eventName": "asc", "X.y": "asc"}}), vec![]),
            (
                json!({"measures": [count], "timeDimensions": by_day, "order": [[time, "desc"], [count, "asc"]]}),
                vec![("TrackedEvents.derivedTstamp.day", true), (count, false)],
            ),
        ] {
            let model = Model::built_in();
            let query = query::parse(&sent).unwrap();
            let resolved = resolve(&model, &query).unwrap();
            let order: Vec<(String, bool)> =
                resolved.order.iter().map(|order| (order.column.key(), order.descending)).collect();
            let expected: Vec<(String, bool)> =
                expected.into_iter().map(|(key, desc)| (key.to_owned(), desc)).collect();
            assert_eq!(order, expected, "{sent}");
        }
    }
}
