//! A usage report as tracked events, which the processor counts as it does everybody's.
//!
//! A count is one event with the number as its `value` where the definitions sum that, as Tally's own do; where they
//! count events, as GitLab's do, it is as many events. An id is one event with the id where the metrics look for it.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;
use tally_directory::State;
use tally_eventlog::Record;
use tally_schemas::{CounterKind, Framings, Increment, Matcher, PropertyValue, TrackedEvent};
use tally_service::randomness::Randomness;
use uuid::Builder;

use super::usage_report::{IdsOf, UsageReport};
use crate::metrics::Metrics;
use crate::request_identity::RequestIdentity;

/// Random bytes in a `UUIDv7`, next to its 48 bits of time.
const RANDOM_BYTES_PER_ID: usize = 10;

/// The property by which agents are told apart.
const AGENT_ID: &str = "agent_id";

/// The property that sums add up.
const VALUE: &str = "value";

/// Events that one count of a report may become. The agent server reports every minute.
const MAX_EVENTS_PER_COUNT: i64 = 10_000;

/// The report's events, not yet with ids of their own. What is cut of a count goes into the metrics.
pub(super) fn events(
    report: &UsageReport,
    definitions: &Matcher,
    directory: &State,
    metrics: &Metrics,
    now: Timestamp,
) -> Vec<TrackedEvent<'static>> {
    let counts = report.counts.iter().flat_map(|(counter, count)| {
        let event = nameless(counter.event, now);
        if counts_events(definitions, counter.event) {
            return vec![event; within_bound(counter.event, *count, metrics)];
        }
        let value = (Cow::Borrowed(VALUE), PropertyValue::Long(*count));
        vec![TrackedEvent { additional_properties: vec![value], ..event }]
    });
    let ids = report.ids.iter().flat_map(|(counter, ids)| {
        ids.iter().map(|id| {
            let event = nameless(counter.name, now);
            match counter.ids_of {
                IdsOf::Users => TrackedEvent { user_id: Some(*id), ..event },
                IdsOf::Agents => {
                    let property = (Cow::Borrowed(AGENT_ID), PropertyValue::Long(*id));
                    TrackedEvent { additional_properties: vec![property], ..event }
                }
                IdsOf::Projects => {
                    let namespace_id = directory.project(*id).and_then(|project| project.namespace_id);
                    TrackedEvent { project_id: Some(*id), namespace_id, ..event }
                }
            }
        })
    });
    counts.chain(ids).collect()
}

/// Whether every such event counts as one: its definition sums no `value`. An event without definition counts nowhere, and
/// keeps its number.
fn counts_events(definitions: &Matcher, event: &str) -> bool {
    let sums = |kind: &CounterKind| *kind == CounterKind::SumOfValue;
    definitions.lookup(event).is_some_and(|event| {
        event.counters().iter().all(|id| !sums(&definitions.counters()[id.0 as usize].kind))
    })
}

/// How many events stand for the count.
fn within_bound(event: &'static str, count: i64, metrics: &Metrics) -> usize {
    let kept = count.min(MAX_EVENTS_PER_COUNT);
    if kept < count {
        tracing::warn!(event, count, kept, "an agent server's count was cut");
        metrics.cut_usage.with_label_values(&[event]).inc_by((count - kept) as u64);
    }
    kept as usize
}

/// An event by nobody, nowhere.
fn nameless(name: &'static str, now: Timestamp) -> TrackedEvent<'static> {
    let now = now.as_millisecond();
    TrackedEvent {
        event_id: uuid::Uuid::nil(),
        name: Cow::Borrowed(name),
        timestamp: now,
        received_at: now,
        user_id: None,
        project_id: None,
        namespace_id: None,
        additional_properties: Vec::new(),
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    }
}

/// The events as records, each with an id of its own. With an identity of the request, they are the same for each of its tries, and
/// the records' keys.
pub(super) fn records(
    events: Vec<TrackedEvent<'static>>,
    identity: Option<&RequestIdentity>,
    randomness: &dyn Randomness,
    framings: Framings,
) -> Vec<Record> {
    let mut random = vec![0; events.len() * RANDOM_BYTES_PER_ID];
    randomness.fill(&mut random);
    let encode = |(number, (mut event, random)): (usize, (TrackedEvent<'static>, &[u8]))| {
        let millis = u64::try_from(event.received_at).unwrap_or(0);
        let random = random.try_into().expect("chunks are as long as asked for");
        event.event_id = match identity {
            Some(identity) => identity.id(number),
            None => Builder::from_unix_timestamp_millis(millis, random).into_uuid(),
        };
        event.client_event_id = identity.is_some();
        let mut value = Vec::new();
        event.encode_framed(framings.tracked_event, &mut value);
        let key = identity.map(|_| Bytes::copy_from_slice(event.event_id.as_bytes()));
        Record { key, value: Bytes::from(value), timestamp: event.received_at }
    };
    events.into_iter().zip(random.chunks_exact(RANDOM_BYTES_PER_ID)).enumerate().map(encode).collect()
}
