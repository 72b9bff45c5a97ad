//! Questions to Cube's API of a running Tally.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Map, Value, json};
use tally_tests::instance::Instance;

use crate::visits::{self, CUBE_PATH};

/// The rows that a query gets, of this project.
pub async fn rows(instance: &Instance, project: i64, query: Value) -> Result<Vec<Map<String, Value>>> {
    let request = Client::new()
        .post(format!("{}{CUBE_PATH}/load", instance.tally.url()))
        .header("Authorization", visits::cube_token(project)?)
        // What was asked a moment ago is no answer to what is waited for.
        .json(&json!({"query": query, "cache": "no-cache"}));
    let response = request.send().await?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status == 200, "{query}: {status}: {text}");
    let answer: Value = serde_json::from_str(&text)?;
    let rows = answer["data"].as_array().with_context(|| format!("no data: {text}"))?;
    rows.iter().map(|row| row.as_object().cloned().context("a row is an object")).collect()
}

/// The values of `members`, row by row; an absent one is the empty text.
pub async fn table(
    instance: &Instance,
    project: i64,
    query: Value,
    members: &[&str],
) -> Result<Vec<Vec<String>>> {
    let rows = rows(instance, project, query).await?;
    let text = |row: &Map<String, Value>, member: &&str| row[*member].as_str().unwrap_or_default().to_owned();
    Ok(rows.iter().map(|row| members.iter().map(|member| text(row, member)).collect()).collect())
}
