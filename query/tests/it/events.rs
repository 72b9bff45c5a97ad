//! Listings of contributions over known rows.

mod contract;
mod model;
mod property;
mod timing;
mod visibility;

use serde_json::{Value, json};

use crate::app::{ALICE, BOB, TestApp, with_app};

const COLUMNS: &str = "id, action, target_type, target_id, target_iid, target_title, project_id, author_id, created_at, push_data";

/// Puts rows into `contributions`, and into the tables beside it what the processor would put there.
async fn insert(app: &TestApp, columns: &str, rows: &str) {
    app.sql(&format!("INSERT INTO contributions ({columns}) {rows}")).await;
    app.sql(
        "INSERT INTO project_contributions SELECT * FROM contributions \
         WHERE project_id != 0 AND id NOT IN (SELECT id FROM project_contributions)",
    )
    .await;
    app.sql(
        "INSERT INTO contribution_projects SELECT author_id, project_id, max(created_at) \
         FROM contributions WHERE project_id != 0 GROUP BY author_id, project_id",
    )
    .await;
}

async fn listed(app: &TestApp, query: &str) -> Vec<u64> {
    let events = app.get(&format!("/api/v4/events{query}"), ALICE).await.json();
    events.as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect()
}

async fn known_rows(app: &TestApp) {
    let rows = [
        "(1, 'created', 'Issue', 11, 1, 'An issue', 42, 7, '2026-11-01 23:59:59.999', '')",
        "(2, 'pushed', '', 0, 0, '', 42, 7, '2026-11-02 00:00:00.000', '{\"commit_count\":1,\"action\":\"created\",\"ref_type\":\"branch\",\"ref\":\"main\"}')",
        "(3, 'closed', 'WorkItem', 12, 2, 'An item', 42, 7, '2026-11-03 12:00:00.000', '')",
        "(4, 'commented', 'DiffNote', 13, 0, 'A note', 0, 7, '2026-11-03 12:00:00.000', '')",
        "(5, 'closed', 'Issue', 14, 3, 'Hidden from alice', 43, 7, '2026-11-04 00:00:00.000', '')",
        "(6, 'closed', 'Issue', 15, 4, 'Of bob', 42, 8, '2026-11-04 00:00:00.000', '')",
    ];
    insert(app, COLUMNS, &format!("VALUES {}", rows.join(", "))).await;
}

#[test]
fn a_listing_is_the_callers_own_newest_first() {
    with_app("events_own", |app| async move {
        known_rows(&app).await;
        assert_eq!(
            listed(&app, "").await,
            [4, 3, 2, 1],
            "event 5 is in a project that alice can't read any more"
        );
        assert_eq!(listed(&app, "?sort=asc").await, [1, 2, 3, 4]);
        insta::assert_json_snapshot!(app.get("/api/v4/events?sort=asc&per_page=2", ALICE).await.json());
    });
}

#[test]
fn listings_are_filtered() {
    with_app("events_filters", |app| async move {
        known_rows(&app).await;
        for (query, ids) in [
            ("?action=pushed", vec![2]),
            ("?target_type=issue", vec![3, 1]),
            ("?target_type=note", vec![4]),
            ("?target_type=project", vec![2]),
            ("?before=2026-11-02", vec![1]),
            ("?after=2026-11-01", vec![4, 3, 2]),
            ("?after=2026-11-02", vec![4, 3]),
            ("?after=2026-11-01&before=2026-11-03", vec![2]),
            ("?target_type=milestone", vec![]),
        ] {
            assert_eq!(listed(&app, query).await, ids, "{query}");
        }
        let refusal = app.get("/api/v4/events?action=x&per_page=0", ALICE).await;
        let expected =
            json!({"error": "action does not have a valid value, per_page has a value not allowed"});
        assert_eq!((refusal.status.as_u16(), refusal.any_json()), (400, expected));
    });
}

#[test]
fn pages_are_described_in_headers() {
    with_app("events_pages", |app| async move {
        app.sql(
            "INSERT INTO contributions (id, action, author_id, created_at) \
             SELECT number, 'joined', 8, toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number FROM numbers(1, 45)",
        )
        .await;
        let answer = app.get("/api/v4/events?page=2&action=joined", BOB).await;
        let ids: Vec<Value> =
            answer.json().as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
        assert_eq!(ids, (6..=25).rev().map(Value::from).collect::<Vec<_>>());
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        let counts =
            ["x-page", "x-per-page", "x-next-page", "x-prev-page", "x-total", "x-total-pages"].map(header);
        assert_eq!(counts, ["2", "20", "3", "1", "45", "3"]);
        let url = |page: u32| {
            format!("<https://tally.example.com/api/v4/events?action=joined&page={page}&per_page=20>")
        };
        let link = format!(
            "{}; rel=\"prev\", {}; rel=\"next\", {}; rel=\"first\", {}; rel=\"last\"",
            url(1),
            url(3),
            url(1),
            url(3)
        );
        assert_eq!(header("link"), link);
        let last = app.get("/api/v4/events?page=3", BOB).await;
        assert_eq!(
            (last.json().as_array().unwrap().len(), &last.headers["x-next-page"]),
            (5, &"".parse().unwrap())
        );
    });
}

#[test]
fn past_ten_thousand_events_the_total_is_left_out() {
    with_app("events_many", |app| async move {
        app.sql(
            "INSERT INTO contributions (id, action, author_id, created_at) \
             SELECT number, 'joined', 8, toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number FROM numbers(10001)",
        )
        .await;
        let answer = app.get("/api/v4/events?per_page=100&page=100", BOB).await;
        assert_eq!(answer.json().as_array().unwrap().len(), 100);
        assert!(answer.headers.get("x-total").is_none());
        assert_eq!(answer.headers["x-next-page"], "101");
        let last = app.get("/api/v4/events?per_page=100&page=101", BOB).await;
        assert_eq!(last.json().as_array().unwrap().len(), 1);
        assert_eq!(last.headers["x-next-page"], "");
    });
}
