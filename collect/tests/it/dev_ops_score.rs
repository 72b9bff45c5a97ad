//! The `DevOps` score as it is answered: against the other instances' latest payloads, and only against enough of them.

use serde_json::{Value, json};

use crate::app::{TestApp, payload, with_app};

/// Posts the payload of an instance with one active user and so many issues.
async fn report(app: &TestApp, number: u64, issues: i64) -> Value {
    app.post("/usage_data", payload(number, 1, &json!({"issues": issues}))).await.json(201)["dev_ops_score"]
        .take()
}

fn issues(score: &Value) -> [f64; 3] {
    ["instance_issues", "leader_issues", "percentage_issues"].map(|field| score[field].as_f64().unwrap())
}

#[test]
fn a_score_needs_three_other_instances() {
    with_app("others", |app| async move {
        for number in 1..=3 {
            let score = report(&app, number, 10).await;
            assert_eq!(issues(&score), [0.0; 3], "instance {number} has {} others", number - 1);
            assert_eq!(score.as_object().unwrap().len(), 31);
        }
        assert_eq!(issues(&report(&app, 4, 5).await), [5.0, 10.0, 50.0]);
        // The own payloads are no others.
        assert_eq!(issues(&report(&app, 4, 5).await), [5.0, 10.0, 50.0]);
    });
}

#[test]
fn the_lead_is_the_mean_of_the_top_ten_others_by_their_latest_payloads() {
    with_app("lead", |app| async move {
        for number in 1..=12 {
            report(&app, number, number as i64 * 10).await;
        }
        // The top ten of 10, 20, … 120 are 30 … 120.
        assert_eq!(issues(&report(&app, 99, 30).await), [30.0, 75.0, 40.0]);
        // Instance 12 reports less a day later; what it reported of the day before comes late and changes nothing.
        for (recorded_at, count) in [("2026-11-21T09:00:00Z", 20), ("2026-11-19T09:00:00Z", 1_000_000)] {
            let mut later = payload(12, 1, &json!({"issues": count}));
            later["recorded_at"] = json!(recorded_at);
            app.post("/usage_data", later).await.json(201);
        }
        // Instance 99 is another now, with 30: the top ten of 10, 20, 20, 30, 30, 40 … 110 are 30, 30, 40 … 110.
        let score = report(&app, 98, 130).await;
        assert_eq!(issues(&score), [130.0, 66.0, 100.0]);
    });
}

#[test]
fn use_is_a_months_where_it_is_known_and_per_active_user() {
    with_app("per_user", |app| async move {
        for number in 1..=3 {
            let mut other =
                payload(number, 10, &json!({"deployments": 999, "notes": 40, "ci_internal_pipelines": 50}));
            other["counts_monthly"] = json!({"deployments": 20});
            app.post("/usage_data", other).await.json(201);
        }
        let mut own = payload(9, 2, &json!({"deployments": 8, "notes": -1, "ci_internal_pipelines": 1}));
        own["counts_monthly"] = json!({"deployments": -1});
        let score = app.post("/usage_data", own).await.json(201)["dev_ops_score"].take();
        for (feature, instance, leader, percentage) in [
            ("deployments", 4.0, 2.0, 100.0),
            ("notes", 0.0, 4.0, 0.0),
            ("ci_pipelines", 0.5, 5.0, 10.0),
            ("boards", 0.0, 0.0, 0.0),
        ] {
            let field = |kind: &str| score[format!("{kind}_{feature}")].as_f64().unwrap();
            let found = [field("instance"), field("leader"), field("percentage")];
            assert_eq!(found, [instance, leader, percentage], "{feature}");
        }
    });
}

#[test]
fn what_few_others_use_or_told_long_ago_gives_no_lead() {
    with_app("few", |app| async move {
        for number in 1..=2 {
            app.post("/usage_data", payload(number, 1, &json!({"issues": 4, "boards": 4}))).await.json(201);
        }
        // One that doesn't tell its active users, and one that has not reported for more than 90 days.
        let mut silent = payload(3, -1, &json!({"issues": 4}));
        app.post("/usage_data", &silent).await.json(201);
        silent = payload(4, 1, &json!({"issues": 4}));
        silent["recorded_at"] = json!("2026-08-01T00:00:00Z");
        app.post("/usage_data", &silent).await.json(201);
        assert_eq!(issues(&report(&app, 9, 2).await), [0.0; 3], "two others");
        // A third, which has no boards.
        report(&app, 5, 4).await;
        let score = app.post("/usage_data", payload(8, 1, &json!({"issues": 2, "boards": 2}))).await;
        let score = &score.json(201)["dev_ops_score"];
        assert_eq!(issues(score), [2.0, 3.5, 57.14]);
        assert_eq!((&score["instance_boards"], &score["leader_boards"]), (&json!(2.0), &json!(0.0)));
    });
}
