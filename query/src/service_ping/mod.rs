//! The Service Ping's payload: definitions -> plan -> statements -> readings -> values -> payload tree. Each step has its
//! file. How many queries a ping takes does not depend on how many metrics there are.

mod compile;
mod execute;
mod explain;
mod payload;
mod plan;
mod tree;
mod value;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

pub use execute::Readings;
pub use explain::{Explanation, explain};
pub use payload::{Consent, Context, MetricMetadata, Payload, PayloadKind};
pub use plan::Plan;

use crate::config::InstanceConfig;
use crate::warehouse::Warehouse;

/// Computes a payload of `plan`, from what the tables hold. Never fails: what can't be computed is its fallback, with the
/// reason in the metadata.
pub async fn generate(
    plan: &Plan,
    context: &Context<'_>,
    warehouse: &Warehouse,
    _kind: PayloadKind,
) -> Payload {
    let statements = compile::compile(plan, context.recorded_at.to_zoned(TimeZone::UTC).date());
    let queries = statements.count();
    let readings = execute::execute(warehouse, &statements).await.unwrap_or_default();
    let document = render(plan, context.instance, &readings, context.recorded_at);
    Payload { document, metadata: Vec::new(), queries }
}

fn render(plan: &Plan, instance: &InstanceConfig, readings: &Readings, now: Timestamp) -> Map<String, Value> {
    let mut document = identity(instance, now);
    for metric in &plan.metrics {
        let value = value::evaluate(metric, readings);
        if tree::insert(&mut document, &metric.key_path, value).is_err() {
            tracing::warn!(key_path = metric.key_path, "key path collides with another one and is left out");
        }
    }
    document
}

/// The fields that say which instance this is and when the payload was made.
fn identity(instance: &InstanceConfig, now: Timestamp) -> Map<String, Value> {
    [
        ("recorded_at", now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()),
        ("uuid", instance.uuid.clone()),
        ("hostname", instance.hostname.clone()),
        ("version", instance.reported_version().to_owned()),
        ("installation_type", instance.installation_type.clone()),
        ("edition", instance.edition.clone()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), Value::from(value)))
    .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tally_schemas::TimeFrame;

    use super::plan::{PlannedMetric, Source};
    use super::*;

    fn metric(key_path: &str, time_frame: TimeFrame, source: Source) -> PlannedMetric {
        PlannedMetric { key_path: key_path.to_owned(), time_frame, source }
    }

    #[test]
    fn a_payload_nests_values_at_their_key_paths_after_the_identity_fields() {
        let total = || Source::Total(vec!["a".to_owned(), "b".to_owned()]);
        let totals = |counter: &str| Source::UniqueTotals {
            property: "label".to_owned(),
            counters: vec![counter.to_owned()],
        };
        let plan = Plan {
            metrics: vec![
                metric("counts.created_weekly", TimeFrame::SevenDays, total()),
                metric("counts.created_monthly", TimeFrame::TwentyEightDays, total()),
                metric("counts.created", TimeFrame::All, total()),
                metric("counts.nothing", TimeFrame::All, Source::Total(vec!["unseen".to_owned()])),
                metric(
                    "sums.minutes_monthly",
                    TimeFrame::TwentyEightDays,
                    Source::Sum(vec!["m.sum(value)".to_owned()]),
                ),
                metric(
                    "redis_hll_counters.x.users_weekly",
                    TimeFrame::SevenDays,
                    Source::Unique("u".to_owned()),
                ),
                metric("redis_hll_counters.x.nobody_weekly", TimeFrame::SevenDays, Source::Union(1)),
                metric("redis_hll_counters.x.users_ever", TimeFrame::All, Source::Unique("u".to_owned())),
                metric("top_level_28d", TimeFrame::TwentyEightDays, Source::Union(0)),
                metric("counts.by_label_weekly", TimeFrame::SevenDays, totals("t.totals(label)")),
                metric("counts.by_label_of_nothing", TimeFrame::All, totals("unseen")),
            ],
            unions: vec![vec!["u".to_owned(), "v".to_owned()], vec!["w".to_owned(), "x".to_owned()]],
        };
        let readings = Readings {
            counts: HashMap::from([("a".to_owned(), [1, 10, 100]), ("b".to_owned(), [2, 20, 200])]),
            sums: HashMap::from([(
                "m.sum(value)".to_owned(),
                [500_000_000, 12_250_000_000, 1_000_000_000_000],
            )]),
            uniques: HashMap::from([("u".to_owned(), [7, 28])]),
            unions: HashMap::from([(0, [9, 99])]),
            unique_totals: HashMap::from([(
                "t.totals(label)".to_owned(),
                vec![("red".to_owned(), [3, 4, 5]), ("blue".to_owned(), [0, 1, 1])],
            )]),
        };
        let now = "2026-11-18T10:30:00.25Z".parse().unwrap();
        let instance = InstanceConfig { version: "1.2.3".to_owned(), ..InstanceConfig::default() };
        insta::assert_json_snapshot!(render(&plan, &instance, &readings, now));
    }
}
