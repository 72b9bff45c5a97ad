//! Funnels and retention: what maintainers define, who sees it, and the numbers against a computation of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{ALICE, BOB, ROOT, TestApp, with_app};

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 7, username: alice}
  - {id: 8, username: bob}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: alice, user: alice, scopes: [api], sha256: "<glpat-alice>"}
  - {name: alice-read, user: alice, scopes: [read_api], sha256: "<glpat-alice-read-user>"}
  - {name: bob, user: bob, scopes: [api], sha256: "<glpat-bob>"}
projects:
  - id: 42
    path: group/shop
    members: [{user: alice, access_level: maintainer}, {user: bob, access_level: reporter}]
    product_analytics: {instrumentation_key: key-42}
  - {id: 43, path: group/other, members: [{user: bob, access_level: maintainer}]}
  - {id: 44, path: group/open, visibility: public, members: [{user: bob, access_level: guest}]}
"#;

const ANALYTICS: &str = "/api/v4/projects/42/product_analytics";

async fn call(app: &TestApp, method: &str, path: &str, token: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let answer = app.send(request, token, body.to_string().into()).await;
    let body = if answer.text.is_empty() { Value::Null } else { answer.any_json() };
    (answer.status, body)
}

fn definition(steps: &[(&str, &str)], seconds_to_convert: i64) -> Value {
    let steps: Vec<Value> = (1..)
        .zip(steps)
        .map(|(number, (action, target))| {
            json!({"name": format!("step {number}"), "action": action, "target": target})
        })
        .collect();
    json!({"seconds_to_convert": seconds_to_convert, "steps": steps})
}

#[test]
fn maintainers_define_funnels_that_those_who_may_query_see() {
    with_app("funnels_access", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let funnels = format!("{ANALYTICS}/funnels");
        let path = format!("{funnels}/Completed%20purchase");
        let good = definition(&[("pageview", "/it's"), ("event", "buy")], 3_600);

        let (status, made) = call(&app, "PUT", &path, ALICE, good.clone()).await;
        assert_eq!(status, StatusCode::OK, "{made}");
        assert_eq!(made["name"], "completed_purchase");
        assert_eq!(made["steps"][0], r"(event = 'page_view' AND page_url_path = '/it\'s')");
        assert_eq!(made["definition"]["name"], "Completed purchase");
        assert_eq!(app.get(&funnels, BOB).await.json(), json!([made]));
        let (_, again) =
            call(&app, "PUT", &format!("{funnels}/completed_purchase"), ALICE, good.clone()).await;
        assert_eq!(app.get(&funnels, BOB).await.json(), json!([again]), "it took the other's place");

        let other = funnels.replace("/42/", "/43/");
        let open = funnels.replace("/42/", "/44/");
        for (method, path, token, status) in [
            ("GET", &funnels, "", 401),
            ("GET", &other, ALICE, 404),
            ("GET", &open, BOB, 401),
            ("PUT", &path, BOB, 401),
            ("PUT", &path, "glpat-alice-read-user", 403),
            ("DELETE", &path, BOB, 401),
            ("DELETE", &format!("{funnels}/nothing"), ALICE, 404),
            ("GET", &other, ROOT, 200),
            ("DELETE", &path, ALICE, 204),
            ("DELETE", &path, ALICE, 404),
        ] {
            let (answered, body) = call(&app, method, path, token, good.clone()).await;
            assert_eq!(answered.as_u16(), status, "{method} {path} {token} {body}");
        }
        assert_eq!(app.get(&funnels, BOB).await.json(), json!([]));

        for (body, problem) in [
            (definition(&[], 1), "steps: expected 1 to 32 steps"),
            (definition(&[("pageview", "x")], 0), "seconds_to_convert: expected 1 to 7776000 seconds"),
            (json!({"seconds_to_convert": 1}), "missing field `steps`"),
            (
                json!({"name": "Other", "seconds_to_convert": 1, "steps": good["steps"]}),
                "\"completed_purchase\"",
            ),
        ] {
            let (status, refusal) = call(&app, "PUT", &path, ALICE, body).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{refusal}");
            assert!(refusal.to_string().contains(&problem.replace('"', "\\\"")), "{refusal} {problem}");
        }
    });
}

#[test]
fn maintainers_set_the_key_that_no_other_project_has() {
    with_app("funnels_key", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let [own, other] =
            ["42", "43"].map(|id| format!("/api/v4/projects/{id}/product_analytics/instrumentation_key"));
        let key = |key: &str| json!({"instrumentation_key": key});
        assert_eq!(app.get(&own, BOB).await.json(), key("key-42"));
        let (status, refusal) = call(&app, "PUT", &other, BOB, key("key-42")).await;
        let message = "instrumentation_key: another project has the same key";
        assert_eq!((status, refusal), (StatusCode::BAD_REQUEST, json!({"message": message})));
        assert_eq!(call(&app, "PUT", &own, ALICE, key("key 42")).await.0, StatusCode::BAD_REQUEST);
        assert_eq!(call(&app, "PUT", &own, BOB, key("mine")).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(call(&app, "PUT", &own, ALICE, key("new")).await, (StatusCode::OK, key("new")));
        assert_eq!(app.directory.project_of_key("new"), Some(42));
        assert_eq!(call(&app, "PUT", &other, BOB, key("key-42")).await, (StatusCode::OK, key("key-42")));
        assert_eq!(call(&app, "DELETE", &own, ALICE, Value::Null).await.0, StatusCode::NO_CONTENT);
        assert_eq!(app.get(&own, BOB).await.json(), json!({"instrumentation_key": null}));
        assert_eq!(app.directory.project_of_key("new"), None);
    });
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Monday, 2026-09-14.
const START_MS: i64 = 20_710 * DAY_MS;

/// What somebody did: `("page_view", path)`, or an event of that name on some page.
struct Act {
    at: i64,
    visitor: u64,
    event: &'static str,
    path: &'static str,
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Acts at times that are all different.
fn acts(numbers: &mut Numbers, count: usize, days: u64, visitors: u64) -> Vec<Act> {
    let mut times = BTreeSet::new();
    while times.len() < count {
        times.insert(START_MS + numbers.below(days * 24 * 60 * 60) as i64 * 1_000);
    }
    let act = |at| Act {
        at,
        visitor: 1 + numbers.below(visitors),
        event: ["page_view", "page_view", "buy", "page_ping"][numbers.below(4) as usize],
        path: ["/a", "/b", "/c"][numbers.below(3) as usize],
    };
    times.into_iter().map(act).collect()
}

/// Odd visitors are known by the site, even ones by the tracker only.
async fn insert(app: &TestApp, project: i64, acts: &[Act]) {
    let mut values = String::new();
    for Act { at, visitor, event, path } in acts {
        let user = if visitor % 2 == 1 { visitor.to_string() } else { String::new() };
        let _ = write!(
            values,
            "({project}, fromUnixTimestamp64Milli({at}), '{event}', '{event}', '{user}', 'd{visitor}', '{path}'),"
        );
    }
    let columns = "project_id, timestamp, event, event_name, user_id, domain_user_id, page_url_path";
    app.sql(&format!("INSERT INTO page_events ({columns}) VALUES {values}")).await;
}

async fn load(app: &TestApp, query: Value) -> Vec<Value> {
    let path = format!("{ANALYTICS}/request/load");
    let answer = app.post(&path, ALICE, &json!({"query": query})).await.json();
    answer["results"][0]["data"].as_array().unwrap().clone()
}

fn takes(act: &Act, (action, target): (&str, &str)) -> bool {
    if action == "pageview" { act.event == "page_view" && act.path == target } else { act.event == target }
}

/// Visitors by day of entry and step, found by trying every event as the first.
fn furthest(acts: &[Act], steps: &[(&str, &str)], window_ms: i64) -> BTreeMap<(i64, usize), BTreeSet<u64>> {
    let mut reached: BTreeMap<(i64, usize), BTreeSet<u64>> = BTreeMap::new();
    for (index, first) in acts.iter().enumerate().filter(|(_, act)| takes(act, steps[0])) {
        let mut level = 1;
        for next in &acts[index + 1..] {
            let is_next = level < steps.len() && next.visitor == first.visitor && takes(next, steps[level]);
            if is_next && next.at <= first.at + window_ms {
                level += 1;
            }
        }
        for step in 1..=level {
            reached.entry((first.at.div_euclid(DAY_MS), step)).or_default().insert(first.visitor);
        }
    }
    reached
}

fn day_text(day: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(day * DAY_MS).unwrap();
    format!("{}T00:00:00.000", time.strftime("%Y-%m-%d"))
}

/// A funnel's name, steps, and seconds to convert.
type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], i64);

#[test]
fn a_funnels_numbers_are_those_of_trying_every_entry() {
    with_app("funnels_numbers", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let mut numbers = Numbers(5);
        let acts = acts(&mut numbers, 600, 6, 12);
        insert(&app, 42, &acts).await;
        insert(&app, 43, &acts[..100]).await;
        let cases: [Case<'_>; 6] = [
            ("plain", &[("pageview", "/a"), ("pageview", "/b"), ("event", "buy")], 6 * 3_600),
            (
                "over_days",
                &[("pageview", "/a"), ("event", "buy"), ("pageview", "/c"), ("event", "buy")],
                3 * 86_400,
            ),
            ("short", &[("pageview", "/a"), ("event", "page_ping")], 1_800),
            ("same_page_again", &[("pageview", "/a"), ("pageview", "/a"), ("pageview", "/a")], 86_400),
            ("any_page", &[("event", "page_view"), ("pageview", "/b"), ("event", "page_view")], 20_000),
            ("one_step", &[("event", "buy")], 60),
        ];
        for (name, steps, seconds) in cases {
            let path = format!("{ANALYTICS}/funnels/{name}");
            let (status, body) = call(&app, "PUT", &path, ALICE, definition(steps, seconds)).await;
            assert_eq!(status, StatusCode::OK, "{body}");
        }
        for (name, steps, seconds) in cases {
            let expected = furthest(&acts, steps, seconds * 1_000);
            let of_days: BTreeSet<(String, String, String)> = expected
                .iter()
                .map(|((day, step), visitors)| (day_text(*day), step.to_string(), visitors.len().to_string()))
                .collect();
            let rows = load(
                &app,
                json!({
                    "measures": [format!("{name}.count")],
                    "dimensions": [format!("{name}.step")],
                    "timeDimensions": [{"dimension": format!("{name}.date"), "granularity": "day"}],
                }),
            )
            .await;
            let text =
                |row: &Value, member: &str| row[format!("{name}.{member}")].as_str().unwrap().to_owned();
            let found = rows.iter().map(|row| (text(row, "date.day"), text(row, "step"), text(row, "count")));
            assert_eq!(found.collect::<BTreeSet<_>>(), of_days, "{name}");

            let from = START_MS.div_euclid(DAY_MS) + 1;
            let within = |step: usize| {
                let of_step =
                    expected.iter().filter(|((day, at), _)| *at == step && (from..from + 3).contains(day));
                of_step.flat_map(|(_, visitors)| visitors).collect::<BTreeSet<_>>().len()
            };
            let [first, last] = [from, from + 2].map(|day| day_text(day)[..10].to_owned());
            let rows = load(
                &app,
                json!({
                    "measures": ["FunnelEvents.count", "FunnelEvents.completedCount"],
                    "dimensions": ["FunnelEvents.step", "FunnelEvents.stepName"],
                    "filters": [
                        {"member": "FunnelEvents.funnelName", "operator": "equals", "values": [name]},
                        {"member": "FunnelEvents.date", "operator": "inDateRange", "values": [first, last]},
                    ],
                    "order": {"FunnelEvents.step": "asc"},
                }),
            )
            .await;
            let counts: Vec<usize> =
                rows.iter().map(|row| row["FunnelEvents.count"].as_str().unwrap().parse().unwrap()).collect();
            let all = (1..=steps.len()).map(within).take_while(|count| *count > 0);
            assert_eq!(counts, all.collect::<Vec<_>>(), "{name}");
            assert_eq!(rows[0]["FunnelEvents.stepName"], "step 1");
        }
    });
}

#[test]
fn retention_is_who_came_again_in_later_weeks() {
    with_app("retention_numbers", |app| async move {
        let app = app.with_directory(DIRECTORY);
        let mut numbers = Numbers(9);
        let mut acts = acts(&mut numbers, 90, 7 * 8, 40);
        // Nobody came in the sixth week.
        let week = |at: i64| (at - START_MS).div_euclid(7 * DAY_MS);
        acts.retain(|act| week(act.at) != 5);
        insert(&app, 42, &acts).await;
        insert(&app, 43, &acts[..10]).await;
        let mut weeks: BTreeMap<u64, BTreeSet<i64>> = BTreeMap::new();
        for act in &acts {
            weeks.entry(act.visitor).or_default().insert(week(act.at));
        }
        let last = acts.iter().map(|act| week(act.at)).max().unwrap();
        let cohorts: BTreeSet<i64> = weeks.values().map(|weeks| *weeks.first().unwrap()).collect();
        let mut expected = BTreeSet::new();
        for cohort in cohorts {
            let members: Vec<_> = weeks.values().filter(|weeks| weeks.first() == Some(&cohort)).collect();
            for later in 0..=last - cohort {
                let came = members.iter().filter(|weeks| weeks.contains(&(cohort + later))).count();
                let monday = day_text(START_MS / DAY_MS + 7 * cohort);
                expected.insert((monday, later.to_string(), came.to_string(), members.len().to_string()));
            }
        }
        let rows = load(
            &app,
            json!({
                "measures": ["Retention.users", "Retention.cohortUsers", "Retention.percent"],
                "dimensions": ["Retention.cohortWeek", "Retention.weekNumber"],
            }),
        )
        .await;
        let text =
            |row: &Value, member: &str| row[format!("Retention.{member}")].as_str().unwrap().to_owned();
        let found: BTreeSet<_> = rows
            .iter()
            .map(|row| {
                (
                    text(row, "cohortWeek"),
                    text(row, "weekNumber"),
                    text(row, "users"),
                    text(row, "cohortUsers"),
                )
            })
            .collect();
        assert!(
            expected.iter().any(|(_, later, came, _)| later != "0" && came == "0"),
            "a week without anybody"
        );
        assert_eq!(found, expected);
        for row in &rows {
            let [users, all, percent] =
                ["users", "cohortUsers", "percent"].map(|member| text(row, member).parse::<f64>().unwrap());
            assert!((percent - 100.0 * users / all).abs() < 1e-9, "{row}");
        }
    });
}
