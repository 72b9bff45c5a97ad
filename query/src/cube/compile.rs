//! Compiles a resolved query to SQL. Values are bound parameters; identifiers and expressions come from the model alone.
//! The filter on the tenant is written here, first and for every query: no caller can leave it out.

use super::compile_filter::condition_sql;
use super::granularity::instant_label;
use super::model::{Aggregate, DimensionKind, Measure};
use super::resolve::{Column, Condition, Resolved};
use tally_store::{Parameter, Statement};

/// The rows of the answer: one column a member, in the order of [`Resolved::columns`], each as text or null.
pub(super) fn rows(query: &Resolved<'_>, tenant: i64) -> Statement {
    let mut statement = Statement::default();
    let zone = statement.bind_text(&query.zone_name);
    let values: Vec<String> = query.columns().iter().map(|column| shown(column, &zone)).collect();
    let body = from_and_groups(query, tenant, &zone, &mut statement);
    let order = ordering(query, &zone);
    let limit = statement.bind(Parameter::Unsigned(query.limit), "UInt64");
    let offset = statement.bind(Parameter::Unsigned(query.offset.unwrap_or(0)), "UInt64");
    statement.sql = format!("SELECT {} {body}{order} LIMIT {limit} OFFSET {offset}", values.join(", "));
    statement
}

fn ordering(query: &Resolved<'_>, zone: &str) -> String {
    let direction = |descending| if descending { "DESC" } else { "ASC" };
    let ordered = query
        .order
        .iter()
        .map(|order| format!("{} {}", expression(&order.column, zone), direction(order.descending)));
    list(" ORDER BY ", &ordered.collect::<Vec<_>>(), ", ")
}

/// A clause with its elements, or nothing when there are none.
fn list(clause: &str, elements: &[String], separator: &str) -> String {
    if elements.is_empty() { String::new() } else { format!("{clause}{}", elements.join(separator)) }
}

/// How many rows [`rows`] would give without limit and offset.
pub(super) fn total(query: &Resolved<'_>, tenant: i64) -> Statement {
    let mut statement = Statement::default();
    let zone = statement.bind_text(&query.zone_name);
    // The aggregate keeps a query of measures alone at its one row.
    let body = from_and_groups(query, tenant, &zone, &mut statement);
    statement.sql = format!("SELECT count() FROM (SELECT count() {body})");
    statement
}

fn from_and_groups(query: &Resolved<'_>, tenant: i64, zone: &str, statement: &mut Statement) -> String {
    let cube = query.cube;
    let tenant = statement.bind(Parameter::Integer(tenant), "Int64");
    let mut conditions = vec![format!("`{}`.`{}` = {tenant}", cube.alias, cube.tenant_column)];
    for time in &query.time_dimensions {
        if let Some(range) = &time.range {
            let between =
                Condition::Between { dimension: time.dimension, range: range.clone(), negated: false };
            conditions.push(condition_sql(&between, statement));
        }
    }
    conditions.extend(query.segments.iter().map(|segment| format!("({})", segment.sql)));
    for condition in &query.conditions {
        conditions.push(condition_sql(condition, statement));
    }
    let table: Vec<String> = cube.table.split('.').map(|part| format!("`{part}`")).collect();
    let columns = query.columns();
    let groups = columns.iter().filter(|column| !matches!(column, Column::Measure(_)));
    let groups: Vec<String> = groups.map(|column| expression(column, zone)).collect();
    let having: Vec<String> =
        query.group_conditions.iter().map(|condition| condition_sql(condition, statement)).collect();
    format!(
        "FROM {} AS `{}` WHERE {}{}{}",
        table.join("."),
        cube.alias,
        conditions.join(" AND "),
        list(" GROUP BY ", &groups, ", "),
        list(" HAVING ", &having, " AND "),
    )
}

/// What a column groups, orders and counts by.
fn expression(column: &Column<'_>, zone: &str) -> String {
    match column {
        Column::Dimension(dimension) => dimension.sql.clone(),
        Column::Bucket(dimension, bucket) => bucket.granularity.bucket(&dimension.sql, zone),
        Column::Measure(measure) => aggregate_sql(measure),
    }
}

/// A column's value as the answer shows it: text, booleans as 0 and 1, times local and without a zone.
fn shown(column: &Column<'_>, zone: &str) -> String {
    let sql = expression(column, zone);
    match column {
        Column::Dimension(dimension) => match dimension.kind {
            DimensionKind::String | DimensionKind::Number => format!("toString({sql})"),
            DimensionKind::Boolean => format!("toString(toUInt8({sql}))"),
            DimensionKind::Time => instant_label(&sql, zone),
        },
        Column::Bucket(_, bucket) => bucket.granularity.label(&sql, zone),
        Column::Measure(_) => format!("toString({sql})"),
    }
}

/// A measure's aggregate; over no rows null, but for counts.
pub(super) fn aggregate_sql(measure: &Measure) -> String {
    match &measure.aggregate {
        Aggregate::Count(None) => "count()".to_owned(),
        Aggregate::Count(Some(sql)) => format!("count({sql})"),
        Aggregate::CountDistinct(sql) => format!("uniqExact({sql})"),
        Aggregate::CountDistinctApprox(sql) => format!("uniqCombined64({sql})"),
        Aggregate::Sum(sql) => format!("sumOrNull({sql})"),
        Aggregate::Avg(sql) => format!("avgOrNull({sql})"),
        Aggregate::Min(sql) => format!("minOrNull({sql})"),
        Aggregate::Max(sql) => format!("maxOrNull({sql})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::Model;
    use super::super::{query, resolve};
    use super::*;

    fn compiled(sent: &serde_json::Value) -> Resolved<'static> {
        let model: &'static Model = Box::leak(Box::new(Model::built_in()));
        resolve::resolve(model, &query::parse(sent).unwrap()).unwrap()
    }

    #[test]
    fn queries_compile_to_sql_with_bound_values() {
        let time = "TrackedEvents.derivedTstamp";
        let mut texts = Vec::new();
        for sent in [
            json!({"measures": ["TrackedEvents.count"]}),
            json!({
                "measures": ["TrackedEvents.uniqueUsersCount"],
                "dimensions": ["TrackedEvents.eventName"],
                "timeDimensions": [{"dimension": time, "granularity": "day", "dateRange": ["2026-11-02", "2026-11-08"]}],
                "timezone": "America/Los_Angeles",
                "limit": 100, "offset": 20,
            }),
            json!({
                "dimensions": ["TrackedEvents.eventId", time],
                "timeDimensions": [{"dimension": time, "granularity": "hour"}],
                "segments": ["TrackedEvents.knownUsers"],
                "order": [["TrackedEvents.eventId", "desc"]],
            }),
            json!({
                "measures": ["TrackedEvents.count"],
                "dimensions": ["TrackedEvents.userId"],
                "filters": [
                    {"member": "TrackedEvents.eventName", "operator": "contains", "values": ["o'r", null]},
                    {"member": "TrackedEvents.userId", "operator": "notEquals", "values": ["7", "8"]},
                    {"or": [
                        {"member": "TrackedEvents.label", "operator": "startsWith", "values": ["a"]},
                        {"and": [
                            {"member": "TrackedEvents.value", "operator": "gte", "values": ["1.5"]},
                            {"member": time, "operator": "notInDateRange", "values": ["2026-11-02"]},
                        ]},
                    ]},
                    {"member": "TrackedEvents.count", "operator": "gt", "values": ["3"]},
                ],
                "order": {},
            }),
        ] {
            texts.push(format!("{sent}\n{}", rows(&compiled(&sent), 42)));
        }
        insta::assert_snapshot!(texts.join("\n\n"));
    }

    #[test]
    fn a_total_counts_groups_within_the_tenant() {
        let sent = json!({"measures": ["TrackedEvents.count"], "dimensions": ["TrackedEvents.eventName"], "limit": 3});
        insta::assert_snapshot!(total(&compiled(&sent), 42));
    }
}
