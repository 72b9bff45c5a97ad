//! How records on the log name their schema: by fingerprint, or, with a Confluent schema registry, by the id that the
//! registry gives when the schema is registered at start.

use anyhow::{Context, Result, bail};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tally_schemas::{Framing, Framings, avro, topics};

/// A registry's answer to a registration or a look-up.
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
        tracked_event: framing(
            url,
            topics::EVENTS,
            avro::TRACKED_EVENT_SCHEMA,
            &avro::TRACKED_EVENT_OLDER_SCHEMAS,
        )
        .await?,
        contribution: framing(
            url,
            topics::CONTRIBUTIONS,
            avro::CONTRIBUTION_SCHEMA,
            &avro::CONTRIBUTION_OLDER_SCHEMAS,
        )
        .await?,
        page_event: framing(
            url,
            topics::PAGE_EVENTS,
            avro::PAGE_EVENT_SCHEMA,
            &avro::PAGE_EVENT_OLDER_SCHEMAS,
        )
        .await?,
    })
}

/// Registers the schema of a topic's values, and looks up what records on the log may have been written with before.
async fn framing(url: &str, topic: &str, schema: &str, older: &[&str]) -> Result<Framing> {
    let mut older_ids = [None; avro::MOST_OLDER_SCHEMAS];
    for (id, older) in older_ids.iter_mut().zip(older) {
        *id = look_up(url, topic, older).await?;
    }
    Ok(Framing::Confluent { schema_id: register(url, topic, schema).await?, older_ids })
}

/// Registers a schema; registering one that is there gives its id.
async fn register(url: &str, topic: &str, schema: &str) -> Result<u32> {
    let response = post(url, &format!("subjects/{topic}-value/versions"), schema).await?;
    let status = response.status();
    if !status.is_success() {
        bail!("the schema registry refused the schema of {topic} ({status}): {}", response.text().await?);
    }
    id_in(response).await
}

/// The id of a schema that was registered earlier, if it was.
async fn look_up(url: &str, topic: &str, schema: &str) -> Result<Option<u32>> {
    let response = post(url, &format!("subjects/{topic}-value"), schema).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => Ok(Some(id_in(response).await?)),
        status => {
            bail!("the schema registry does not tell of {topic} ({status}): {}", response.text().await?)
        }
    }
}

async fn post(url: &str, path: &str, schema: &str) -> Result<Response> {
    let url = format!("{}/{path}", url.trim_end_matches('/'));
    reqwest::Client::new()
        .post(&url)
        .header("content-type", "application/vnd.schemaregistry.v1+json")
        .body(json!({ "schema": schema }).to_string())
        .send()
        .await
        .with_context(|| format!("the schema registry does not answer at {url}"))
}

async fn id_in(response: Response) -> Result<u32> {
    let url = response.url().clone();
    let registered: Registered = response.json().await.with_context(|| format!("no schema id from {url}"))?;
    Ok(registered.id)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::extract::{Path, State};
    use axum::http::StatusCode;
    use axum::{Json, Router, routing};
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

    /// Knows the first schema of events under 7, and no other.
    async fn looked_up(Path(subject): Path<String>, body: String) -> (StatusCode, Json<Value>) {
        let body: Value = serde_json::from_str(&body).unwrap();
        if subject == "tally.events-value" && body["schema"] == avro::TRACKED_EVENT_OLDER_SCHEMAS[0] {
            return (StatusCode::OK, Json(json!({"id": 7})));
        }
        (StatusCode::NOT_FOUND, Json(json!({"error_code": 40403})))
    }

    async fn registry() -> (String, Registrations) {
        let seen = Registrations::default();
        let router = Router::new()
            .route("/subjects/{subject}", routing::post(looked_up))
            .route("/subjects/{subject}/versions", routing::post(registered))
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
        assert_eq!(framings.tracked_event, Framing::Confluent { schema_id: 41, older_ids: [Some(7)] });
        assert_eq!(framings.contribution, Framing::Confluent { schema_id: 42, older_ids: [None] });
        let seen = seen.lock().unwrap();
        assert_eq!(seen[0].0, "tally.events-value");
        assert_eq!(seen[0].1["schema"], avro::TRACKED_EVENT_SCHEMA);
        assert_eq!(seen[1].0, "tally.contributions-value");
        assert_eq!(seen[2].0, "tally.page_events-value");
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
