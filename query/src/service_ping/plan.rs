//! What a Service Ping has to read, worked out once from the definitions: where each metric's value comes from, and which
//! distinct sets of counters need a union. Knows no SQL and no dates.

use std::collections::{BTreeSet, HashMap};

use tally_schemas::{Counter, Definitions, Metric, Status};

use super::reason::Reason;
use super::source::{self, Source};

/// The class whose metrics add up all internal events.
const ALL_EVENTS: &str = "SumNumberOfInternalEventInvocationsMetric";

/// Every metric of the payload, sorted by `key_path`, and the unions they need.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) metrics: Vec<PlannedMetric>,
    /// Distinct sets of several counters whose identifiers are counted together; a metric names one by its place here.
    /// The weekly and the monthly metric of one definition share theirs.
    pub(super) unions: Vec<Vec<String>>,
}

/// One value of the payload.
#[derive(Debug, Clone)]
pub(super) struct PlannedMetric {
    pub definition: Metric,
    pub source: Source,
}

impl PlannedMetric {
    pub fn key_path(&self) -> &str {
        &self.definition.key_path
    }
}

impl Plan {
    /// The plan for all metrics with status active or broken, whatever their data source.
    pub fn new(definitions: &Definitions) -> Self {
        let mut unions = Unions::default();
        let mut metrics: Vec<PlannedMetric> = definitions
            .metrics()
            .iter()
            .filter(|metric| metric.status != Status::Removed)
            .map(|metric| PlannedMetric {
                source: source_of(metric, definitions, &mut unions),
                definition: metric.clone(),
            })
            .collect();
        metrics.sort_by(|a, b| a.key_path().cmp(b.key_path()));
        Self { metrics, unions: unions.sets }
    }

    /// How many values the payload has when every category is permitted.
    pub fn metric_count(&self) -> usize {
        self.metrics.len()
    }

    /// The metrics that have a fallback whatever is configured, by `key_path`, and why.
    pub fn without_source(&self) -> impl Iterator<Item = (&str, Reason)> {
        self.metrics.iter().filter_map(|metric| match metric.source {
            Source::Absent(reason) => Some((metric.key_path(), reason)),
            _ => None,
        })
    }

    /// The plan of one metric alone; `None` when no definition has the `key_path`.
    pub(super) fn only(&self, key_path: &str) -> Option<Self> {
        let mut metric = self.metrics.iter().find(|metric| metric.key_path() == key_path)?.clone();
        let mut unions = Vec::new();
        if let Source::Union(number) = &mut metric.source {
            unions.push(self.unions[*number].clone());
            *number = 0;
        }
        Some(Self { metrics: vec![metric], unions })
    }

    /// The counters whose sums metrics ask for.
    pub(super) fn summed_counters(&self) -> Vec<String> {
        let summed = self.metrics.iter().filter_map(|metric| match &metric.source {
            Source::Sum(counters) => Some(counters),
            _ => None,
        });
        summed.flatten().collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Whether any metric counts how often a property's values occurred; without one, the table needs no reading.
    pub(super) fn has_unique_totals(&self) -> bool {
        self.metrics.iter().any(|metric| matches!(metric.source, Source::UniqueTotals { .. }))
    }
}

fn source_of(metric: &Metric, definitions: &Definitions, unions: &mut Unions) -> Source {
    if source::text_field(metric, "instrumentation_class") == Some(ALL_EVENTS) {
        let events = definitions.events().filter(|event| event.internal_events);
        return Source::Total(events.map(|event| Counter::total(&event.action).to_string()).collect());
    }
    source::choose(metric)
        .unwrap_or_else(|| unions.source(metric.rules.iter().map(ToString::to_string).collect()))
}

/// Gives equal sets of counters equal numbers.
#[derive(Default)]
struct Unions {
    sets: Vec<Vec<String>>,
    numbers: HashMap<Vec<String>, usize>,
}

impl Unions {
    /// A lone counter needs no union, which is most of them.
    fn source(&mut self, counters: Vec<String>) -> Source {
        let set: Vec<String> = counters.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        if let [counter] = set.as_slice() {
            return Source::Unique(counter.clone());
        }
        let number = *self.numbers.entry(set).or_insert_with_key(|set| {
            self.sets.push(set.clone());
            self.sets.len() - 1
        });
        Source::Union(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_of_counters_share_a_union_whatever_their_order() {
        let mut unions = Unions::default();
        let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(unions.source(texts(&["a", "b"])), Source::Union(0));
        assert_eq!(unions.source(texts(&["a", "a"])), Source::Unique("a".to_owned()));
        assert_eq!(unions.source(texts(&["c", "a"])), Source::Union(1));
        assert_eq!(unions.source(texts(&["b", "a", "b"])), Source::Union(0));
        assert_eq!(unions.sets, [texts(&["a", "b"]), texts(&["a", "c"])]);
    }
}
