//! `POST /api/v4/tally/contributions`, Tally's own endpoint for what the Events API lists
//! (contracts/gitlab-events.md, "Contribution records"): one record, or `{"contributions":[…]}`. The answer is 201 with
//! `{"ids":[…]}` in the same order.

mod fields;
mod ids;
mod read;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tally_directory::Scope;
use tally_eventlog::Record;
use tally_schemas::{Contribution, topics};
use tally_service::api::{ApiError, Caller};

pub(crate) use ids::ContributionIds;

use crate::append::append;
use crate::body;
use crate::parse::{MalformedBody, check_json};
use crate::service::{Ingest, Inner};
use read::Reader;

/// What may post contributions.
const POSTING: &[Scope] = &[Scope::Api];

/// `POST /tally/contributions`.
pub(crate) async fn post(
    State(ingest): State<Ingest>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_scope(POSTING)?;
    let ingest = &*ingest.0;
    let body = body::read(ingest, request).await?;
    let posted = Posted::parse(body.text(), ingest)?;
    let contributions = posted.read(&Reader::new(ingest, &caller.0))?;
    let ids: Vec<i64> = contributions.iter().map(|contribution| contribution.id).collect();
    let count = ids.len() as u64;
    if count > 0 {
        append(ingest, topics::CONTRIBUTIONS, records(ingest, &contributions)).await?;
        ingest.metrics.contributions.inc_by(count);
    }
    Ok((StatusCode::CREATED, Json(json!({"ids": ids}))).into_response())
}

/// The two forms of a body.
enum Posted {
    One(Map<String, Value>),
    Many(Vec<Value>),
}

impl Posted {
    fn parse(body: &str, ingest: &Inner) -> Result<Self, ApiError> {
        let text = if body.trim_ascii().is_empty() { "{}" } else { body };
        check_json(text, ingest.config.max_json_depth)?;
        let value = serde_json::from_str(text).map_err(MalformedBody::from)?;
        let Value::Object(mut object) = value else { return Ok(Self::One(Map::new())) };
        match object.remove("contributions") {
            None => Ok(Self::One(object)),
            Some(Value::Array(items)) => Ok(Self::Many(items)),
            Some(_) => Err(ApiError::BadParameters("contributions is invalid".to_owned())),
        }
    }

    /// All records, or everything that is wrong with them, each thing once.
    fn read(self, reader: &Reader<'_>) -> Result<Vec<Contribution>, ApiError> {
        let mut problems = Vec::new();
        let contributions: Vec<_> = match self {
            Self::One(object) => reader.read(&object, "", &mut problems)?.into_iter().collect(),
            Self::Many(items) => {
                reader.check_count(items.len())?;
                let mut contributions = Vec::with_capacity(items.len());
                for item in &items {
                    match item {
                        Value::Object(object) => {
                            contributions.extend(reader.read(object, "contributions", &mut problems)?);
                        }
                        _ => fields::report(&mut problems, "contributions is invalid".to_owned()),
                    }
                }
                contributions
            }
        };
        if problems.is_empty() {
            Ok(contributions)
        } else {
            Err(ApiError::BadParameters(problems.join(", ")))
        }
    }
}

/// One record each; keyed as events are, so that a retry meets the first try in the same partition.
fn records(ingest: &Inner, contributions: &[Contribution]) -> Vec<Record> {
    let encoded = contributions.iter().map(|contribution| {
        let mut value = Vec::new();
        contribution.encode_framed(ingest.framings.contribution, &mut value);
        let key =
            contribution.client_event_id.then(|| Bytes::copy_from_slice(contribution.event_id.as_bytes()));
        Record { key, value: value.into(), timestamp: contribution.received_at }
    });
    encoded.collect()
}
