//! Computes a payload: reads what its metrics need, evaluates them and puts them into the tree.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tally_schemas::DataSource;

use super::category::is_permitted;
use super::database::{self, SqlReadings};
use super::execute::{self, CounterReadings};
use super::fact::Fact;
use super::payload::{Context, MetricMetadata, Payload, PayloadKind};
use super::plan::{Plan, PlannedMetric};
use super::reason::{Missing, NOT_SQL, Reason};
use super::source::Source;
use super::sql::Framed;
use super::{compile, license, promql, settings, tree, value};
use crate::warehouse::Warehouse;

/// The fields that say which instance a payload is of and when it was made; they stand in every payload.
const IDENTITY: [(&str, Fact); 6] = [
    ("recorded_at", Fact::RecordedAt),
    ("uuid", Fact::Uuid),
    ("hostname", Fact::Hostname),
    ("version", Fact::Version),
    ("installation_type", Fact::InstallationType),
    ("edition", Fact::Edition),
];

/// All that was read for a payload.
#[derive(Debug, Default)]
pub(super) struct Readings {
    pub counters: CounterReadings,
    pub sql: SqlReadings,
    /// Where a metric's value stands among those of SQL, by `key_path`.
    pub sql_places: HashMap<String, usize>,
    /// By `key_path`: Prometheus' answer, and how long it took.
    pub prometheus: HashMap<String, (Result<f64, String>, Duration)>,
    /// How many ClickHouse queries were sent.
    pub queries: usize,
    /// When all had been read.
    pub finished_at: Timestamp,
}

/// Computes a payload of `plan`, from what the tables hold. Never fails: what can't be computed is its fallback, with the
/// reason in the metadata.
pub async fn generate(
    plan: &Plan,
    context: &Context<'_>,
    warehouse: &Warehouse,
    kind: PayloadKind,
) -> Payload {
    let is_in = |metric: &&PlannedMetric| is_permitted(metric.definition.data_category, context);
    let metrics: Vec<&PlannedMetric> = plan.metrics.iter().filter(is_in).collect();
    let readings = Box::pin(read(plan, &metrics, context, warehouse, kind)).await;
    let payload = render(&metrics, context, &readings, kind);
    tracing::debug!(%kind, queries = payload.queries, metrics = metrics.len(), "service ping computed");
    payload
}

/// Reads what the metrics need.
pub(super) async fn read(
    plan: &Plan,
    metrics: &[&PlannedMetric],
    context: &Context<'_>,
    warehouse: &Warehouse,
    kind: PayloadKind,
) -> Readings {
    let started = Instant::now();
    let now = context.recorded_at;
    let statements = compile::compile(plan, now.to_zoned(TimeZone::UTC).date());
    let mut pieces: Vec<Framed<'_>> = Vec::new();
    let mut sql_places = HashMap::new();
    for metric in metrics.iter().filter(|_| kind == PayloadKind::Full) {
        if let Source::Sql(sql) = &metric.source {
            sql_places.insert(metric.key_path().to_owned(), pieces.len());
            pieces.push((sql, metric.definition.time_frame));
        }
    }
    let (counters, sql, prometheus) = tokio::join!(
        execute::execute(warehouse, &statements),
        database::execute(warehouse, &pieces, now),
        ask_prometheus(metrics, context),
    );
    let elapsed = SignedDuration::try_from(started.elapsed()).unwrap_or_default();
    Readings {
        queries: statements.count() + sql.queries,
        counters,
        sql,
        sql_places,
        prometheus,
        finished_at: now.saturating_add(elapsed).unwrap_or(now),
    }
}

async fn ask_prometheus(
    metrics: &[&PlannedMetric],
    context: &Context<'_>,
) -> HashMap<String, (Result<f64, String>, Duration)> {
    let mut answers = HashMap::new();
    if context.prometheus_url.is_empty() {
        return answers;
    }
    let queries = metrics.iter().filter_map(|metric| match &metric.source {
        Source::Prometheus(query) => Some((metric.key_path(), query)),
        _ => None,
    });
    let client = reqwest::Client::new();
    for (key_path, query) in queries {
        let started = Instant::now();
        let answer = promql::query(&client, context.prometheus_url, query, context.recorded_at).await;
        answers.insert(key_path.to_owned(), (answer, started.elapsed()));
    }
    answers
}

/// The payload of what was read.
pub(super) fn render(
    metrics: &[&PlannedMetric],
    context: &Context<'_>,
    readings: &Readings,
    kind: PayloadKind,
) -> Payload {
    let head = head(context, readings);
    let mut document = head.clone();
    let shares = Shares::of(metrics, readings);
    let mut metadata = Vec::with_capacity(metrics.len());
    for metric in metrics {
        let key_path = metric.key_path();
        let (value, error) = match shown_instead(metric, context, kind) {
            Some(value) => (value, None),
            None => match evaluate(metric, context, readings) {
                Ok(value) => (value, None),
                Err(missing) => (missing.reason.fallback(key_path), missing.error()),
            },
        };
        if !head.contains_key(key_path) && tree::insert(&mut document, key_path, value).is_err() {
            tracing::warn!(key_path, "key path collides with another one and is left out");
            continue;
        }
        let time_elapsed = shares.seconds(metric, readings);
        metadata.push(MetricMetadata { name: key_path.to_owned(), time_elapsed, error });
    }
    Payload { document, metadata, queries: readings.queries }
}

/// The identity fields, and the licence's where there is one.
fn head(context: &Context<'_>, readings: &Readings) -> Map<String, Value> {
    let identity = IDENTITY.map(|(name, fact)| (name.to_owned(), fact.value(context, readings.finished_at)));
    identity.into_iter().chain(license::fields(context.license)).collect()
}

/// What stands for a metric of SQL in the payloads that don't run it.
fn shown_instead(metric: &PlannedMetric, context: &Context<'_>, kind: PayloadKind) -> Option<Value> {
    let is_absent =
        matches!(metric.source, Source::Absent(reason) if reason != Reason::RemovedInstrumentation);
    match (kind, &metric.source) {
        (PayloadKind::Queries, Source::Sql(sql)) => {
            Some(sql.readable(metric.definition.time_frame, context.recorded_at).into())
        }
        (PayloadKind::NonSql, Source::Sql(_)) => Some(NOT_SQL.into()),
        (PayloadKind::NonSql, _) if is_absent && metric.definition.data_source == DataSource::Database => {
            Some(NOT_SQL.into())
        }
        _ => None,
    }
}

/// The metric's value, or why there is none.
pub(super) fn evaluate(
    metric: &PlannedMetric,
    context: &Context<'_>,
    readings: &Readings,
) -> Result<Value, Missing> {
    match &metric.source {
        Source::Sql(_) => {
            let place = readings.sql_places.get(metric.key_path());
            match place.and_then(|place| readings.sql.values.get(*place)) {
                Some(Ok(text)) => value::of_text(text.as_deref(), metric.definition.value_type),
                Some(Err(error)) => Err(Missing::failed(Reason::QueryFailed, error)),
                None => Err(Missing::failed(Reason::QueryFailed, "it was not read")),
            }
        }
        Source::Prometheus(_) => match readings.prometheus.get(metric.key_path()) {
            Some((Ok(number), _)) => Ok((*number).into()),
            Some((Err(error), _)) => Err(Missing::failed(Reason::PrometheusFailed, error)),
            None => Err(Reason::NoPrometheus.into()),
        },
        Source::Fact(fact) => Ok(fact.value(context, readings.finished_at)),
        Source::Setting(name) => Ok(settings::value(&context.directory.read(), name)?),
        Source::SettingPresent(name) => {
            Ok(settings::value(&context.directory.read(), name).is_ok_and(|value| !value.is_null()).into())
        }
        Source::License(field) => Ok(field.value(context.license)?),
        Source::Absent(reason) => Err((*reason).into()),
        _ => value::of_counters(metric, &readings.counters)
            .unwrap_or_else(|| Err(Missing::failed(Reason::QueryFailed, "it was not read"))),
    }
}

/// How many metrics were read by each of the statements about counters: a metric's time is its share.
#[derive(Default)]
struct Shares {
    counts: f64,
    sums: f64,
    uniques: f64,
    unions: f64,
    unique_totals: f64,
}

impl Shares {
    fn of(metrics: &[&PlannedMetric], readings: &Readings) -> Self {
        let share = |elapsed: Duration, is_read: fn(&Source) -> bool| {
            let sharers = metrics.iter().filter(|metric| is_read(&metric.source)).count().max(1);
            elapsed.as_secs_f64() / sharers as f64
        };
        let counters = &readings.counters;
        Self {
            counts: share(counters.counts.elapsed, |source| matches!(source, Source::Total(_))),
            sums: share(counters.sums.elapsed, |source| matches!(source, Source::Sum(_))),
            uniques: share(counters.uniques.elapsed, |source| matches!(source, Source::Unique(_))),
            unions: share(counters.unions.elapsed, |source| matches!(source, Source::Union(_))),
            unique_totals: share(counters.unique_totals.elapsed, |source| {
                matches!(source, Source::UniqueTotals { .. })
            }),
        }
    }

    fn seconds(&self, metric: &PlannedMetric, readings: &Readings) -> f64 {
        match &metric.source {
            Source::Total(_) => self.counts,
            Source::Sum(_) => self.sums,
            Source::Unique(_) => self.uniques,
            Source::Union(_) => self.unions,
            Source::UniqueTotals { .. } => self.unique_totals,
            Source::Sql(_) => readings.sql.elapsed.as_secs_f64(),
            Source::Prometheus(_) => {
                readings.prometheus.get(metric.key_path()).map_or(0.0, |(_, elapsed)| elapsed.as_secs_f64())
            }
            _ => 0.0,
        }
    }
}
