//! A crowd of hostile queries under both base paths. Nothing of a request is ever in the text of a statement, as the engine's own
//! query log tells; no answer holds another project's rows; and nothing fails but in the ways that Cube has for it.
//!
//! `TALLY_FUZZ_SECONDS` and `TALLY_FUZZ_SEED` choose another duration and seed.

mod generate;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::process::clickhouse;
use tally_tests::{setting, wait};

use crate::cube_api::{rows, table};
use crate::visits::{self, CUBE_PATH, GITLAB_PATH, PROJECT, WEEKS_EVENTS};
use generate::{Cube, Generator, MARKER, Member, TIME_ZONES, YEAR};

/// The project whose rows nobody may see through [`PROJECT`]. Each of them says whose it is, and there are many.
const OTHER: i64 = 6;
const OTHERS_SIGN: &str = "of-the-other-project";
const OTHERS_ROWS: &str = "
INSERT INTO page_events (project_id, timestamp, received_at, event_id, event, event_name, user_id, session_id, page_url,
    page_url_path, page_title, agent_name, os_name, custom_event_name, custom_event_props, target_url)
SELECT 6, now64(3) - toIntervalMinute(number), now64(3), generateUUIDv4(), sign, sign, sign, sign, sign, sign, sign, sign, sign,
    sign, sign, sign
FROM (SELECT number, concat('of-the-other-project-', toString(number % 50)) AS sign FROM numbers(50000))";

const WORKERS: u64 = 4;

/// How ClickHouse may refuse what a query compares: a text that is no number or no date (6, 27, 38, 41, 53, 69, 72), text operators
/// on what is no text (43), limits (158, 159, 241, 396), and the end of a statement whose companion was refused (394); never a statement
/// that it can't read.
const ALLOWED_REFUSALS: &[i32] = &[6, 27, 38, 41, 43, 53, 69, 72, 158, 159, 241, 394, 396];

/// What Cube answers with 500 although the request is to blame.
const CUBES_500S: &[&str] = &[
    "Error: The query limit has been exceeded.",
    "Error: Expressions are not allowed in this context",
    "TypeError: ",
    "SyntaxError: ",
];

async fn start() -> Result<Instance> {
    let mut settings = visits::settings();
    settings.push("engine.query_log=true".to_owned());
    // The crowd has one token and one address.
    settings.push("guard.other_per_token=0".to_owned());
    settings.push("guard.without_token_per_address=0".to_owned());
    let instance = Instance::start_with(&settings, &[]).await?;
    visits::write(&instance, visits::first_day()).await?;
    clickhouse(&instance.store, OTHERS_ROWS).await?;
    Ok(instance)
}

/// The cubes that a project can ask, without the one that takes its time.
async fn cubes(instance: &Instance) -> Result<Vec<Cube>> {
    let url = format!("{}{CUBE_PATH}/meta", instance.tally.url());
    let request = Client::new().get(url).header("Authorization", visits::cube_token(PROJECT)?);
    let meta: Value = request.send().await?.error_for_status()?.json().await?;
    let members = |cube: &Value, kind: &str| -> Vec<Member> {
        let members = cube[kind].as_array().into_iter().flatten();
        let member = |member: &Value| Member {
            name: member["name"].as_str().unwrap_or_default().to_owned(),
            is_time: member["type"] == "time",
        };
        members.map(member).collect()
    };
    let described = meta["cubes"].as_array().context("cubes")?.iter().filter(|cube| cube["name"] != "Slow");
    Ok(described
        .map(|cube| Cube {
            measures: members(cube, "measures"),
            dimensions: members(cube, "dimensions"),
            segments: members(cube, "segments"),
        })
        .collect())
}

/// What was answered how often.
type Outcomes = BTreeMap<String, u64>;

/// One worker: its own client, its own seed.
struct Worker<'i> {
    instance: &'i Instance,
    client: Client,
    generator: Generator<'i>,
    jwt: String,
    outcomes: Outcomes,
}

impl Worker<'_> {
    async fn run(mut self, until: Instant) -> Result<(Outcomes, u64)> {
        while Instant::now() < until {
            let query = if self.generator.random.random_ratio(1, 20) {
                json!([self.generator.query(), self.generator.query()])
            } else {
                self.generator.query()
            };
            self.ask(&query).await.with_context(|| format!("the query {query}"))?;
        }
        Ok((self.outcomes, self.generator.hostile))
    }

    async fn ask(&mut self, query: &Value) -> Result<()> {
        let is_gitlab = self.generator.random.random_ratio(1, 3);
        let base = if is_gitlab { GITLAB_PATH } else { CUBE_PATH };
        let endpoint =
            ["load", "load", "load", "load", "sql", "dry-run"][self.generator.random.random_range(0..6)];
        let url = format!("{}{base}/{endpoint}", self.instance.tally.url());
        let in_address = self.generator.random.random_ratio(1, 6);
        let request = if in_address && query.to_string().len() < 4_000 {
            self.client.get(url).query(&[("query", query.to_string()), ("queryType", "multi".to_owned())])
        } else {
            let mut body = json!({"query": query, "queryType": "multi"});
            if self.generator.random.random_ratio(1, 10) {
                body["cache"] = json!(self.generator.hostile());
            }
            self.client.post(url).json(&body)
        };
        let request = if is_gitlab {
            request.header("PRIVATE-TOKEN", &self.instance.token)
        } else {
            request.header("Authorization", &self.jwt)
        };
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        judge(endpoint, is_gitlab, status, &text)?;
        *self.outcomes.entry(format!("{base}/{endpoint} {status}")).or_default() += 1;
        Ok(())
    }
}

/// Whether an answer is one of those that there may be.
fn judge(endpoint: &str, is_gitlab: bool, status: u16, text: &str) -> Result<()> {
    ensure!(!text.contains(OTHERS_SIGN), "another project's rows: {text}");
    let answer: Value = serde_json::from_str(text).with_context(|| format!("{status}: {text}"))?;
    match status {
        200 if endpoint == "load" => few_rows(&answer),
        200 | 400 => Ok(()),
        500 if !is_gitlab => {
            let error = answer["error"].as_str().unwrap_or_default();
            ensure!(CUBES_500S.iter().any(|start| error.starts_with(start)), "500: {text}");
            Ok(())
        }
        _ => bail!("{status}: {text}"),
    }
}

/// A project's own count is never above what it has.
fn few_rows(answer: &Value) -> Result<()> {
    let results = answer["results"].as_array().into_iter().flatten();
    for row in results.flat_map(|result| result["data"].as_array().into_iter().flatten()) {
        for (member, value) in row.as_object().into_iter().flatten() {
            let counted = value.as_str().filter(|_| member.to_lowercase().ends_with("count"));
            let number: Option<f64> = counted.and_then(|text| text.parse().ok());
            ensure!(number.is_none_or(|number| number <= WEEKS_EVENTS as f64), "{member} is {value}");
        }
    }
    Ok(())
}

/// What the engine's query log tells of the statements that a condition selects, each different row once.
async fn logged(instance: &Instance, columns: &str, condition: &str) -> Result<String> {
    let sql = format!(
        "SELECT {columns} FROM system.query_log WHERE query NOT LIKE '%system.query_log%' AND ({condition}) GROUP BY ALL"
    );
    clickhouse(&instance.store, &sql).await
}

/// Runs a statement whose text holds the marker and waits until the log tells of it: all before it is in the log, too, and the log
/// tells of markers.
async fn log_is_written(instance: &Instance) -> Result<()> {
    clickhouse(&instance.store, &format!("SELECT 'the control of {MARKER}'")).await?;
    wait::until("the query log", Duration::from_secs(20), || async {
        let controls =
            logged(instance, "count()", &format!("query LIKE '%the control of {MARKER}%'")).await?;
        Ok((controls == "1").then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_queries_reach_the_engine_as_parameters_only() -> Result<()> {
    let seconds = setting("TALLY_FUZZ_SECONDS", 15);
    let seed = setting("TALLY_FUZZ_SEED", u64::from(std::process::id()));
    println!("{seconds} seconds, seed {seed}");
    let instance = start().await?;
    let cubes = cubes(&instance).await?;
    let until = Instant::now() + Duration::from_secs(seconds);
    let worker = |number: u64| -> Result<_> {
        let random = SmallRng::seed_from_u64(seed.wrapping_mul(WORKERS).wrapping_add(number));
        let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
        let generator = Generator { random, cubes: &cubes, hostile: 0 };
        Ok(Worker {
            instance: &instance,
            client,
            generator,
            jwt: visits::cube_token(PROJECT)?,
            outcomes: Outcomes::new(),
        }
        .run(until))
    };
    let (a, b, c, d) = tokio::try_join!(worker(0)?, worker(1)?, worker(2)?, worker(3)?)
        .with_context(|| format!("seed {seed}\n{}", instance.tally.log_tail()))?;
    let mut outcomes = Outcomes::new();
    let mut hostile = 0;
    for (of_one, texts) in [a, b, c, d] {
        hostile += texts;
        for (outcome, times) in of_one {
            *outcomes.entry(outcome).or_default() += times;
        }
    }
    println!("{outcomes:#?}\n{hostile} hostile texts");
    log_is_written(&instance).await?;

    let mut suspicious =
        vec![format!("query LIKE '%{MARKER}%'"), format!("match(query, '{YEAR}[0-9]-[01][0-9]')")];
    suspicious.extend(TIME_ZONES.iter().map(|zone| format!("query LIKE '%{zone}%'")));
    let condition = format!("({}) AND query NOT LIKE '%the control of%'", suspicious.join(" OR "));
    let found = logged(&instance, "query", &condition).await?;
    ensure!(found.is_empty(), "seed {seed}: a request's text is in a statement: {found}");

    let loads: u64 = logged(&instance, "count()", "query LIKE '%page_events%'").await?.parse()?;
    println!("{loads} statements over page events");
    ensure!(loads > 100, "only {loads} of the queries reached the engine");
    println!("refused: {}", logged(&instance, "exception_code, count()", "exception_code != 0").await?);
    let refusals = ALLOWED_REFUSALS.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let condition = format!("exception_code NOT IN (0, {refusals})");
    let found = logged(&instance, "exception, query", &condition).await?;
    ensure!(found.is_empty(), "seed {seed}: the engine could not read a statement: {found}");
    instance.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_value_is_found_where_it_is_stored() -> Result<()> {
    let instance = start().await?;
    let random = SmallRng::seed_from_u64(1);
    let mut generator = Generator { random, cubes: &[], hostile: 0 };
    let texts: Vec<String> = (0..150).map(|_| generator.hostile()).collect();
    let row = |text: &String| {
        let now = jiff::Timestamp::now().as_second();
        json!({"project_id": PROJECT, "timestamp": now, "received_at": now, "event": "page_view", "page_title": text}).to_string()
    };
    let stored: Vec<String> = texts.iter().map(row).collect();
    clickhouse(
        &instance.store,
        &format!("INSERT INTO page_events FORMAT JSONEachRow\n{}", stored.join("\n")),
    )
    .await?;
    for text in &texts {
        for operator in ["equals", "contains", "startsWith", "endsWith"] {
            let filters =
                json!([{"member": "TrackedEvents.pageTitle", "operator": operator, "values": [text]}]);
            let query = json!({"dimensions": ["TrackedEvents.pageTitle"], "filters": filters});
            let found = table(&instance, PROJECT, query, &["TrackedEvents.pageTitle"]).await?;
            ensure!(found == [[text.clone()]], "{operator} {text:?}: {found:?}");
        }
    }
    instance.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_project_and_no_other() -> Result<()> {
    let instance = start().await?;
    let count = json!({"measures": ["TrackedEvents.count"]});
    let own = rows(&instance, PROJECT, count.clone()).await?;
    ensure!(own[0]["TrackedEvents.count"] == "258", "{own:?}");
    let others = rows(&instance, OTHER, count.clone()).await?;
    ensure!(others[0]["TrackedEvents.count"] == "50000", "{others:?}");
    let by_path = json!({"measures": ["TrackedEvents.count"], "dimensions": ["TrackedEvents.pageUrlpath"]});
    for query in [by_path.clone(), json!({"dimensions": ["Visits.id", "Visits.path"], "ungrouped": true})] {
        ensure!(!json!(rows(&instance, PROJECT, query).await?).to_string().contains(OTHERS_SIGN), "leaked");
    }

    let load = format!("{}{CUBE_PATH}/load", instance.tally.url());
    for claims in [
        json!({"appId": "gitlab_project_6' OR '1'='1"}),
        json!({"appId": "gitlab_project_5 OR 1=1"}),
        json!({"appId": "gitlab_project_"}),
        json!({"appId": ["gitlab_project_6"]}),
        json!({"project_id": "6 OR 1=1"}),
        json!({}),
    ] {
        let request = Client::new().post(&load).header("Authorization", visits::signed(&claims)?);
        let response = request.json(&json!({ "query": by_path })).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status != 200 || !text.contains(OTHERS_SIGN), "{claims}: {status}: {text}");
        ensure!(!status.is_server_error(), "{claims}: {status}: {text}");
    }
    instance.tally.stop().await
}
