//! How records on the log name their schema: by fingerprint, or, with a Confluent schema registry, by the id that the
//! registry gives when the schema is registered at start.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;
use tally_schemas::{Framing, Framings, avro, topics};

/// A registry's answer to a registration.
#[derive(Deserialize)]
struct Registered {
    id: u32,
}

/// Registers the schemas with the registry at `url`; an empty URL means that there is none.
pub async fn framings(url: &str) -> Result<Framings> {
    if url.is_empty() {
        return Ok(Framings::default());
    }
    Ok(Framings {
        tracked_event: register(url, topics::EVENTS, avro::TRACKED_EVENT_SCHEMA).await?,
        contribution: register(url, topics::CONTRIBUTIONS, avro::CONTRIBUTION_SCHEMA).await?,
    })
}

/// Registers the schema of a topic's values; registering one that is there gives its id.
async fn register(url: &str, topic: &str, schema: &str) -> Result<Framing> {
    let url = format!("{}/subjects/{topic}-value/versions", url.trim_end_matches('/'));
    let response = reqwest::Client::new()
        .post(&url)
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(json!({ "schema": schema }).to_string())
        .send()
        .await
        .with_context(|| format!("the schema registry does not answer at {url}"))?;
    let status = response.status();
    if !status.is_success() {
        bail!("the schema registry refused the schema of {topic} ({status}): {}", response.text().await?);
    }
    let registered: Registered = response.json().await.with_context(|| format!("no schema id from {url}"))?;
    Ok(Framing::Confluent { schema_id: registered.id })
}
