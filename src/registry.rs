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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::extract::{Path, State};
    use axum::http::StatusCode;
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::Value;

    use super::*;

    type Registrations = Arc<Mutex<Vec<(String, Value)>>>;

    /// Gives every registration the next id, from 41 on; refuses subjects that don't belong to Tally.
    async fn registered(
        State(seen): State<Registrations>,
        Path(subject): Path<String>,
        body: String,
    ) -> (StatusCode, Json<Value>) {
        if !subject.starts_with("tally.") {
            return (StatusCode::CONFLICT, Json(json!({"error_code": 409})));
        }
        let mut seen = seen.lock().unwrap();
        seen.push((subject, serde_json::from_str(&body).unwrap()));
        (StatusCode::OK, Json(json!({"id": 40 + seen.len()})))
    }

    async fn registry() -> (String, Registrations) {
        let seen = Registrations::default();
        let router = Router::new()
            .route("/subjects/{subject}/versions", post(registered))
            .with_state(Arc::clone(&seen));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, seen)
    }

    #[tokio::test]
    async fn each_topics_schema_is_registered_and_its_records_carry_the_id() {
        let (url, seen) = registry().await;
        let framings = framings(&url).await.unwrap();
        assert_eq!(framings.tracked_event, Framing::Confluent { schema_id: 41 });
        assert_eq!(framings.contribution, Framing::Confluent { schema_id: 42 });
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].0, "tally.events-value");
        assert_eq!(seen[0].1["schema"], avro::TRACKED_EVENT_SCHEMA);
        assert_eq!(seen[1].0, "tally.contributions-value");
    }

    #[tokio::test]
    async fn a_refused_schema_is_an_error_that_names_the_topic() {
        let (url, _) = registry().await;
        let error = register(&url, "other", "{}").await.unwrap_err().to_string();
        assert!(error.contains("other") && error.contains("409"), "{error}");
    }

    #[tokio::test]
    async fn without_a_registry_records_carry_the_fingerprint() {
        assert_eq!(framings("").await.unwrap(), Framings::default());
    }
}
