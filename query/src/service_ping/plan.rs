//! What a Service Ping has to read, worked out once from the definitions: which counters each metric needs, and which
//! distinct sets of counters need a union. Knows no SQL and no dates.

use std::collections::{BTreeSet, HashMap};

use tally_schemas::{Counter, CounterKind, Definitions, Identifier, Metric, MetricKind, TimeFrame};

/// Every metric of the payload, sorted by `key_path`, and the unions they need.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) metrics: Vec<PlannedMetric>,
    /// Distinct sets of several counters whose identifiers are counted together; a metric names one by its place here.
    /// The weekly and the monthly metric of one definition share theirs.
    pub(super) unions: Vec<Vec<String>>,
}

/// One value of the payload. Counters are named by their canonical text, as in the tables.
#[derive(Debug, PartialEq)]
pub(super) struct PlannedMetric {
    pub key_path: String,
    pub time_frame: TimeFrame,
    pub source: Source,
}

/// Which counters make a metric's value, and how.
#[derive(Debug, PartialEq)]
pub(super) enum Source {
    /// The sum of these counters' counts.
    Total(Vec<String>),
    /// The sum of these counters' sums.
    Sum(Vec<String>),
    /// The distinct identifiers that this counter saw.
    Unique(String),
    /// The distinct identifiers that the counters of the union with this number saw together.
    Union(usize),
    /// How often each value of `property` occurred, over these counters.
    UniqueTotals { property: String, counters: Vec<String> },
}

impl Plan {
    /// The plan for all internal-event metrics with status active or broken.
    pub fn new(definitions: &Definitions) -> Self {
        let mut unions = Unions::default();
        let mut metrics: Vec<PlannedMetric> = definitions
            .metrics()
            .iter()
            .filter(|metric| metric.is_counted())
            .filter_map(|metric| planned(metric, &mut unions))
            .collect();
        metrics.sort_by(|a, b| a.key_path.cmp(&b.key_path));
        Self { metrics, unions: unions.sets }
    }

    /// How many values the payload has.
    pub fn metric_count(&self) -> usize {
        self.metrics.len()
    }

    /// Whether any metric counts how often a property's values occurred; without one, the table needs no reading.
    pub(super) fn has_unique_totals(&self) -> bool {
        self.metrics.iter().any(|metric| matches!(metric.source, Source::UniqueTotals { .. }))
    }
}

fn planned(metric: &Metric, unions: &mut Unions) -> Option<PlannedMetric> {
    let counters = || metric.rules.iter().map(ToString::to_string).collect::<Vec<_>>();
    let source = match metric.kind? {
        MetricKind::Total => Source::Total(counters()),
        MetricKind::Sum => Source::Sum(counters()),
        MetricKind::Unique => unions.source(counters()),
        MetricKind::UniqueTotals => {
            Source::UniqueTotals { property: counted_property(&metric.rules)?, counters: counters() }
        }
    };
    Some(PlannedMetric { key_path: metric.key_path.clone(), time_frame: metric.time_frame, source })
}

/// The key that unique totals stand under: the property's name, or the head of an identifier's (`user` of `user.id`).
fn counted_property(rules: &[Counter]) -> Option<String> {
    rules.iter().find_map(|rule| match &rule.kind {
        CounterKind::UniqueTotals(identifier) => Some(match identifier {
            Identifier::User => "user".to_owned(),
            Identifier::Project => "project".to_owned(),
            Identifier::Namespace => "namespace".to_owned(),
            Identifier::Property(name) => name.clone(),
        }),
        _ => None,
    })
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
