//! What real Cube servers answered, asked again of this one: every recorded request to load and dry-run, over the same rows,
//! under the same clock. The recordings are no part of this repository: `TALLY_CUBE_GOLDENS` names their folder, or else one
//! beside the repository is taken. A table by agreement class is printed; with `GOLDEN=name` the differences of one record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tally_query::cube::{CubeConfig, ModelFolder};

use crate::app::{TestApp, cube_token, with_app};
use crate::engine;

/// Records that are answered otherwise on purpose: name, endpoint, why.
const OTHERWISE: &[(&str, &str, &str)] = &[
    (
        "b_gran_day",
        "dryRun",
        "granularityHierarchies, which is the same for every query, was left out of all other recordings, and so it is here",
    ),
    (
        "e_tz_la_hour_dst",
        "load",
        "Cube takes a local time's offset as if the time were UTC, and so loses the last hour of a range that ends just after \
         the clocks change; here it is counted",
    ),
];

/// Left out of the comparison: times, and what only a development server says.
const NOT_COMPARED: [&str; 4] = ["lastRefreshTime", "stack", "requestId", "slowQuery"];

const EVENTS: &str = "event_id String, event LowCardinality(String), event_name String, derived_tstamp DateTime64(3,'UTC'), \
    user_id String, session_id String, page_url String, page_title String, page_urlhost String, page_urlpath String, \
    page_referrer Nullable(String), agent_name Nullable(String), agent_version Nullable(String), \
    browser_language Nullable(String), document_language Nullable(String), os_family String, os_name String, \
    os_version String, os_version_major Nullable(Int32), viewport_size String, is_mobile UInt8, load_ms Nullable(Float64), \
    amount_cents Nullable(Int32), target_url Nullable(String), custom_event_props Nullable(String)";
const SESSIONS: &str = "session_id String, user_id String, start_at DateTime64(3,'UTC'), end_at DateTime64(3,'UTC'), \
    agent_name Nullable(String), agent_version Nullable(String), os_family String, os_name String, \
    browser_language Nullable(String), events_count Int32, is_repeat UInt8";

#[derive(Deserialize)]
struct Record {
    name: String,
    agreement: String,
    request: RecordedRequest,
    now: String,
    expected: BTreeMap<String, BTreeMap<String, RecordedAnswer>>,
}

#[derive(Deserialize)]
struct RecordedRequest {
    method: String,
    body: Value,
}

#[derive(Clone, Deserialize)]
struct RecordedAnswer {
    status: u16,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    body: Value,
}

impl Record {
    /// Cube 1.7's answer, which is recorded only where it differs.
    fn expected(&self, endpoint: &str) -> &RecordedAnswer {
        let by = |version| self.expected.get(version)?.get(endpoint);
        by("cube-1.7").or_else(|| by("cube-0.35")).expect("every request has an answer")
    }
}

#[test]
fn every_recorded_request_is_answered_as_cube_did() {
    let Some(folder) = folder() else { return };
    with_app("cube_goldens", |app| async move {
        load_rows(&folder).await;
        let model = ModelFolder { path: folder.join("model").display().to_string(), project: Some(1) };
        let app = app.with_cube(CubeConfig { models: vec![model], ..CubeConfig::default() });
        let records = records(&folder);
        let chosen = std::env::var("GOLDEN").ok();
        let mut passed: BTreeMap<(String, &str), [usize; 2]> = BTreeMap::new();
        let mut failures = Vec::new();
        let mut stale_exceptions = Vec::new();
        for record in records.iter().filter(|record| chosen.as_ref().is_none_or(|name| *name == record.name))
        {
            assert_eq!(
                (record.request.method.as_str(), record.now.as_str()),
                ("POST", "2026-11-18T10:30:00.000Z")
            );
            for (endpoint, path) in [("load", "load"), ("dryRun", "dry-run")] {
                let answer = ask(&app, path, &record.request.body).await;
                let differences = differences(record, endpoint, answer);
                let of_class = passed.entry((record.agreement.clone(), endpoint)).or_default();
                of_class[1] += 1;
                of_class[0] += usize::from(differences.is_empty());
                let is_excepted =
                    OTHERWISE.iter().any(|(name, at, _)| *name == record.name && *at == endpoint);
                match (differences.is_empty(), is_excepted) {
                    (true, true) => stale_exceptions.push(format!("{} {endpoint}", record.name)),
                    (false, false) => failures.push((format!("{} {endpoint}", record.name), differences)),
                    _ => {}
                }
            }
        }
        print_table(&passed);
        for (name, endpoint, why) in OTHERWISE {
            println!("otherwise: {name} {endpoint}: {why}");
        }
        for (name, differences) in &failures {
            println!("FAILED {name}");
            let shown = if chosen.is_some() { usize::MAX } else { 3 };
            for difference in differences.iter().take(shown) {
                println!("    {difference}");
            }
        }
        assert!(failures.is_empty(), "{} answers differ from Cube's", failures.len());
        assert!(stale_exceptions.is_empty(), "these pass now: {stale_exceptions:?}");
        assert!(chosen.is_some() || records.len() > 200, "only {} records", records.len());
    });
}

fn print_table(passed: &BTreeMap<(String, &str), [usize; 2]>) {
    println!("{:<24} {:<8} {:>6} {:>6}", "agreement", "endpoint", "passed", "total");
    for ((class, endpoint), [passed, total]) in passed {
        println!("{class:<24} {endpoint:<8} {passed:>6} {total:>6}");
    }
    let [passed, total] = passed.values().fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
    println!("{:<24} {:<8} {passed:>6} {total:>6}", "all", "both");
}

/// The recordings' folder, or `None` after saying that the test is left out.
fn folder() -> Option<PathBuf> {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let beside = || Path::new(&package).join("../../shared/cube");
    let folder = std::env::var_os("TALLY_CUBE_GOLDENS").map_or_else(beside, PathBuf::from);
    if folder.join("goldens.jsonl").is_file() {
        return Some(folder);
    }
    let line = "left out: TALLY_CUBE_GOLDENS is not set, and no recordings are beside the repository";
    assert!(std::env::var("TALLY_REQUIRE").as_deref() != Ok("all"), "{line}");
    println!("{line}");
    None
}

fn records(folder: &Path) -> Vec<Record> {
    let text = std::fs::read_to_string(folder.join("goldens.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The recorded rows in the database that the recorded model names.
async fn load_rows(folder: &Path) {
    let database = "gitlab_project_1";
    run(&format!("CREATE DATABASE IF NOT EXISTS {database}"), Vec::new()).await;
    for (table, columns, order, file) in [
        ("snowplow_events", EVENTS, "derived_tstamp, event_id", "events.csv.gz"),
        ("snowplow_sessions", SESSIONS, "start_at, session_id", "sessions.csv.gz"),
    ] {
        let create = format!(
            "CREATE OR REPLACE TABLE {database}.{table} ({columns}) ENGINE = MergeTree ORDER BY ({order})"
        );
        run(&create, Vec::new()).await;
        let rows = std::fs::read(folder.join(file)).unwrap();
        let insert = format!(
            "INSERT INTO {database}.{table} SETTINGS input_format_csv_empty_as_default = 0 FORMAT CSVWithNames"
        );
        run(&insert, rows).await;
    }
}

/// Runs a statement on the engine, with data in gzip.
async fn run(sql: &str, data: Vec<u8>) {
    let url = engine::url().expect("the test runs only with an engine");
    let mut request = reqwest::Client::new().post(url).query(&[("query", sql)]);
    if !data.is_empty() {
        request = request.header("content-encoding", "gzip").body(data);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    assert!(status.is_success(), "{sql}: {}", response.text().await.unwrap());
}

async fn ask(app: &TestApp, path: &str, body: &Value) -> Result<RecordedAnswer, String> {
    let request = http::Request::post(format!("/cubejs-api/v1/{path}"))
        .header("content-type", "application/json")
        .header("authorization", cube_token(1));
    let answer = app.send(request, "", body.to_string().into()).await;
    let content_type = answer.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let body = serde_json::from_str(&answer.text).map_err(|error| format!("{error}: {}", answer.text))?;
    Ok(RecordedAnswer { status: answer.status.as_u16(), content_type, body })
}

/// Where an answer differs from the recorded one; empty if nowhere.
fn differences(record: &Record, endpoint: &str, answer: Result<RecordedAnswer, String>) -> Vec<String> {
    let expected = record.expected(endpoint).clone();
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return vec![format!("no JSON: {error}")],
    };
    let mut found = Vec::new();
    compare("status", &json!(expected.status), &json!(answer.status), &mut found);
    if let Some(content_type) = &expected.content_type {
        compare("contentType", &json!(content_type), &json!(answer.content_type), &mut found);
    }
    let (mut left, mut right) = (without_times(expected.body), without_times(answer.body));
    if is_database_error(record, &left) && right["error"].is_string() {
        return found;
    }
    abridge(&left, &mut right);
    // Where databases disagree, it may be about the order of rows that the query's order doesn't tell apart.
    if record.agreement.ends_with("unordered") || record.agreement == "mixed" {
        sort_data(&mut left);
        sort_data(&mut right);
    }
    compare("", &left, &right, &mut found);
    found
}

/// The text of a database's own error is not compared.
fn is_database_error(record: &Record, body: &Value) -> bool {
    let is_databases =
        |text: &str| text.starts_with("Error: Query failed") || text.starts_with("Error: Code:");
    body["error"]
        .as_str()
        .is_some_and(|text| record.agreement == "all_error_text_differs" || is_databases(text))
}

fn without_times(mut body: Value) -> Value {
    let strip = |object: &mut Value| {
        if let Some(object) = object.as_object_mut() {
            object.retain(|key, _| !NOT_COMPARED.contains(&key.as_str()));
        }
    };
    strip(&mut body);
    if let Some(results) = body.get_mut("results").and_then(Value::as_array_mut) {
        results.iter_mut().for_each(strip);
    }
    body
}

/// Data of more than 200 rows is recorded as its first five rows, its length and its last row.
fn abridge(recorded: &Value, answered: &mut Value) {
    let abridge_one = |recorded: &Value, answered: &mut Value| {
        if recorded.get("_data_rows").is_none() {
            return;
        }
        if let Some(rows) = answered["data"].as_array().cloned() {
            answered["_data_rows"] = rows.len().into();
            answered["_data_last"] = rows.last().cloned().unwrap_or_default();
            answered["data"] = rows.into_iter().take(5).collect();
        }
    };
    abridge_one(recorded, answered);
    if let (Some(recorded), Some(answered)) =
        (recorded["results"].as_array(), answered.get_mut("results").and_then(Value::as_array_mut))
    {
        recorded.iter().zip(answered).for_each(|(recorded, answered)| abridge_one(recorded, answered));
    }
}

fn sort_data(body: &mut Value) {
    let sort = |result: &mut Value| {
        if let Some(rows) = result.get_mut("data").and_then(Value::as_array_mut) {
            rows.sort_by_cached_key(|row| {
                row.as_object().map(|row| {
                    row.iter()
                        .map(|(key, value)| (key.clone(), value.to_string()))
                        .collect::<BTreeMap<_, _>>()
                })
            });
        }
    };
    sort(body);
    if let Some(results) = body.get_mut("results").and_then(Value::as_array_mut) {
        results.iter_mut().for_each(sort);
    }
}

fn compare(path: &str, expected: &Value, answered: &Value, found: &mut Vec<String>) {
    match (expected, answered) {
        (Value::Object(left), Value::Object(right)) => compare_objects(path, left, right, found),
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (number, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{number}]"), left, right, found);
            }
        }
        _ if expected == answered || are_close(expected, answered) => {}
        _ => found.push(format!("{path}: Cube {expected:.600}, here {answered:.600}")),
    }
}

fn compare_objects(
    path: &str,
    left: &Map<String, Value>,
    right: &Map<String, Value>,
    found: &mut Vec<String>,
) {
    for (key, expected) in left {
        match right.get(key) {
            Some(answered) => compare(&format!("{path}.{key}"), expected, answered, found),
            None => found.push(format!("{path}.{key}: Cube {expected:.600}, here nothing")),
        }
    }
    for (key, answered) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
        found.push(format!("{path}.{key}: Cube nothing, here {answered:.600}"));
    }
}

/// Whether two texts are the same number but for the last digit of a fraction.
fn are_close(expected: &Value, answered: &Value) -> bool {
    let number = |value: &Value| {
        let text = value.as_str().filter(|text| text.contains('.'))?;
        text.parse::<f64>().ok()
    };
    match (number(expected), number(answered)) {
        (Some(left), Some(right)) => (left - right).abs() <= left.abs() * 1e-14,
        _ => false,
    }
}
