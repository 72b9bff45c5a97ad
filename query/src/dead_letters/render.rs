//! A letter as the API shows it: what its project's maintainers need to know, and not who of the operators replayed it.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::row::Letter;

/// A dead letter.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct LetterEntity {
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// One of the closed list of reasons.
    reason: String,
    /// What exactly was wrong, for a person to read.
    detail: String,
    #[schema(value_type = String, format = "date-time")]
    recorded_at: String,
    /// `endpoint` of a request, or `topic`, `partition` and `offset` of a record.
    #[schema(value_type = Object)]
    origin: Value,
    project_id: Option<i64>,
    /// Whose request it was.
    user_id: Option<i64>,
    /// Bytes that came; of a long body not all of them are kept.
    size: u64,
    kept_size: u64,
    /// How its last replay stands: started, done or refused.
    replay_state: Option<String>,
    /// The letter whose replay made this one.
    #[schema(value_type = Option<String>, format = "uuid")]
    replay_of: Option<Uuid>,
    /// The kept bytes in base64, with `payload=true`. Never of a record of the directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

pub(super) fn letter(letter: Letter, with_payload: bool) -> LetterEntity {
    let recorded_at = Timestamp::from_millisecond(letter.recorded_at_ms).unwrap_or_default();
    LetterEntity {
        id: letter.id,
        recorded_at: format!("{recorded_at:.3}"),
        origin: origin(&letter),
        project_id: id(letter.project_id),
        user_id: id(letter.user_id),
        size: letter.size(),
        kept_size: letter.kept_size,
        replay_state: letter.replay_state().map(str::to_owned),
        replay_of: letter.replay_of,
        payload: with_payload.then_some(letter.payload_base64),
        reason: letter.reason,
        detail: letter.detail,
    }
}

fn origin(letter: &Letter) -> Value {
    if letter.topic.is_empty() {
        json!({ "endpoint": letter.endpoint })
    } else {
        json!({ "topic": letter.topic, "partition": letter.partition, "offset": letter.offset })
    }
}

fn id(id: i64) -> Option<i64> {
    Some(id).filter(|id| *id != 0)
}
