//! A request's events to records: whose each is by its tracking key, then the page event, then the Avro encoding, all of a
//! request's into one buffer. What can't be kept as an event is set aside with the reason.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::{RawValue, to_raw_value};
use tally_eventlog::Record;
use tally_letters::Sender;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DeadLetter, DropReason, Framing};
use uuid::{Builder, Uuid};

use crate::enrich::page;
use crate::event::{Receipt, Refused};
use crate::service::Inner;
use crate::snowplow::parameters::Parameters;
use crate::snowplow::paths;

/// Room for one event of the usual size, so that the buffer seldom grows.
const USUAL_RECORD_BYTES: usize = 768;

/// Random bytes in a `UUIDv7`, next to its 48 bits of time.
const RANDOM_BYTES_PER_ID: usize = 10;

/// An event's parameters, their values not looked at.
type RawParameters = BTreeMap<String, Box<RawValue>>;

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

/// The record of one event that its dead letter has kept.
pub(crate) fn again(
    capture: &Inner,
    endpoint: &str,
    payload: &[u8],
    received_at: Timestamp,
) -> Result<Record, String> {
    let text = std::str::from_utf8(payload).map_err(|error| error.to_string())?;
    if ![paths::POST, paths::PIXEL].contains(&endpoint) {
        return Err(format!("capture has no endpoint {endpoint}"));
    }
    let parameters = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let receipt = Receipt {
        received_at: received_at.as_millisecond(),
        address: None,
        network_user_id: String::new(),
        is_anonymous: false,
        user_agent: "",
        referrer: "",
    };
    let event = Posted { text, parameters: Ok(parameters) };
    let Admitted { records, set_aside, .. } = admit(capture, "", &receipt, std::iter::once(event));
    let refused = set_aside.into_iter().next().map(|(_, refused)| refused.detail);
    records.into_iter().next().ok_or_else(|| refused.unwrap_or_default())
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
    app_id: &str,
    receipt: &Receipt<'_>,
    set_aside: &[(&str, Refused)],
) -> Vec<Record> {
    let received_at = receipt.received_at;
    let letters = set_aside.iter().map(|(text, refused)| {
        let (project_id, payload) = without_person(capture, app_id, receipt, text);
        let letter = DeadLetter {
            id: new_id(capture, received_at),
            reason: refused.reason,
            detail: refused.detail.clone(),
            origin: origin(endpoint),
            recorded_at: received_at,
            payload: payload.into_bytes(),
            project_id,
            key: None,
            whole_size: None,
        };
        let mut value = Vec::with_capacity(letter.payload.len() + USUAL_RECORD_BYTES);
        letter.encode_framed(Framing::default(), &mut value);
        Record { key: None, value: Bytes::from(value), timestamp: received_at }
    });
    letters.collect()
}

/// What is kept of an event of a request of which nothing else is, on the budget of nobody in particular: keys are no
/// secrets.
pub(crate) fn refused_event(
    capture: &Inner,
    endpoint: &'static str,
    app_id: &str,
    receipt: &Receipt<'_>,
    (text, refused): &(&str, Refused),
) -> tally_letters::Refused {
    let as_json = (endpoint == paths::PIXEL).then(|| json_of_query(text));
    let text = as_json.as_deref().unwrap_or(text);
    let (project_id, payload) = without_person(capture, app_id, receipt, text);
    tally_letters::Refused {
        sender: project_id.map_or(Sender::Unknown, Sender::Project),
        reason: refused.reason,
        detail: refused.detail.clone(),
        origin: origin(endpoint),
        project_id,
        payload: payload.into_bytes(),
        whole_size: None,
    }
}

/// What is kept of a body that can't be taken apart into events: how long it was. Nobody knows whom it names.
pub(crate) fn refused_body(
    endpoint: &'static str,
    reason: DropReason,
    detail: String,
    length: u64,
) -> tally_letters::Refused {
    tally_letters::Refused {
        sender: Sender::Unknown,
        reason,
        detail,
        origin: origin(endpoint),
        project_id: None,
        payload: Vec::new(),
        whole_size: Some(length),
    }
}

/// A query's parameters in the form in which they are posted.
fn json_of_query(query: &str) -> String {
    let parameters: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
    serde_json::to_string(&parameters).expect("texts become JSON")
}

fn origin(endpoint: &str) -> Origin {
    Origin::Request { endpoint: endpoint.to_owned(), user_id: None, content_type: String::new() }
}

/// The event's project, where its key has one, and its parameters with no more of its address and user than may be kept.
/// Values are looked at one by one, since one that nobody can read may stand beside a user's id.
fn without_person(capture: &Inner, app_id: &str, receipt: &Receipt<'_>, text: &str) -> (Option<i64>, String) {
    if !text.starts_with(['{', '[']) {
        return (None, text.to_owned());
    }
    // Of what can't be taken apart nobody knows whom it names.
    let Ok(mut parameters) = serde_json::from_str::<RawParameters>(text) else {
        return (None, String::new());
    };
    let privacy = &capture.builder.privacy;
    let of_anonymous = ["nuid", "tnuid"].into_iter().filter(|_| receipt.is_anonymous);
    for name in of_anonymous {
        replace(&mut parameters, name, |_| None);
    }
    replace(&mut parameters, "ip", |text| {
        let address = text.parse().ok().filter(|_| !receipt.is_anonymous);
        address.and_then(|address| privacy.address(address)).map(|address| address.to_string())
    });
    for name in ["url", "refr"] {
        replace(&mut parameters, name, |text| Some(page::parse(text).0.into_owned()));
    }
    let key = parameters.get("aid").map(|key| scalar(key)).filter(|key| !key.is_empty());
    let project_id = capture.project_of_key(key.as_deref().unwrap_or(app_id));
    replace(&mut parameters, "uid", |user_id| Some(privacy.user_id(project_id.unwrap_or(0), user_id)));
    (project_id, serde_json::to_string(&parameters).expect("texts become JSON"))
}

/// Puts what may be kept of a parameter in its place, null for nothing; as it came where that is all of it.
fn replace(parameters: &mut RawParameters, name: &str, kept_of: impl FnOnce(&str) -> Option<String>) {
    let Some(value) = parameters.get_mut(name) else { return };
    let text = scalar(value);
    let kept = kept_of(&text);
    if kept.as_ref() != Some(&text) {
        *value = to_raw_value(&kept).expect("a text becomes JSON");
    }
}

/// The text of a text, and of a number, or of what should not be there, its JSON.
fn scalar(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// A `UUIDv7`: ids made later sort later.
fn new_id(capture: &Inner, received_at: i64) -> Uuid {
    let mut random = [0; RANDOM_BYTES_PER_ID];
    capture.randomness.fill(&mut random);
    let millis = u64::try_from(received_at).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
