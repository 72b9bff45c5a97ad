//! A ping's cost does not grow with the number of metrics: as many queries for thousands as for a handful.

use std::fmt::Write;
use std::time::Instant;

use tally_query::service_ping::{PayloadKind, Plan};
use tally_schemas::Definitions;

use crate::app::with_app;

/// Metrics of each of the two shapes below.
const METRICS: usize = 700;

const SHAPE: &str = "
description: A number
product_group: analytics_instrumentation
milestone: '17.6'
introduced_by_url: https://example.com/1
tiers: [free, premium, ultimate]
data_category: optional
value_type: number
status: active
data_source: internal_events
";

#[test]
fn thousands_of_metrics_over_a_year_take_a_handful_of_queries() {
    with_app("scale", |app| async move {
        let plan = Plan::new(&many_definitions());
        assert_eq!(plan.metric_count(), 5 * METRICS);
        app.sql(&format!(
            "INSERT INTO counters (day, counter, count) \
             SELECT toDate('2026-11-18') - intDiv(number, {METRICS}), concat('event_', toString(number % {METRICS})), 3 \
             FROM numbers(365 * {METRICS})"
        ))
        .await;
        // A month at a time, which bounds the memory that it takes.
        for first in (0..365).step_by(30) {
            let days = (365 - first).min(30);
            app.sql(&format!(
                "INSERT INTO uniques (day, counter, hashes) \
                 SELECT toDate('2026-11-18') - {first} - intDiv(number, {METRICS}), \
                 concat('event_', toString(number % {METRICS}), '.unique(user.id)'), \
                 arrayMap(user -> sipHash64(toUInt64(user)), range((number + {first} * {METRICS}) % 50, 100)) \
                 FROM numbers({days} * {METRICS})"
            ))
            .await;
        }
        let started = Instant::now();
        let payload = app.payload(&plan, PayloadKind::Full).await;
        println!("{} metrics, {} queries, {:?}", plan.metric_count(), payload.queries, started.elapsed());
        assert!(payload.queries <= 6, "{}", payload.queries);
        let document = serde_json::Value::from(payload.document);
        assert_eq!(document["counts"]["event_699_weekly"], 21);
        assert_eq!(document["counts"]["event_699_monthly"], 84);
        assert_eq!(document["redis_hll_counters"]["event_10_weekly"], 90);
        assert_eq!(document["redis_hll_counters"]["event_0_monthly"], 100);
    });
}

/// Totals over three time frames of single events, and unique users over two of pairs and of single events.
fn many_definitions() -> Definitions {
    let folder = tempfile::Builder::new().prefix("definitions").tempdir().unwrap();
    for number in 0..METRICS {
        let next = (number + 1) % METRICS;
        let users = |name: usize| format!("{{name: event_{name}, unique: user.id}}");
        let mut unique = users(number);
        if number % 10 == 9 {
            write!(unique, ", {}", users(next)).unwrap();
        }
        let total = format!(
            "{SHAPE}key_path: counts.event_{number}\ntime_frame: [7d, 28d, all]\nevents: [{{name: event_{number}}}]\n"
        );
        let unique = format!(
            "{SHAPE}key_path: redis_hll_counters.event_{number}\ntime_frame: [7d, 28d]\nevents: [{unique}]\n"
        );
        let event = format!(
            "description: x\ninternal_events: true\naction: event_{number}\nidentifiers: [user]\nproduct_group: x\n\
             milestone: '17.6'\nintroduced_by_url: https://example.com/1\ntiers: [free]\n"
        );
        for (name, text) in [("t", total), ("u", unique), ("e", event)] {
            std::fs::write(folder.path().join(format!("{name}{number}.yml")), text).unwrap();
        }
    }
    Definitions::load(&[folder.path().display().to_string()]).unwrap_or_else(|errors| panic!("{errors}"))
}
