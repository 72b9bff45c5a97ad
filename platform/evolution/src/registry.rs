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

    /// Asks for the id, unless that was just done. Fails where the registry does not answer.
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

    async fn ask(&self, id: u32) -> Result<Option<WriterSchema>, reqwest::Error> {
        let url = format!("{}/schemas/ids/{id}", self.url);
        let response = self.client.get(url).timeout(LOOK_UP_LIMIT).send().await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let registered: Registered = response.error_for_status()?.json().await?;
        let parsed = WriterSchema::parse(&registered.schema);
        if let Err(error) = &parsed {
            tracing::warn!(id, %error, "the schema registry has no Avro schema for an id");
        }
        Ok(parsed.ok())
    }
}
