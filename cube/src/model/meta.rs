//! What `/meta` says about a model.

use serde_json::{Value, json};

use super::Model;

/// The answer to `/meta`; `extended` adds SQL, joins and pre-aggregations.
pub fn meta(_model: &Model, _extended: bool) -> Value {
    json!({"cubes": []})
}
