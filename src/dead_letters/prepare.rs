//! From a letter to what is appended for it: a record of the log as it was, or what its endpoint makes of a refused body by
//! the rules of now.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use tally_eventlog::Record;
use tally_ingest::RefusedBody;
use tally_query::dead_letters::Letter;
use tally_schemas::{DropReason, topics};

use super::Replaying;

/// The topics whose records may be appended again.
const REPLAYABLE: [&str; 4] =
    [topics::EVENTS, topics::PAGE_EVENTS, topics::CONTRIBUTIONS, topics::DEAD_LETTERS];

/// The endpoints of trackers; all others that can be replayed are ingest's.
const OF_TRACKERS: [&str; 2] = ["/com.snowplowanalytics.snowplow/tp2", "/i"];

/// Below it is GitLab's internal API. What it refuses are counts of a time that is over: nothing that Tally is told later makes
/// them right.
const INTERNAL: &str = "/api/v4/internal/";

/// Records for one topic.
#[derive(Debug)]
pub struct Prepared {
    pub topic: String,
    pub records: Vec<Record>,
}

/// What a letter becomes, or why it becomes nothing. Nothing is appended.
pub fn prepare(replaying: &Replaying, letter: &Letter, now: Timestamp) -> Result<Prepared, String> {
    if letter.topic == topics::DIRECTORY {
        return Err(
            "a record of the directory counts at the offset that it names, and at no other".to_owned()
        );
    }
    if letter.whole_size > letter.kept_size {
        return Err(format!("only {} of its {} bytes are kept", letter.kept_size, letter.whole_size));
    }
    let decode = |text: &str| BASE64_STANDARD.decode(text).map_err(|error| error.to_string());
    let payload = decode(&letter.payload_base64)?;
    let mut prepared = if letter.topic.is_empty() {
        of_request(replaying, letter, &payload)?
    } else {
        of_log(letter, decode(&letter.key_base64)?, payload)?
    };
    // The log's retention goes by when it got a record; when things happened stands in the record.
    for record in &mut prepared.records {
        record.timestamp = now.as_millisecond();
    }
    Ok(prepared)
}

fn of_log(letter: &Letter, key: Vec<u8>, value: Vec<u8>) -> Result<Prepared, String> {
    if letter.reason == DropReason::Oversized.as_str() {
        return Err("it was counted; only the collector elsewhere did not take it".to_owned());
    }
    if !REPLAYABLE.contains(&letter.topic.as_str()) {
        return Err(format!("{} is no topic of Tally's", letter.topic));
    }
    let key = Some(key).filter(|key| !key.is_empty()).map(Into::into);
    let record = Record { key, value: value.into(), timestamp: 0 };
    Ok(Prepared { topic: letter.topic.clone(), records: vec![record] })
}

fn of_request(replaying: &Replaying, letter: &Letter, payload: &[u8]) -> Result<Prepared, String> {
    if letter.endpoint.starts_with(INTERNAL) {
        return Err("a refused usage report can be looked at and not replayed".to_owned());
    }
    let received_at =
        Timestamp::from_millisecond(letter.recorded_at_ms).map_err(|error| error.to_string())?;
    if OF_TRACKERS.contains(&letter.endpoint.as_str()) {
        let record = replaying.capture.record_of(&letter.endpoint, payload, received_at)?;
        return Ok(Prepared { topic: topics::PAGE_EVENTS.to_owned(), records: vec![record] });
    }
    let body = RefusedBody {
        endpoint: &letter.endpoint,
        user_id: letter.user_id,
        content_type: &letter.content_type,
        bytes: payload,
        received_at,
    };
    let (topic, records) = replaying.ingest.records_of(body).map_err(|refused| refused.to_string())?;
    if records.is_empty() {
        return Err("it holds no events".to_owned());
    }
    Ok(Prepared { topic: topic.to_owned(), records })
}
