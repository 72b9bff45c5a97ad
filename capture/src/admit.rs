//! A request's events to records: whose each is by its tracking key, then the page event, then the Avro encoding, all of a
//! request's into one buffer. What can't be kept as an event is set aside with the reason.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use tally_eventlog::Record;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DeadLetter, DropReason, Framing};
use uuid::{Builder, Uuid};

use crate::event::{Receipt, Refused};
use crate::service::Inner;
use crate::snowplow::parameters::Parameters;

/// Room for one event of the usual size, so that the buffer seldom grows.
const USUAL_RECORD_BYTES: usize = 768;

/// Random bytes in a `UUIDv7`, next to its 48 bits of time.
const RANDOM_BYTES_PER_ID: usize = 10;

/// One event of a request.
pub(crate) struct Posted<'r> {
    /// As it came, for a dead letter.
    pub(crate) text: &'r str,
    /// What was read out of it.
    pub(crate) parameters: Result<Parameters<'r>, Refused>,
}

/// What a request becomes.
pub(crate) struct Admitted<'r> {
    /// Of the topic of page events.
    pub(crate) records: Vec<Record>,
    /// How many of them each project has.
    pub(crate) by_project: BTreeMap<i64, u32>,
    /// What can't be kept, and why.
    pub(crate) set_aside: Vec<(&'r str, Refused)>,
}

/// Encodes the events of one request. `app_id` is the tracking key where an event names none.
pub(crate) fn admit<'r>(
    capture: &Inner,
    app_id: &str,
    receipt: &Receipt<'_>,
    events: impl Iterator<Item = Posted<'r>>,
) -> Admitted<'r> {
    let mut admitted = Admitted { records: Vec::new(), by_project: BTreeMap::new(), set_aside: Vec::new() };
    let mut buffer = Vec::with_capacity(events.size_hint().0 * USUAL_RECORD_BYTES);
    let mut ends = Vec::new();
    for Posted { text, parameters } in events {
        let encoded =
            parameters.and_then(|parameters| encode(capture, app_id, receipt, &parameters, &mut buffer));
        match encoded {
            Ok(encoded) => {
                *admitted.by_project.entry(encoded.project_id).or_insert(0) += 1;
                ends.push((buffer.len(), encoded.key));
            }
            Err(refused) => admitted.set_aside.push((text, refused)),
        }
    }
    admitted.records = records(&Bytes::from(buffer), &ends, receipt.received_at);
    admitted
}

/// What is to be known of an event that lies encoded in the buffer.
struct Encoded {
    project_id: i64,
    key: Option<Uuid>,
}

fn encode(
    capture: &Inner,
    app_id: &str,
    receipt: &Receipt<'_>,
    parameters: &Parameters<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Encoded, Refused> {
    let key = if parameters.app_id.is_empty() { app_id } else { &parameters.app_id };
    let project_id = capture.project_of_key(key).ok_or_else(|| unknown_key(key))?;
    let new_id = new_id(capture, receipt.received_at);
    let event = capture.builder.build(project_id, new_id, parameters, receipt)?;
    event.encode_framed(capture.framings.page_event, buffer);
    Ok(Encoded { project_id, key: event.client_event_id.then_some(event.event_id) })
}

fn unknown_key(key: &str) -> Refused {
    let key: String = key.chars().take(100).collect();
    Refused {
        reason: DropReason::UnknownKey,
        detail: format!("no project has the tracking key {key:?} (aid)"),
    }
}

/// Cuts the buffer into records. An event whose id the tracker chose has that id as its key, so that a repetition lies in
/// the same partition as the first. The record's time is that of receipt, by which the log's retention goes.
fn records(buffer: &Bytes, ends: &[(usize, Option<Uuid>)], received_at: i64) -> Vec<Record> {
    let mut start = 0;
    let cut = ends.iter().map(|(end, key)| {
        let value = buffer.slice(start..*end);
        start = *end;
        let key = key.map(|id| Bytes::copy_from_slice(id.as_bytes()));
        Record { key, value, timestamp: received_at }
    });
    cut.collect()
}

/// Dead letters of what was set aside. Personal data are kept in them by the same rules as in events.
pub(crate) fn dead_letters(
    capture: &Inner,
    endpoint: &'static str,
    received_at: i64,
    set_aside: &[(&str, Refused)],
) -> Vec<Record> {
    let letters = set_aside.iter().map(|(text, refused)| {
        let letter = DeadLetter {
            id: new_id(capture, received_at),
            reason: refused.reason,
            detail: refused.detail.clone(),
            origin: Origin::Request { endpoint: endpoint.to_owned() },
            recorded_at: received_at,
            payload: without_person(capture, text).into_bytes(),
        };
        let mut value = Vec::with_capacity(letter.payload.len() + USUAL_RECORD_BYTES);
        letter.encode_framed(Framing::default(), &mut value);
        Record { key: None, value: Bytes::from(value), timestamp: received_at }
    });
    letters.collect()
}

/// The event's parameters with no more of its address and user than may be kept.
fn without_person(capture: &Inner, text: &str) -> String {
    let Ok(Value::Object(mut parameters)) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let privacy = &capture.builder.privacy;
    if let Some(address) = parameters.get("ip").and_then(Value::as_str) {
        let kept = address.parse().ok().and_then(|address| privacy.address(address));
        let kept = kept.map(|address| Value::from(address.to_string()));
        parameters.insert("ip".to_owned(), kept.unwrap_or_default());
    }
    if let Some(user_id) = parameters.get("uid").and_then(Value::as_str) {
        let key = parameters.get("aid").and_then(Value::as_str).unwrap_or_default();
        let project_id = capture.project_of_key(key).unwrap_or(0);
        parameters.insert("uid".to_owned(), privacy.user_id(project_id, user_id).into());
    }
    Value::Object(parameters).to_string()
}

/// A `UUIDv7`: ids made later sort later.
fn new_id(capture: &Inner, received_at: i64) -> Uuid {
    let mut random = [0; RANDOM_BYTES_PER_ID];
    capture.randomness.fill(&mut random);
    let millis = u64::try_from(received_at).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
