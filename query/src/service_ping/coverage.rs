//! How much of the definitions Tally computes: how many metrics by data source have a value of their own, how many a
//! fallback, and why.

use std::collections::BTreeMap;
use std::fmt;

use tally_schemas::DataSource;

use super::category::is_permitted;
use super::payload::Context;
use super::plan::{Plan, PlannedMetric};
use super::reason::Reason;
use super::settings;
use super::source::Source;

/// The metrics of one data source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCoverage {
    /// How many stand in the payload with a value of their own.
    pub computed: usize,
    /// How many stand there with a fallback, by reason.
    pub fallbacks: BTreeMap<Reason, usize>,
    /// How many are left out, because their category is not permitted.
    pub not_permitted: usize,
}

impl SourceCoverage {
    /// How many stand in the payload.
    pub fn in_payload(&self) -> usize {
        self.computed + self.fallbacks.values().sum::<usize>()
    }
}

/// What is computed and what is not, by data source. Its `Display` is a table. Queries that fail show in a payload's
/// metadata only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// By data source.
    pub sources: BTreeMap<DataSource, SourceCoverage>,
}

/// What a payload made in this context has values for.
pub fn coverage(plan: &Plan, context: &Context<'_>) -> Coverage {
    let mut coverage = Coverage::default();
    for metric in &plan.metrics {
        let source = coverage.sources.entry(metric.definition.data_source).or_default();
        if !is_permitted(metric.definition.data_category, context) {
            source.not_permitted += 1;
        } else if let Some(reason) = missing(metric, context) {
            *source.fallbacks.entry(reason).or_default() += 1;
        } else {
            source.computed += 1;
        }
    }
    coverage
}

/// Why the metric has no value in this context, whatever the tables hold; `None` when it has a source.
pub(super) fn missing(metric: &PlannedMetric, context: &Context<'_>) -> Option<Reason> {
    match &metric.source {
        Source::Absent(reason) => Some(*reason),
        Source::Setting(name) => settings::value(&context.directory.read(), name).err(),
        Source::License(field) => field.value(context.license).err(),
        Source::Prometheus(_) => context.prometheus_url.is_empty().then_some(Reason::NoPrometheus),
        _ => None,
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} {:>10} {:>8} {:>8} {:>13}",
            "data source", "in payload", "computed", "fallback", "not permitted"
        )?;
        for (source, coverage) in &self.sources {
            let in_payload = coverage.in_payload();
            let fallback = in_payload - coverage.computed;
            writeln!(
                f,
                "{:<16} {in_payload:>10} {:>8} {fallback:>8} {:>13}",
                source.as_str(),
                coverage.computed,
                coverage.not_permitted
            )?;
            for (reason, count) in &coverage.fallbacks {
                writeln!(f, "    {count} because {}", reason.as_str())?;
            }
        }
        Ok(())
    }
}
