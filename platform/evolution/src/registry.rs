//! A Confluent schema registry, asked for the schemas of ids that records carry.

use std::collections::HashMap;
use std::sync::Arc;

use reqwest::StatusCode;
use serde::Deserialize;
use tally_eventlog::LogError;
use tally_schemas::avro::WriterSchema;
use tokio::time::Instant;

use crate::LOOK_UP_LIMIT;

/// Answers that are kept at most. Past that those ids are forgotten that the registry doesn't know; it is what bounds the others.
const MOST_IDS: usize = 1_000;

/// For how long an id that the registry doesn't know is not asked for again.
const MISSING_FOR: std::time::Duration = std::time::Duration::from_mins(1);

/// What a registry said.
#[derive(Debug)]
pub struct Registry {
    url: String,
    client: reqwest::Client,
    answers: HashMap<u32, Answer>,
}

#[derive(Debug)]
enum Answer {
    Schema(Arc<WriterSchema>),
    /// It had none then, or none that can be read.
    Missing(Instant),
}

/// `GET /schemas/ids/{id}`, <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>.
#[derive(Deserialize)]
struct Registered {
    schema: String,
}

impl Registry {
    pub fn new(url: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { url, client: reqwest::Client::new(), answers: HashMap::new() }
    }

    /// The schema with that id, as far as it was looked for.
    pub fn get(&self, id: u32) -> Option<Arc<WriterSchema>> {
        match self.answers.get(&id)? {
            Answer::Schema(schema) => Some(Arc::clone(schema)),
            Answer::Missing(_) => None,
        }
    }

    /// Asks for the id, unless that was just done. Fails where the registry can't say; an answer that is no schema is one that
    /// a record must not wait for.
    pub async fn look_for(&mut self, id: u32) -> Result<(), LogError> {
        if let Some(Answer::Missing(at)) = self.answers.get(&id)
            && at.elapsed() < MISSING_FOR
        {
            return Ok(());
        }
        let asked_at = Instant::now();
        let found = self.ask(id).await.map_err(|error| {
            LogError::Unavailable(format!("the schema registry does not tell of the schema {id}: {error}"))
        })?;
        if self.answers.len() >= MOST_IDS {
            self.answers.retain(|_, answer| matches!(answer, Answer::Schema(_)));
        }
        let answer = match found {
            Some(schema) => Answer::Schema(Arc::new(schema)),
            None => Answer::Missing(asked_at),
        };
        self.answers.insert(id, answer);
        Ok(())
    }

    /// The schema; `None` where the answer is another, and an error where there is none, or one that time may change.
    async fn ask(&self, id: u32) -> Result<Option<WriterSchema>, reqwest::Error> {
        let url = format!("{}/schemas/ids/{id}", self.url);
        let response = self.client.get(url).timeout(LOOK_UP_LIMIT).send().await?;
        let status = response.status();
        if !status.is_success() {
            tracing::warn!(id, %status, "the schema registry does not tell of a schema");
            return if may_change(status) { response.error_for_status().map(|_| None) } else { Ok(None) };
        }
        let parsed = match serde_json::from_slice::<Registered>(&response.bytes().await?) {
            Ok(registered) => WriterSchema::parse(&registered.schema).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = &parsed {
            tracing::warn!(id, %error, "the schema registry has no Avro schema for an id");
        }
        Ok(parsed.ok())
    }
}

/// Whether a refusal is about the registry or who asks, not about the id.
fn may_change(status: StatusCode) -> bool {
    status.is_server_error()
        || [
            StatusCode::UNAUTHORIZED,
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
        ]
        .contains(&status)
}
