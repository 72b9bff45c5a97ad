//! Parameters to records: who acted, where and when, as far as the caller may say so; then the Avro encoding, all of a
//! request's events into one buffer.

use std::collections::HashSet;

use axum::http::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use tally_directory::{Principal, ProjectLookup};
use tally_eventlog::Record;
use tally_schemas::{Increment, TrackedEvent};
use uuid::{Builder, Uuid};

use crate::config::IngestConfig;
use crate::parse::EventParameters;
use crate::service::Inner;
use crate::verdict::Verdict;

/// Random bytes in a `UUIDv7`, next to its 48 bits of time.
pub(crate) const RANDOM_BYTES_PER_ID: usize = 10;

/// Room for one event of the usual size, so that the buffer seldom grows.
const USUAL_RECORD_BYTES: usize = 512;

/// A request's records and what is to be said about each.
pub(crate) struct Admitted {
    pub(crate) records: Vec<Record>,
    /// Empty unless asked for.
    pub(crate) verdicts: Vec<Verdict>,
    /// Properties that no definition declares.
    pub(crate) undeclared_properties: usize,
}

/// Encodes the events of one caller's request, received at `now`. Of several with the same `event_id` only the first
/// becomes a record.
pub(crate) fn admit(
    ingest: &Inner,
    principal: &Principal,
    now: Timestamp,
    events: Vec<EventParameters<'_>>,
    wants_verdicts: bool,
) -> Admitted {
    let received_at = now.as_millisecond();
    let mut random = vec![0; events.len() * RANDOM_BYTES_PER_ID];
    ingest.randomness.fill(&mut random);
    let mut buffer = Vec::with_capacity(events.len() * USUAL_RECORD_BYTES);
    let mut ends = Vec::with_capacity(events.len());
    let mut admitted = Admitted { records: Vec::new(), verdicts: Vec::new(), undeclared_properties: 0 };
    // Ids that are made here can't repeat.
    let mut client_ids = HashSet::new();
    for (parameters, random) in events.into_iter().zip(random.chunks_exact(RANDOM_BYTES_PER_ID)) {
        let random = random.try_into().expect("chunks are as long as asked for");
        let event = resolve(ingest, principal, received_at, random, parameters);
        let definition = ingest.definitions.lookup(&event.name);
        let is_first = !event.client_event_id || client_ids.insert(event.event_id);
        if is_first {
            event.encode_framed(ingest.framings.tracked_event, &mut buffer);
            ends.push((buffer.len(), event.client_event_id.then_some(event.event_id)));
            if let Some(definition) = definition {
                admitted.undeclared_properties += definition.undeclared(&event.additional_properties).count();
            }
        }
        if wants_verdicts {
            admitted.verdicts.push(Verdict::new(&event, definition, is_first));
        }
    }
    admitted.records = records(&Bytes::from(buffer), &ends, received_at);
    admitted
}

/// Cuts the buffer into records. An event whose id the client chose has that id as its key, so that a repetition lies in
/// the same partition as the first; the others go together to any partition. The record's time is that of receipt, by
/// which the log's retention goes, however old the event is.
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

fn resolve<'a>(
    ingest: &Inner,
    principal: &Principal,
    received_at: i64,
    random: &[u8; RANDOM_BYTES_PER_ID],
    parameters: EventParameters<'a>,
) -> TrackedEvent<'a> {
    let given = parameters.timestamp.unwrap_or(received_at);
    let timestamp = clamp(given, received_at, principal.admin, &ingest.config);
    let (project_id, namespace_id) = place(ingest, principal, parameters.project_id, parameters.namespace_id);
    TrackedEvent {
        event_id: parameters.event_id.unwrap_or_else(|| new_event_id(received_at, random)),
        name: parameters.event,
        timestamp,
        received_at,
        // Only an administrator's request has one; 0 or less says that nobody acted.
        user_id: parameters.user_id.map_or(Some(principal.user_id), existing),
        project_id,
        namespace_id,
        additional_properties: parameters.additional_properties,
        send_to_snowplow: parameters.send_to_snowplow,
        timestamp_clamped: timestamp != given,
        client_event_id: parameters.event_id.is_some(),
        increment: Increment::Event,
    }
}

/// A `UUIDv7`: ids made later sort later.
pub(crate) fn new_event_id(received_at: i64, random: &[u8; RANDOM_BYTES_PER_ID]) -> Uuid {
    let millis = u64::try_from(received_at).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, random).into_uuid()
}

/// The nearest accepted time. Administrators import history, back to the epoch; nobody sends from the future.
fn clamp(timestamp: i64, received_at: i64, administrator: bool, config: &IngestConfig) -> i64 {
    let earliest = if administrator { 0 } else { received_at - i64::from(config.max_event_age_s) * 1000 };
    let latest = received_at + i64::from(config.max_event_lead_s) * 1000;
    timestamp.min(latest).max(earliest)
}

/// Project and namespace as far as they are known. A project that the caller can't read counts as absent, and so does a
/// namespace without a project that they can read; a namespace that is absent is the project's.
fn place(
    ingest: &Inner,
    principal: &Principal,
    project_id: Option<i64>,
    namespace_id: Option<i64>,
) -> (Option<i64>, Option<i64>) {
    let directory = &ingest.access.directory;
    let is_known = |id: &i64| directory.may_name_namespace(Some(principal), *id);
    let namespace_id = namespace_id.and_then(existing).filter(is_known);
    let Some(id) = project_id.and_then(existing) else { return (None, namespace_id) };
    match directory.project(Some(principal), id) {
        ProjectLookup::AsGiven => (Some(id), namespace_id),
        ProjectLookup::Readable(project) => (Some(id), namespace_id.or(project.namespace_id)),
        ProjectLookup::Absent => (None, namespace_id),
    }
}

/// Ids count from 1; nothing has another one, nor one beyond all bounds.
fn existing(id: i64) -> Option<i64> {
    (1..i64::MAX).contains(&id).then_some(id)
}

/// Whether the client asks for verdicts, by RFC 7240's `Prefer: return=representation`.
pub(crate) fn prefers_representation(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("return=representation"))
}
