//! `GET /api/v4/usage_data/metric_definitions`: the metric definitions as YAML. Rendered once, on the first request.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde_yaml_ng::{Mapping, Value};
use tally_schemas::{Definitions, Metric, Status};
use tally_service::api::ApiError;
use tally_service::api::parameter::Reader;

use crate::state::QueryState;

/// The key that a definition's file stands under, as in GitLab.
const PATH_KEY: &str = "file_path";

/// The two texts, with and without paths.
pub(crate) struct MetricDefinitionTexts {
    definitions: Arc<Definitions>,
    plain: OnceLock<Bytes>,
    with_paths: OnceLock<Bytes>,
}

impl MetricDefinitionTexts {
    pub fn new(definitions: Arc<Definitions>) -> Self {
        Self { definitions, plain: OnceLock::new(), with_paths: OnceLock::new() }
    }

    fn text(&self, include_paths: bool) -> Bytes {
        let cache = if include_paths { &self.with_paths } else { &self.plain };
        cache.get_or_init(|| render(self.definitions.metrics(), include_paths).into()).clone()
    }
}

/// Metric definitions
///
/// Every active or broken definition, one a key path, with its fields as in its file.
#[utoipa::path(
    get,
    path = "/api/v4/usage_data/metric_definitions",
    tag = "usage data",
    params(("include_paths" = Option<bool>, Query, description = "Whether to add each definition's file")),
    responses((status = 200, description = "A YAML sequence", body = [Object], content_type = "application/yaml")),
)]
// Of an `include_paths` that is given twice the last counts, as in Rack.
pub(crate) async fn metric_definitions(
    State(state): State<QueryState>,
    Query(sent): Query<HashMap<String, String>>,
) -> Result<impl IntoResponse, ApiError> {
    let mut read = Reader::new(&sent);
    let include_paths = read.boolean("include_paths").unwrap_or(false);
    let text = state.definition_texts.text(read.finish(include_paths)?);
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text))
}

/// Every active or broken definition, one a `key_path`, with its fields as in its file.
fn render(metrics: &[Metric], include_paths: bool) -> String {
    let documents: Vec<Value> = metrics
        .iter()
        .filter(|metric| matches!(metric.status, Status::Active | Status::Broken))
        .map(|metric| document(metric, include_paths))
        .collect();
    let sequence =
        serde_yaml_ng::to_string(&documents).expect("what was read from YAML can be written as YAML");
    format!("---\n{sequence}")
}

/// The fields of this one expansion, and its file if asked for.
fn document(metric: &Metric, include_paths: bool) -> Value {
    let mut fields: Mapping = metric.document.as_mapping().cloned().unwrap_or_default();
    if include_paths {
        fields.insert(PATH_KEY.into(), (&*metric.path).into());
    }
    Value::Mapping(fields)
}
