//! What a receiver's answer to a payload means: taken under a number, or not taken.

use serde_json::{Map, Value};

use crate::outgoing::{Answer, SendError};
use crate::submission::{DevOpsScore, FEATURES};

/// A payload that the receiver took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    /// The receiver's number for it.
    pub usage_data_id: u64,
    /// The DevOps score, if the receiver sent one.
    pub dev_ops_score: Option<DevOpsScore>,
}

/// Objects of the answer that may hold the number and the score: the old name and the new one.
const OBJECTS: [&str; 2] = ["conv_index", "dev_ops_score"];

/// Reads the answer by the contract's rule: a 2xx with an integer above 0 at `conv_index.usage_data_id` or
/// `dev_ops_score.usage_data_id`.
pub(crate) fn read(answer: &Answer) -> Result<Taken, SendError> {
    if !(200..300).contains(&answer.status) {
        return Err(SendError::BadStatus(answer.status));
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| SendError::MissingId)?;
    let id = |name: &str| body.get(name)?.get("usage_data_id")?.as_u64().filter(|id| *id > 0);
    let usage_data_id = OBJECTS.iter().find_map(|name| id(name)).ok_or(SendError::MissingId)?;
    let dev_ops_score = OBJECTS.iter().rev().find_map(|name| score(body.get(name)?.as_object()?));
    Ok(Taken { usage_data_id, dev_ops_score })
}

/// The fields of the score and no others: an answer may be a megabyte of anything.
fn score(object: &Map<String, Value>) -> Option<DevOpsScore> {
    let mut fields = Map::new();
    for feature in FEATURES {
        for part in ["leader", "instance", "percentage"] {
            let name = format!("{part}_{feature}");
            if let Some(value) = object.get(&name).filter(|value| value.is_number()) {
                fields.insert(name, value.clone());
            }
        }
    }
    (!fields.is_empty()).then_some(DevOpsScore(fields))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer { status, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn a_payload_is_taken_by_a_2xx_with_a_number() {
        let taken = [
            (200, r#"{"conv_index":{"usage_data_id":7}}"#, 7),
            (201, r#"{"dev_ops_score":{"usage_data_id":8}}"#, 8),
            (201, r#"{"dev_ops_score":{"usage_data_id":8},"conv_index":{"usage_data_id":9}}"#, 9),
            (299, r#"{"dev_ops_score":{"usage_data_id":8},"conv_index":{"usage_data_id":0}}"#, 8),
        ];
        for (status, body, id) in taken {
            assert_eq!(read(&answer(status, body)).unwrap().usage_data_id, id, "{body}");
        }
        for status in [199, 301, 302, 400, 401, 404, 422, 500, 503] {
            let body = r#"{"conv_index":{"usage_data_id":7}}"#;
            assert_eq!(read(&answer(status, body)), Err(SendError::BadStatus(status)));
        }
        for body in [
            "",
            "null",
            "[]",
            "<html>",
            "{}",
            r#"{"usage_data_id":7}"#,
            r#"{"conv_index":{}}"#,
            r#"{"conv_index":7}"#,
            r#"{"conv_index":{"usage_data_id":0}}"#,
            r#"{"conv_index":{"usage_data_id":-1}}"#,
            r#"{"conv_index":{"usage_data_id":1.5}}"#,
            r#"{"conv_index":{"usage_data_id":"7"}}"#,
            r#"{"dev_ops_score":{"usage_data_id":null}}"#,
        ] {
            assert_eq!(read(&answer(200, body)), Err(SendError::MissingId), "{body}");
        }
    }

    #[test]
    fn the_score_is_its_numbers_and_nothing_else() {
        let body = r#"{"conv_index":{"usage_data_id":7},"dev_ops_score":{"usage_data_id":7,"leader_issues":9.2,
            "instance_issues":1,"percentage_issues":10.87,"leader_notes":"x","other":1}}"#;
        let score = read(&answer(201, body)).unwrap().dev_ops_score.unwrap();
        let expected = json!({"leader_issues": 9.2, "instance_issues": 1, "percentage_issues": 10.87});
        assert_eq!(Value::Object(score.0.clone()), expected);
        let features = score.features();
        let [issues] = &features[..] else { panic!("{score:?}") };
        assert_eq!((issues.leader, issues.instance, issues.percentage), (9.2, 1.0, 10.87));
        assert_eq!(read(&answer(200, r#"{"conv_index":{"usage_data_id":7}}"#)).unwrap().dev_ops_score, None);
    }
}
