//! The Service Ping over known rows: windows at their edges, sums, unions, unique totals.

use serde_json::json;

use crate::app::with_app;

#[test]
fn a_ping_without_data_has_every_metric_at_zero() {
    with_app("ping_empty", |app| async move {
        insta::assert_json_snapshot!(app.ping().await);
    });
}

#[test]
fn totals_count_whole_iso_weeks_and_all_time_counts_everything() {
    with_app("ping_totals", |app| async move {
        // The Sunday before the four weeks, their first Monday, the edges of the last week, the current week.
        app.sql(
            "INSERT INTO counters (day, counter, count) VALUES ('2026-10-18', 'test_created', 1), \
             ('2026-10-19', 'test_created', 2), ('2026-11-08', 'test_created', 4), ('2026-11-09', 'test_created', 8), \
             ('2026-11-15', 'test_created', 16), ('2026-11-16', 'test_created', 32), ('2026-11-18', 'test_created', 64)",
        )
        .await;
        // A second part for a day that has rows already, another event, another filter.
        app.sql(
            "INSERT INTO counters (day, counter, count) VALUES ('2026-11-09', 'test_created', 1000), \
             ('2026-11-10', 'test_closed', 10000), ('2026-11-10', 'test_created{label=\"red\"}', 5), \
             ('2026-11-10', 'test_created{label=\"blue\"}', 7), ('2026-11-10', 'unknown_to_definitions', 9)",
        )
        .await;
        let ping = app.ping().await;
        assert_eq!(ping["counts"]["created_or_closed_weekly"], 8 + 16 + 1000 + 10000);
        assert_eq!(ping["counts"]["created_or_closed_monthly"], 2 + 4 + 8 + 16 + 1000 + 10000);
        assert_eq!(ping["counts"]["created_or_closed"], 127 + 1000 + 10000);
        assert_eq!(ping["counts"]["created_red_7d"], 5);
        assert_eq!(ping["counts"]["never_happened"], 0);
    });
}

#[test]
fn sums_are_exact_decimals() {
    with_app("ping_sums", |app| async move {
        app.sql(
            "INSERT INTO counters (day, counter, sum) VALUES ('2026-11-09', 'test_created.sum(value)', 0.1), \
             ('2026-11-10', 'test_created.sum(value)', 0.2), ('2026-10-20', 'test_created.sum(value)', 10), \
             ('2026-01-01', 'test_created.sum(value)', -10.3)",
        )
        .await;
        let ping = app.ping().await;
        assert_eq!(ping["sums"], json!({"minutes_weekly": 0.3, "minutes_monthly": 10.3, "minutes": 0}));
    });
}

#[test]
fn uniques_are_unions_over_days_and_counters() {
    with_app("ping_uniques", |app| async move {
        for (day, counter, first, last) in [
            ("2026-10-18", "test_created", 90_000, 90_100),
            ("2026-10-19", "test_created", 50_000, 50_100),
            ("2026-11-08", "test_created", 0, 10),
            ("2026-11-09", "test_created", 0, 1_000),
            ("2026-11-15", "test_created", 500, 1_500),
            ("2026-11-12", "test_closed", 1_400, 2_000),
            ("2026-11-16", "test_created", 70_000, 71_000),
        ] {
            app.sql(&format!(
                "INSERT INTO uniques (day, counter, hashes) SELECT '{day}', '{counter}.unique(user.id)', \
                 arrayMap(id -> sipHash64(toUInt64(id)), range({first}, {last}))"
            ))
            .await;
        }
        let ping = app.ping().await;
        let expected = json!({
            "creators_weekly": 1_500, "creators_monthly": 1_600, "users_weekly": 2_000, "users_monthly": 2_100,
        });
        assert_eq!(ping["redis_hll_counters"]["test"], expected);
    });
}

#[test]
fn unique_totals_count_each_value() {
    with_app("ping_unique_totals", |app| async move {
        app.sql(
            "INSERT INTO unique_totals (day, counter, value, count) VALUES \
             ('2026-11-09', 'test_created.totals(label)', 'red', 2), ('2026-11-15', 'test_created.totals(label)', 'red', 3), \
             ('2026-11-16', 'test_created.totals(label)', 'red', 4), ('2026-11-16', 'test_created.totals(label)', 'it''s', 1)",
        )
        .await;
        let ping = app.ping().await;
        assert_eq!(ping["counts"]["by_label_weekly"], json!({"label": {"red": 5}}));
        assert_eq!(ping["counts"]["by_label"], json!({"label": {"it's": 1, "red": 9}}));
    });
}
