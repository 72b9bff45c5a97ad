//! What is sent: a pure function of the seed, request by request. Events are those of `tally load`; each carries its number
//! in a property that no definition declares, so that it can be told in the tables and counts nowhere.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tally_benches::catalogue::Catalogue;
use tally_benches::stream::event::{PropertyValue, TrackEvent};
use tally_benches::stream::{BATCH, Stream, StreamOptions};
use tally_schemas::Definitions;
use uuid::{Builder, Uuid};

/// The additional property that holds an event's number.
pub const NUMBER: &str = "oracle_number";
/// The project of page events and contributions, and its tracking key.
pub const PROJECT: i64 = 5;
pub const TRACKING_KEY: &str = "oracle-key";

/// Page events in a request, and contributions.
const PAGES_AT_ONCE: u64 = 10;
const CONTRIBUTIONS_AT_ONCE: u64 = 5;

/// Everything that one run sends.
#[derive(Clone, Debug)]
pub struct Workload {
    stream: Stream,
    seed: u64,
    now: Timestamp,
    /// Of a hundred requests, those whose events have an id of the client's.
    identified: u64,
    pub pages: u64,
    pub contributions: u64,
}

impl Workload {
    /// `events` events of these definitions up to `now`, and page events and contributions at a smaller rate.
    pub fn new(
        definitions: &[String],
        seed: u64,
        events: u64,
        identified: u64,
        now: Timestamp,
    ) -> Result<Self> {
        let definitions = Definitions::load_or_built_in(definitions)?;
        let catalogue = Catalogue::from_definitions(&definitions);
        ensure!(!catalogue.events().is_empty(), "no definition declares an event");
        let options = StreamOptions {
            seed,
            events,
            from: now - SignedDuration::from_hours(6 * 7 * 24),
            to: now,
            users: 20_000,
            projects: 5_000,
            namespaces: 1_000,
            duplicates: 0.0,
        };
        let stream = Stream::new(catalogue, options);
        Ok(Self { stream, seed, now, identified, pages: events / 20, contributions: events / 50 })
    }

    pub fn events(&self) -> u64 {
        self.stream.events()
    }

    /// The requests, each the numbers of its events.
    pub fn event_requests(&self) -> u64 {
        self.stream.batches()
    }

    pub fn page_requests(&self) -> u64 {
        self.pages.div_ceil(PAGES_AT_ONCE)
    }

    pub fn contribution_requests(&self) -> u64 {
        self.contributions.div_ceil(CONTRIBUTIONS_AT_ONCE)
    }

    pub fn events_of(&self, request: u64) -> Vec<u64> {
        (request * BATCH..((request + 1) * BATCH).min(self.events())).collect()
    }

    pub fn pages_of(&self, request: u64) -> Vec<u64> {
        (request * PAGES_AT_ONCE..((request + 1) * PAGES_AT_ONCE).min(self.pages)).collect()
    }

    pub fn contributions_of(&self, request: u64) -> Vec<u64> {
        (request * CONTRIBUTIONS_AT_ONCE..((request + 1) * CONTRIBUTIONS_AT_ONCE).min(self.contributions))
            .collect()
    }

    /// Whether the client names its events, so that it may send the request as often as it likes.
    pub fn is_identified(&self, request: u64) -> bool {
        chance(self.seed, 1, request) < self.identified
    }

    /// A number from 0 to 99 that decides something about a request.
    pub fn chance(&self, of: u64, request: u64) -> u64 {
        chance(self.seed, of, request)
    }

    /// The body of a request, or of a part of it: every `step`th event.
    pub fn event_body(&self, request: u64, step: usize) -> String {
        let is_identified = self.is_identified(request);
        let events = self.stream.batch(request).zip(request * BATCH..).step_by(step);
        let events: Vec<String> = events.map(|(event, number)| line(event, number, is_identified)).collect();
        format!("{{\"events\":[{}]}}", events.join(","))
    }

    /// All events as the reference program takes them: one a line, each with an id.
    pub fn reference_lines(&self) -> impl Iterator<Item = String> {
        self.stream.iter().zip(0..).map(|(event, number)| line(event, number, true))
    }

    /// All events as they were made.
    pub fn originals(&self) -> impl Iterator<Item = TrackEvent<'_>> {
        self.stream.iter()
    }

    /// Whether the client named this event.
    pub fn has_id(&self, event: u64) -> bool {
        self.is_identified(event / BATCH)
    }

    pub fn page_body(&self, pages: &[u64]) -> String {
        let sent = self.now.as_millisecond();
        let data: Vec<Value> = pages
            .iter()
            .map(|number| {
                let visitor = number % 97;
                json!({
                    "e": "pv", "p": "web", "tv": "js-4.6.8", "aid": TRACKING_KEY, "eid": self.page_id(*number),
                    "url": format!("https://shop.example/oracle/{number}"), "page": "Oracle",
                    "duid": format!("visitor-{visitor}"), "dtm": (sent - (*number as i64 % 86_400) * 1000).to_string(),
                    // Some trackers know sessions, others don't.
                    "sid": (visitor % 2 == 0).then(|| self.uuid(7, number / 50)), "vid": "1",
                })
            })
            .collect();
        json!({"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": data})
            .to_string()
    }

    pub fn contribution_body(&self, contributions: &[u64]) -> String {
        let contributions: Vec<Value> = contributions
            .iter()
            .map(|number| {
                let mut contribution = json!({
                    "action": "created", "target_type": "Issue", "target_id": number + 1, "target_iid": number + 1,
                    "target_title": "Oracle", "project_id": PROJECT,
                });
                if self.identified > 0 {
                    contribution["event_id"] = json!(self.uuid(3, *number));
                }
                contribution
            })
            .collect();
        json!({ "contributions": contributions }).to_string()
    }

    /// Whether clients name contributions, so that they may send them as often as they like.
    pub fn names_contributions(&self) -> bool {
        self.identified > 0
    }

    /// The id that its tracker gave a page event.
    pub fn page_id(&self, number: u64) -> Uuid {
        self.uuid(2, number)
    }

    fn uuid(&self, of: u64, number: u64) -> Uuid {
        let high = mixed(self.seed, of, number);
        let bits = (u128::from(high) << 64) | u128::from(mixed(high, of, number));
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }
}

/// The event as it is sent, with its number, and with its id or without.
fn line(mut event: TrackEvent<'_>, number: u64, has_id: bool) -> String {
    let properties = event.additional_properties.get_or_insert_default();
    properties.push((Cow::Borrowed(NUMBER), PropertyValue::Integer(number as i64)));
    let id = format!(",\"event_id\":\"{}\"", event.event_id);
    let mut json = Vec::with_capacity(512);
    event.write_json(&mut json);
    let text = String::from_utf8(json).expect("JSON is text");
    if has_id { text } else { text.replacen(&id, "", 1) }
}

fn chance(seed: u64, of: u64, number: u64) -> u64 {
    mixed(seed, of, number) % 100
}

/// `SplitMix64`'s finalizer over all three.
fn mixed(seed: u64, of: u64, number: u64) -> u64 {
    let mut state = seed ^ of.rotate_left(32) ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        state = (state ^ (state >> 30)).wrapping_mul(factor);
    }
    state ^ (state >> 31)
}
