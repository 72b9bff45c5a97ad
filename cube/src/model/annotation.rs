//! What an answer says about the members of its query.

use serde_json::Value;

use super::Model;
use crate::query::Query;

/// The `annotation` of an answer.
pub fn annotation(_model: &Model, _query: &Query) -> Value {
    Value::Null
}
