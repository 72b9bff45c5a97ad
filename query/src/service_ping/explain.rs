//! Where a metric's value comes from, for people: its definition, what it is read from, the window, the rows, the value.

use std::fmt::{self, Write};

use jiff::tz::TimeZone;
use serde_json::Value;
use tally_schemas::TimeFrame;

use super::category::is_permitted;
use super::execute::PURPOSE;
use super::payload::{Context, PayloadKind};
use super::plan::{Plan, PlannedMetric};
use super::source::{Source, text_field};
use super::{coverage, generate};
use crate::warehouse::Warehouse;
use tally_store::{Parameter, Statement};

/// Where a metric's value comes from. Its `Display` is a text of several lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    lines: Vec<(&'static str, String)>,
    /// The value that the full payload would have at the moment, permitted or not.
    pub value: Value,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 1;
        for (name, text) in &self.lines {
            let label = format!("{name}:");
            writeln!(f, "{label:<width$} {text}")?;
        }
        Ok(())
    }
}

/// Explains the metric at `key_path`, with its value as of the context's instant; `None` when no definition that is active
/// or broken has it.
pub async fn explain(
    plan: &Plan,
    context: &Context<'_>,
    warehouse: &Warehouse,
    key_path: &str,
) -> Option<Explanation> {
    let alone = plan.only(key_path)?;
    let metric = &alone.metrics[0];
    let metrics = [metric];
    let reading = generate::read(&alone, &metrics, context, warehouse, PayloadKind::Full);
    let readings = Box::pin(reading).await;
    let result = generate::evaluate(metric, context, &readings);
    let mut lines = definition(metric, context);
    lines.extend(source(&alone, metric, context));
    let rows = match &metric.source {
        Source::Sql(_) => readings.sql.rows_read.map(|rows| rows.to_string()),
        _ => rows_of_counters(&alone, metric, context, warehouse).await,
    };
    lines.extend(rows.map(|rows| ("rows read", rows)));
    let value = match result {
        Ok(value) => {
            lines.push(("value", value.to_string()));
            value
        }
        Err(missing) => {
            let why = missing.error().unwrap_or_else(|| missing.reason.as_str().to_owned());
            let value = missing.reason.fallback(key_path);
            lines.push(("value", format!("{value}, a fallback, because {why}")));
            value
        }
    };
    Some(Explanation { lines, value })
}

fn definition(metric: &PlannedMetric, context: &Context<'_>) -> Vec<(&'static str, String)> {
    let definition = &metric.definition;
    let description = text_field(definition, "description").unwrap_or_default();
    let permitted = is_permitted(definition.data_category, context);
    let is_in = if permitted { "yes" } else { "no, its category is not permitted" };
    vec![
        ("key_path", definition.key_path.clone()),
        ("description", description.split_whitespace().collect::<Vec<_>>().join(" ")),
        ("definition", definition.path.to_string()),
        ("status", definition.status.as_str().to_owned()),
        ("data source", definition.data_source.as_str().to_owned()),
        ("data category", definition.data_category.as_str().to_owned()),
        ("in the payload", is_in.to_owned()),
    ]
}

fn source(plan: &Plan, metric: &PlannedMetric, context: &Context<'_>) -> Vec<(&'static str, String)> {
    let (what, counters): (String, &[String]) = match &metric.source {
        Source::Total(counters) => ("the sum of counters".to_owned(), counters),
        Source::Sum(counters) => ("the sum of sums".to_owned(), counters),
        Source::Unique(counter) => {
            ("distinct identifiers, estimated".to_owned(), std::slice::from_ref(counter))
        }
        Source::Union(_) => {
            ("distinct identifiers of a union, estimated".to_owned(), counters_of(plan, metric))
        }
        Source::UniqueTotals { property, counters } => (format!("counts by {property}"), counters),
        Source::Sql(sql) => {
            let text = sql.readable(metric.definition.time_frame, context.recorded_at);
            let remark = Some(sql.remark()).filter(|remark| !remark.is_empty());
            let lines = [("source", "SQL".to_owned()), ("SQL", text)];
            return lines.into_iter().chain(remark.map(|remark| ("note", remark.to_owned()))).collect();
        }
        Source::Fact(fact) if fact.is_of_directory() => ("the directory".to_owned(), &[]),
        Source::Fact(_) => ("the instance itself".to_owned(), &[]),
        Source::Setting(name) => (format!("the application setting {name}"), &[]),
        Source::SettingPresent(name) => (format!("whether the application setting {name} is set"), &[]),
        Source::License(_) => ("the licence".to_owned(), &[]),
        Source::Prometheus(query) => (format!("Prometheus: {query}"), &[]),
        Source::Absent(_) => ("none".to_owned(), &[]),
    };
    let mut lines = vec![("source", what)];
    if let Some(reason) = coverage::missing(metric, context) {
        lines.push(("why none", reason.as_str().to_owned()));
    }
    if !counters.is_empty() {
        lines.push(("counters", counters.join(", ")));
        lines.push(("window", window(metric, context)));
    }
    lines
}

fn counters_of<'a>(plan: &'a Plan, metric: &'a PlannedMetric) -> &'a [String] {
    match &metric.source {
        Source::Union(number) => &plan.unions[*number],
        Source::Unique(counter) => std::slice::from_ref(counter),
        Source::Total(counters) | Source::Sum(counters) | Source::UniqueTotals { counters, .. } => counters,
        _ => &[],
    }
}

fn window(metric: &PlannedMetric, context: &Context<'_>) -> String {
    let frame = metric.definition.time_frame;
    let window = frame.window(context.recorded_at.to_zoned(TimeZone::UTC).date());
    match (window.first, window.last) {
        (Some(first), Some(last)) => format!("{frame}: {first} to {last} (UTC days)"),
        _ => format!("{frame}: everything ever counted"),
    }
}

/// How many rows of the aggregates the value is made of.
async fn rows_of_counters(
    plan: &Plan,
    metric: &PlannedMetric,
    context: &Context<'_>,
    warehouse: &Warehouse,
) -> Option<String> {
    let table = match &metric.source {
        Source::Total(_) | Source::Sum(_) => "counters",
        Source::Unique(_) | Source::Union(_) => "uniques",
        Source::UniqueTotals { .. } => "unique_totals",
        _ => return None,
    };
    let mut statement = Statement::default();
    let names = statement.bind(Parameter::Texts(counters_of(plan, metric).to_vec()), "Array(String)");
    let mut sql = format!("SELECT toString(count()) FROM {table} WHERE counter IN {names}");
    let frame = metric.definition.time_frame;
    let window = frame.window(context.recorded_at.to_zoned(TimeZone::UTC).date());
    if matches!(frame, TimeFrame::SevenDays | TimeFrame::TwentyEightDays) {
        for (bound, comparison) in [(window.first, ">="), (window.last, "<=")] {
            let day = statement.bind(Parameter::Text(bound?.to_string()), "Date");
            write!(sql, " AND day {comparison} {day}").expect("a string takes all text");
        }
    }
    statement.sql = sql;
    let (row, _) = warehouse.row(PURPOSE, &statement).await.ok()?;
    Some(format!("{} of {table}", row.into_iter().next()??))
}
