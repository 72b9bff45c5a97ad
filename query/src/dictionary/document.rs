//! The dictionary as JSON: each definition's own fields, as in its file, and what Tally makes of them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use tally_schemas::{Definitions, EventDefinition, Metric, MetricKind, Status};

use crate::service_ping::{Plan, Reason};

/// The key that a definition's file stands under, as in GitLab's list of metric definitions.
const PATH_KEY: &str = "file_path";

/// `{"events": […], "metrics": […]}`: an event each with `file_path`, `counted` (whether producers may send it) and the
/// `metrics` that count it; a metric each, one a key path, with `file_path`, `computation` (how its counters combine),
/// `counters`, `computed` (whether Tally has a source for it, which may need configuring) and `not_computed_because`.
pub fn render_json(definitions: &Definitions) -> String {
    document(definitions).to_string()
}

/// The events first, both in the order of their files.
pub(super) fn document(definitions: &Definitions) -> Value {
    let mut metrics_by_event: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for metric in definitions.metrics().iter().filter(|metric| metric.is_counted()) {
        for rule in &metric.rules {
            let metrics = metrics_by_event.entry(&rule.event).or_default();
            // A metric with several rules over one event counts it once.
            if metrics.last() != Some(&metric.key_path.as_str()) {
                metrics.push(&metric.key_path);
            }
        }
    }
    let events = definitions.events().map(|event| {
        let metrics = metrics_by_event.get(event.action.as_str()).filter(|_| event.internal_events);
        render_event(event, metrics.map_or(&[], Vec::as_slice))
    });
    let plan = Plan::new(definitions);
    let without_source: HashMap<&str, Reason> = plan.without_source().collect();
    let metrics = definitions.metrics().iter();
    let metrics = metrics.map(|metric| render_metric(metric, without_source.get(metric.key_path.as_str())));
    json!({
        "events": events.collect::<Vec<_>>(),
        "metrics": metrics.collect::<Vec<_>>(),
    })
}

fn render_event(event: &EventDefinition, metrics: &[&str]) -> Value {
    let mut fields = fields(&event.document);
    fields.insert(PATH_KEY.to_owned(), (&*event.path).into());
    fields.insert("counted".to_owned(), event.internal_events.into());
    fields.insert("metrics".to_owned(), metrics.into());
    Value::Object(fields)
}

fn render_metric(metric: &Metric, absent: Option<&Reason>) -> Value {
    let counters: Vec<String> = metric.rules.iter().map(ToString::to_string).collect();
    let is_computed = metric.status != Status::Removed && absent.is_none();
    let mut fields = fields(&metric.document);
    fields.insert(PATH_KEY.to_owned(), (&*metric.path).into());
    fields.insert("computation".to_owned(), metric.kind.map(MetricKind::as_str).into());
    fields.insert("counters".to_owned(), counters.into());
    fields.insert("computed".to_owned(), is_computed.into());
    fields.insert("not_computed_because".to_owned(), absent.map(|reason| reason.as_str()).into());
    Value::Object(fields)
}

/// A file's fields. What JSON can't hold, such as a key that is no text, is no part of a definition that loads.
fn fields(document: &serde_yaml_ng::Value) -> Map<String, Value> {
    match serde_json::to_value(document) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
