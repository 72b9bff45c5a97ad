//! One query, asked of Tally and of the engine by turns, so that neither has the machine at a better moment.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::events::PROJECT;
use super::table::Row;
use crate::cpu::installation::{STORE_PASSWORD, TOKEN};

/// Asked for nothing but to warm up, each way.
const WARM_UP: usize = 5;

/// Speaks with Tally and with its engine.
pub struct Client {
    http: reqwest::Client,
    api: String,
    store: String,
}

impl Client {
    pub fn new(tally: &str, store: &str) -> Self {
        let api = format!("{tally}/api/v4/projects/{PROJECT}/product_analytics/request");
        Self { http: reqwest::Client::new(), api, store: format!("{store}/") }
    }

    async fn ask(&self, endpoint: &str, body: &Value) -> Result<Vec<u8>> {
        let request =
            self.http.post(format!("{}/{endpoint}", self.api)).header("PRIVATE-TOKEN", TOKEN).json(body);
        bytes(request).await
    }
}

async fn bytes(request: reqwest::RequestBuilder) -> Result<Vec<u8>> {
    let response = request.send().await?;
    let status = response.status();
    let body = response.bytes().await?;
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(body.to_vec())
}

/// A query and the statement that Tally makes of it.
pub struct Asked {
    query: Value,
    sql: String,
    /// Names and values for ClickHouse's HTTP interface.
    parameters: Vec<(String, String)>,
    rollups: bool,
}

impl Asked {
    /// Asks Tally for the statement.
    pub async fn new(client: &Client, query: Value) -> Result<Self> {
        let shown: Value = serde_json::from_slice(&client.ask("sql", &json!({ "query": query })).await?)?;
        let shown = &shown["sql"];
        let sql = shown["sql"][0].as_str().context("the statement")?.to_owned();
        let values = shown["sql"][1].as_array().context("its parameters")?;
        let named = |(number, value): (usize, &Value)| (format!("param_p{number}"), parameter(value));
        let mut parameters: Vec<_> = values.iter().enumerate().map(named).collect();
        parameters.push(("database".to_owned(), "tally".to_owned()));
        parameters.push(("default_format".to_owned(), "JSONCompactEachRow".to_owned()));
        let rollups = shown["preAggregations"].as_array().is_some_and(|used| !used.is_empty());
        Ok(Self { query, sql, parameters, rollups })
    }

    /// Asks every way so many times.
    pub async fn measure(&self, client: &Client, times: usize) -> Result<Row> {
        let (mut engine, mut fresh, mut cached) = (Vec::new(), Vec::new(), Vec::new());
        for time in 0..WARM_UP + times {
            let of_engine = timed(self.of_engine(client)).await?;
            let of_tally = timed(self.of_tally(client, "no-cache")).await?;
            let again = timed(self.of_tally(client, "stale-if-slow")).await?;
            if time >= WARM_UP {
                engine.push(of_engine);
                fresh.push(of_tally);
                cached.push(again);
            }
        }
        Ok(Row { name: "", rollups: self.rollups, engine, fresh, cached })
    }

    async fn of_engine(&self, client: &Client) -> Result<Vec<u8>> {
        let request = client.http.post(&client.store).header("X-ClickHouse-Key", STORE_PASSWORD);
        bytes(request.query(&self.parameters).body(self.sql.clone())).await
    }

    async fn of_tally(&self, client: &Client, cache: &str) -> Result<Vec<u8>> {
        client.ask("load", &json!({"query": self.query, "queryType": "multi", "cache": cache})).await
    }
}

async fn timed(asked: impl Future<Output = Result<Vec<u8>>>) -> Result<Duration> {
    let start = Instant::now();
    asked.await?;
    Ok(start.elapsed())
}

/// A parameter's value as ClickHouse reads it.
fn parameter(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n"),
        Value::Array(values) => {
            let quoted = |value: &Value| match value {
                Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
                other => other.to_string(),
            };
            format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}
