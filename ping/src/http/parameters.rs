//! A request's parameters: those of the query string and those of the body, JSON or form, in one map, as GitLab's API
//! framework has them. The body wins.

use std::collections::HashMap;

use axum::extract::{Query, Request};
use serde_json::{Map, Value};
use tally_service::api::{ApiError, BodyReader, MalformedBody};

/// Named values, not yet of any type.
pub(super) async fn read(request: Request, bodies: &BodyReader) -> Result<Map<String, Value>, ApiError> {
    let query = Query::<HashMap<String, String>>::try_from_uri(request.uri());
    let Query(query) = query.map_err(|rejection| ApiError::BadParameters(rejection.body_text()))?;
    let mut all: Map<String, Value> =
        query.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    let body = bodies.read(request).await?;
    let text = body.text().trim_ascii();
    if !text.is_empty() {
        // Anything but an object names nothing.
        if let Value::Object(fields) = serde_json::from_str(text).map_err(MalformedBody::from)? {
            all.extend(fields);
        }
    }
    Ok(all)
}
