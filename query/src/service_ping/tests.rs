//! A payload out of given readings: the tree, each kind of counter, each kind of payload.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tally_directory::Directory;
use tally_schemas::{DataCategory, DataSource, Metric, Status, TimeFrame, ValueType};

use super::database::SqlReadings;
use super::execute::{CounterReadings, Reading};
use super::generate::{Readings, render};
use super::plan::PlannedMetric;
use super::source::Source;
use super::sql::Sql;
use super::{Consent, Context, MetricMetadata, Payload, PayloadKind, Reason};
use crate::config::{InstanceConfig, LicenseConfig};

/// An optional metric of a number.
pub(super) fn planned(key_path: &str, time_frame: TimeFrame, source: Source) -> PlannedMetric {
    let definition = Metric {
        key_path: key_path.to_owned(),
        time_frame,
        status: Status::Active,
        data_source: DataSource::InternalEvents,
        data_category: DataCategory::Optional,
        value_type: ValueType::Number,
        kind: None,
        rules: Vec::new(),
        document: serde_yaml_ng::Value::Null.into(),
        path: "metric.yml".into(),
    };
    PlannedMetric { definition, source }
}

fn payload(metrics: &[PlannedMetric], readings: &Readings, kind: PayloadKind) -> Payload {
    let context = Context {
        instance: &InstanceConfig { version: "1.2.3".to_owned(), ..InstanceConfig::default() },
        license: &LicenseConfig::default(),
        prometheus_url: "",
        directory: &Directory::in_memory(),
        consent: Consent::default(),
        recorded_at: "2026-11-18T10:30:00.25Z".parse().unwrap(),
    };
    render(&metrics.iter().collect::<Vec<_>>(), &context, readings, kind)
}

fn reading<T>(rows: T) -> Reading<T> {
    Reading { rows: Ok(rows), elapsed: Duration::from_millis(30) }
}

#[test]
fn a_payload_nests_values_at_their_key_paths_after_the_identity_fields() {
    let total = || Source::Total(vec!["a".to_owned(), "b".to_owned()]);
    let totals = |counter: &str| Source::UniqueTotals {
        property: "label".to_owned(),
        counters: vec![counter.to_owned()],
    };
    let metrics = [
        planned("counts.created_weekly", TimeFrame::SevenDays, total()),
        planned("counts.created_monthly", TimeFrame::TwentyEightDays, total()),
        planned("counts.created", TimeFrame::All, total()),
        planned("counts.nothing", TimeFrame::All, Source::Total(vec!["unseen".to_owned()])),
        planned(
            "sums.minutes_monthly",
            TimeFrame::TwentyEightDays,
            Source::Sum(vec!["m.sum(value)".to_owned()]),
        ),
        planned("redis_hll_counters.x.users_weekly", TimeFrame::SevenDays, Source::Unique("u".to_owned())),
        planned("redis_hll_counters.x.nobody_weekly", TimeFrame::SevenDays, Source::Union(1)),
        planned("redis_hll_counters.x.users_ever", TimeFrame::All, Source::Unique("u".to_owned())),
        planned("top_level_28d", TimeFrame::TwentyEightDays, Source::Union(0)),
        planned("counts.by_label_weekly", TimeFrame::SevenDays, totals("t.totals(label)")),
        planned("counts.by_label_of_nothing", TimeFrame::All, totals("unseen")),
        planned("counts.boards", TimeFrame::All, Source::Absent(Reason::NoData)),
    ];
    let counters = CounterReadings {
        counts: reading(HashMap::from([("a".to_owned(), [1, 10, 100]), ("b".to_owned(), [2, 20, 200])])),
        sums: reading(HashMap::from([(
            "m.sum(value)".to_owned(),
            [500_000_000, 12_250_000_000, 1_000_000_000_000],
        )])),
        uniques: reading(HashMap::from([("u".to_owned(), [7, 28])])),
        unions: reading(HashMap::from([(0, [9, 99])])),
        unique_totals: reading(HashMap::from([(
            "t.totals(label)".to_owned(),
            vec![("red".to_owned(), [3, 4, 5]), ("blue".to_owned(), [0, 1, 1])],
        )])),
    };
    let readings = Readings { counters, ..Readings::default() };
    insta::assert_json_snapshot!(payload(&metrics, &readings, PayloadKind::Full).document);
}

#[test]
fn what_failed_is_its_fallback_and_says_why_in_the_metadata() {
    let failed = |text: &str| Err(text.to_owned());
    let metrics = [
        planned("a", TimeFrame::All, Source::Total(vec!["a".to_owned()])),
        planned("b", TimeFrame::SevenDays, Source::Unique("b".to_owned())),
        planned("c", TimeFrame::SevenDays, Source::Union(0)),
        planned("d", TimeFrame::All, Source::Sql(Sql::own("SELECT 1"))),
        planned("e", TimeFrame::All, Source::Sql(Sql::own("SELECT 'x'"))),
        planned("f", TimeFrame::All, Source::Sql(Sql::own("SELECT 2"))),
        planned("g", TimeFrame::None, Source::Setting("unset".to_owned())),
    ];
    let readings = Readings {
        counters: CounterReadings {
            counts: Reading { rows: Err("no table".to_owned()), elapsed: Duration::ZERO },
            uniques: Reading { rows: Err("no table".to_owned()), elapsed: Duration::ZERO },
            ..CounterReadings::default()
        },
        sql: SqlReadings {
            values: vec![failed("Code: 159"), Ok(Some("x".to_owned())), Ok(Some("2".to_owned()))],
            elapsed: Duration::from_millis(125),
            ..SqlReadings::default()
        },
        sql_places: ["d", "e", "f"]
            .into_iter()
            .zip(0..)
            .map(|(name, place)| (name.to_owned(), place))
            .collect(),
        ..Readings::default()
    };
    let payload = payload(&metrics, &readings, PayloadKind::Full);
    let values: Vec<_> = metrics.iter().map(|metric| &payload.document[metric.key_path()]).collect();
    assert_eq!(values, [&json!(-1), &json!(-2), &json!(0), &json!(-1), &json!(-1), &json!(2), &json!(-1)]);
    let entry = |name: &str, time_elapsed, error: Option<&str>| MetricMetadata {
        name: name.to_owned(),
        time_elapsed,
        error: error.map(ToOwned::to_owned),
    };
    assert_eq!(
        payload.metadata,
        [
            entry("a", 0.0, Some("its query failed: no table")),
            entry("b", 0.0, Some("the estimate of distinct identifiers failed: no table")),
            entry("c", 0.0, None),
            entry("d", 0.125, Some("its query failed: Code: 159")),
            entry("e", 0.125, Some("the answer is not of the definition's value_type: x")),
            entry("f", 0.125, None),
            entry("g", 0.0, None),
        ]
    );
}

#[test]
fn metrics_of_sql_hold_their_text_or_minus_three_where_it_is_not_run() {
    let mut sql = planned("counts.rows", TimeFrame::All, Source::Sql(Sql::own("SELECT count() FROM t;")));
    let mut absent = planned("counts.boards", TimeFrame::All, Source::Absent(Reason::NoData));
    sql.definition.data_source = DataSource::Database;
    absent.definition.data_source = DataSource::Database;
    let elsewhere = planned("git.version", TimeFrame::None, Source::Absent(Reason::NoInstallation));
    let total = planned("counts.total", TimeFrame::All, Source::Total(vec!["a".to_owned()]));
    let metrics = [sql, absent, elsewhere, total];
    for (kind, expected) in [
        (PayloadKind::Queries, json!({"rows": "SELECT count() FROM t", "boards": -1, "total": 0})),
        (PayloadKind::NonSql, json!({"rows": -3, "boards": -3, "total": 0})),
    ] {
        let payload = payload(&metrics, &Readings::default(), kind);
        assert_eq!(payload.document["counts"], expected, "{kind}");
        assert_eq!(payload.document["git"]["version"], -1, "{kind}");
        assert_eq!(payload.document["version"], "1.2.3", "{kind}");
    }
}
