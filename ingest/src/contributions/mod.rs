//! `POST /api/v4/tally/contributions`, Tally's own endpoint for what the Events API lists
//! (contracts/gitlab-events.md, "Contribution records"): one record, or `{"contributions":[…]}`. The answer is 201 with
//! `{"ids":[…]}` in the same order.

mod fields;
mod posted;
mod read;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tally_directory::{Principal, Scope};
use tally_eventlog::Record;
use tally_schemas::{Contribution, topics};
use tally_service::api::{ApiError, Caller};

use crate::append::append;
use crate::document::{ContributionIds, Contributions};
use crate::endpoint::Endpoint;
use crate::refused;
use crate::service::{Ingest, Inner};
use posted::{Items, Posted};
use read::Reader;

/// What may post contributions.
pub(crate) const POSTING: &[Scope] = &[Scope::Api];

/// Record contributions
///
/// What the Events API lists: one record, or up to 500. Answered once the records are durable.
#[utoipa::path(
    post,
    path = "/api/v4/tally/contributions",
    operation_id = "post_contributions",
    tag = "events",
    request_body = Contributions,
    responses((status = 201, description = "The records are kept", body = ContributionIds)),
)]
pub(crate) async fn post(
    State(ingest): State<Ingest>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_scope(POSTING)?;
    let ingest = &*ingest.0;
    let body = refused::read(ingest, &caller, Endpoint::Contributions, request).await?;
    let outcome = match prepare(ingest, &caller.0, ingest.access.clock.now(), body.text()) {
        Ok(contributions) => keep(ingest, &contributions).await,
        Err(error) => Err(error),
    };
    refused::keep_refused(ingest, &caller, Endpoint::Contributions, &body, outcome)
}

/// The contributions of a body that was received at `now`.
pub(crate) fn prepare(
    ingest: &Inner,
    principal: &Principal,
    now: Timestamp,
    text: &str,
) -> Result<Vec<Contribution>, ApiError> {
    let config = &ingest.config;
    let posted = Posted::parse(text, config.max_contributions, config.max_json_depth)?;
    read(posted, &Reader::new(ingest, principal, now))
}

/// Appends and answers.
async fn keep(ingest: &Inner, contributions: &[Contribution]) -> Result<Response, ApiError> {
    let ids: Vec<i64> = contributions.iter().map(|contribution| contribution.id).collect();
    let count = ids.len() as u64;
    if count > 0 {
        append(ingest, topics::CONTRIBUTIONS, records(ingest, contributions)).await?;
        ingest.metrics.contributions.inc_by(count);
    }
    Ok((StatusCode::CREATED, Json(json!({"ids": ids}))).into_response())
}

/// All records, or everything that is wrong with them, each thing once.
fn read(posted: Posted, reader: &Reader<'_>) -> Result<Vec<Contribution>, ApiError> {
    let mut problems = Vec::new();
    let contributions = match posted {
        Posted::One(object) => reader.read(&object, "", &mut problems)?.into_iter().collect(),
        Posted::Many(Items::All(items)) => read_items(&items, reader, &mut problems)?,
        Posted::Many(Items::TooMany) => return Err(reader.too_many()),
        Posted::Many(Items::NoArray) => {
            return Err(ApiError::BadParameters("contributions is invalid".to_owned()));
        }
    };
    if problems.is_empty() { Ok(contributions) } else { Err(ApiError::BadParameters(problems.join(", "))) }
}

fn read_items(
    items: &[Value],
    reader: &Reader<'_>,
    problems: &mut Vec<String>,
) -> Result<Vec<Contribution>, ApiError> {
    let mut contributions = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Value::Object(object) => contributions.extend(reader.read(object, "contributions", problems)?),
            _ => fields::report(problems, "contributions is invalid".to_owned()),
        }
    }
    Ok(contributions)
}

/// One record each; keyed as events are, so that a retry meets the first try in the same partition.
pub(crate) fn records(ingest: &Inner, contributions: &[Contribution]) -> Vec<Record> {
    let encoded = contributions.iter().map(|contribution| {
        let mut value = Vec::new();
        contribution.encode_framed(ingest.framings.contribution, &mut value);
        let key =
            contribution.client_event_id.then(|| Bytes::copy_from_slice(contribution.event_id.as_bytes()));
        Record { key, value: value.into(), timestamp: contribution.received_at }
    });
    encoded.collect()
}
