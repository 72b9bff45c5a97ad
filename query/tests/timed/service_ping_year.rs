//! A year of daily states for all internal-event definitions of GitLab: the ping takes less than a second.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tally_query::service_ping::{PayloadKind, Plan};
use tally_schemas::{Counter, CounterKind, Definitions};

use crate::app::{TestApp, with_app};
use crate::corpus;

/// Events that the year must stand for at least.
const EVENTS: u64 = 20_000_000;

/// How long the ping may take.
const LIMIT: Duration = Duration::from_secs(1);

const DAYS: usize = 365;

#[test]
fn a_ping_over_a_year_of_all_internal_events_takes_less_than_a_second() {
    let Some(root) = corpus::root("ping over a year") else { return };
    with_app("year", |app| async move {
        let definitions = corpus::definitions(root);
        let counters = counters(&definitions);
        let of = |is_kind: fn(&CounterKind) -> bool| -> Vec<String> {
            counters.iter().filter(|counter| is_kind(&counter.kind)).map(ToString::to_string).collect()
        };
        let totals = of(|kind| matches!(kind, CounterKind::Total));
        let sums = of(|kind| matches!(kind, CounterKind::SumOfValue));
        let uniques = of(|kind| matches!(kind, CounterKind::Unique(_)));
        println!("{} totals, {} sums, {} unique counts", totals.len(), sums.len(), uniques.len());
        assert!(totals.len() > 500 && uniques.len() > 500);
        // Two inserts, so that days have rows yet to be merged.
        for half in 0..2 {
            fill(&app, &totals, "(day, counter, count)", "counters", &format!("60 + {half} + number % 100"))
                .await;
            fill(&app, &sums, "(day, counter, count, sum)", "counters", "2, 0.5").await;
            // Every fiftieth counter saw thousands a day, the others a few dozen.
            let seen = format!(
                "arrayMap(n -> sipHash64(number + 7 * n, {half}), range(if(number % 50 = 0, 2000, 20 + number % 40)))"
            );
            fill(&app, &uniques, "(day, counter, hashes)", "uniques", &seen).await;
        }
        let events: Vec<u64> =
            app.store.client().query_raw(&plain_events(&definitions)).fetch_all().await.unwrap();
        assert!(events[0] >= EVENTS, "{} events", events[0]);

        let plan = Plan::new(&definitions);
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let started = Instant::now();
            let payload = app.payload(&plan, PayloadKind::Full).await;
            best = best.min(started.elapsed());
            let failed = payload.metadata.iter().find(|metric| metric.error.is_some());
            assert_eq!(failed, None);
            println!(
                "{} metrics over {} million events in {DAYS} days: {:.3} s, {} queries",
                payload.metadata.len(),
                events[0] / 1_000_000,
                started.elapsed().as_secs_f64(),
                payload.queries
            );
        }
        assert!(best < LIMIT, "{best:?}");
    });
}

/// Every counter of the definitions, with the plain total that each internal event has.
fn counters(definitions: &Definitions) -> BTreeSet<Counter> {
    let events = definitions.events().filter(|event| event.internal_events);
    let plain = events.map(|event| Counter::total(&event.action));
    let of_metrics = definitions.metrics().iter().flat_map(|metric| metric.rules.iter().cloned());
    plain.chain(of_metrics).collect()
}

/// A row for each day and counter; `values` is an expression over the row's `number`. A month at a time, which bounds the
/// memory that it takes.
async fn fill(app: &TestApp, counters: &[String], columns: &str, table: &str, values: &str) {
    if counters.is_empty() {
        return;
    }
    for first in (0..DAYS).step_by(30) {
        let days = (DAYS - first).min(30);
        app.sql(&format!(
            "INSERT INTO {table} {columns} \
             WITH {} AS names SELECT toDate('2026-11-17') - {first} - number % {days}, \
             names[1 + intDiv(number, {days})], {values} FROM numbers({days} * {})",
            array(counters),
            counters.len()
        ))
        .await;
    }
}

/// How many events the plain totals stand for.
fn plain_events(definitions: &Definitions) -> String {
    let events = definitions.events().filter(|event| event.internal_events);
    let names: Vec<_> = events.map(|event| Counter::total(&event.action).to_string()).collect();
    format!("SELECT sum(count) FROM counters WHERE counter IN {}", array(&names))
}

fn array(texts: &[String]) -> String {
    let quoted = texts.iter().map(|text| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")));
    format!("[{}]", quoted.collect::<Vec<_>>().join(", "))
}
