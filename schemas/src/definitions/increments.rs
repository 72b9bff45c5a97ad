//! What the endpoints of older clients change: from a name to the counters that one increment of it adds to. And the
//! other direction, which counters a metric of the data sources `redis` and `redis_hll` is read from.

use std::collections::{BTreeMap, BTreeSet};

use super::legacy_names::{LegacyNames, total_name};
use super::redis_key::redis_key;
use super::{DataSource, Definitions, Metric, Status};
use crate::counter::{Counter, CounterKind, Identifier};

/// GitLab's counters of the Web IDE and of searches end their keys so, and clients leave it out.
const COUNT_SUFFIX: &str = "_count";

/// The counters that one increment of a name adds to; of each kind at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementTargets {
    /// What `increment_counter` adds one to.
    pub totals: Vec<Counter>,
    /// What `increment_unique_users` adds the user to.
    pub uniques: Vec<Counter>,
}

/// The counters of internal events by the legacy name that the lists give them.
#[derive(Debug, Default)]
struct Renamed {
    totals: BTreeMap<String, Vec<Counter>>,
    uniques: BTreeMap<String, Vec<Counter>>,
}

/// How many unique users of that name, as a counter.
pub(super) fn unique_users(name: &str) -> Counter {
    Counter { kind: CounterKind::Unique(Identifier::User), ..Counter::total(name) }
}

/// The total that a metric of data source `redis` is read from, unless an internal event has taken it over: its key is
/// the prefix, if any, and the event, in capitals and, unless told otherwise, after `USAGE_`.
pub(super) fn redis_total(prefix: Option<&str>, event: &str) -> Counter {
    let parts: Vec<&str> = prefix.into_iter().chain([event]).collect();
    Counter::total(total_name(&parts.join("_").to_ascii_uppercase()))
}

impl Definitions {
    /// Every name that an older client may increment, with the counters each increment adds to: internal events,
    /// legacy names and the events of `redis` and `redis_hll` metrics.
    ///
    /// A legacy name stands for the counters whose Redis key GitLab's lists map to it. What is listed but computed by
    /// no rule here, and what isn't listed, has counters of its own name.
    pub fn increments(&self) -> BTreeMap<String, IncrementTargets> {
        let renamed = Renamed::new(self, &self.legacy_names);
        let listed: BTreeSet<String> = self.legacy_names.totals().collect();
        let names: BTreeSet<String> = self
            .events()
            .filter(|event| event.internal_events)
            .map(|event| event.action.clone())
            .chain(listed.iter().cloned())
            .chain(listed.iter().filter_map(|name| without_suffix(name)))
            .chain(self.legacy_names.uniques().map(ToOwned::to_owned))
            .chain(self.metric_events.iter().cloned())
            .collect();
        names.into_iter().map(|name| (name.clone(), self.targets(&name, &listed, &renamed))).collect()
    }

    fn targets(&self, name: &str, listed: &BTreeSet<String>, renamed: &Renamed) -> IncrementTargets {
        let is_internal = self.event(name).is_some();
        let with_suffix = format!("{name}{COUNT_SUFFIX}");
        let listed_name =
            if !listed.contains(name) && listed.contains(&with_suffix) { &with_suffix } else { name };
        let totals = match renamed.totals.get(listed_name) {
            _ if is_internal => vec![Counter::total(name)],
            Some(totals) => totals.clone(),
            None => vec![Counter::total(listed_name)],
        };
        let mut uniques = renamed.uniques.get(name).cloned().unwrap_or_default();
        let own = unique_users(name);
        if uniques.is_empty() || is_internal && !uniques.contains(&own) {
            uniques.push(own);
        }
        IncrementTargets { totals, uniques }
    }

    /// Knows these legacy names from now on: metrics of the data sources `redis` and `redis_hll` are read from the
    /// counters that the lists give their events, and `increments` knows the names.
    #[must_use]
    pub fn with_legacy_names(mut self, legacy_names: LegacyNames) -> Self {
        let renamed = Renamed::new(&self, &legacy_names);
        for metric in self.metrics.iter_mut().filter(|metric| is_legacy(metric)) {
            metric.rules = renamed.rules_of(metric);
        }
        self.legacy_names = legacy_names;
        self
    }

    /// Notes the names by which metrics of older data sources know their events.
    pub(super) fn collect_metric_events(&mut self) {
        let legacy = self.metrics.iter().filter(|metric| is_legacy(metric));
        self.metric_events = legacy.flat_map(|metric| &metric.rules).map(|rule| rule.event.clone()).collect();
    }
}

fn without_suffix(name: &str) -> Option<String> {
    name.strip_suffix(COUNT_SUFFIX).map(ToOwned::to_owned)
}

fn is_legacy(metric: &Metric) -> bool {
    matches!(metric.data_source, DataSource::Redis | DataSource::RedisHll) && metric.status != Status::Removed
}

impl Renamed {
    fn new(definitions: &Definitions, names: &LegacyNames) -> Self {
        let totals = definitions.events().filter(|event| event.internal_events);
        let totals = totals.map(|event| Counter::total(&event.action));
        let of_events = definitions.metrics().iter().filter(|metric| metric.is_tracked());
        let rules = of_events.flat_map(|metric| metric.rules.iter().cloned());
        let counters: BTreeSet<Counter> = totals.chain(rules).collect();
        let mut renamed = Self::default();
        for counter in counters {
            let (by_name, name) = match &counter.kind {
                CounterKind::Total => (&mut renamed.totals, names.of_total(&redis_key(&counter))),
                CounterKind::Unique(_) => {
                    let name = names.of_unique(&redis_key(&counter)).map(ToOwned::to_owned);
                    (&mut renamed.uniques, name)
                }
                CounterKind::SumOfValue | CounterKind::UniqueTotals(_) => continue,
            };
            if let Some(name) = name {
                by_name.entry(name).or_default().push(counter);
            }
        }
        renamed
    }

    /// A total is its internal event's where one has taken it over. Unique users are those of the internal event and
    /// those counted under the metric's own name: a union takes nobody twice.
    fn rules_of(&self, metric: &Metric) -> Vec<Counter> {
        let mut rules: Vec<Counter> = Vec::new();
        let mut add = |counter: &Counter| {
            if !rules.contains(counter) {
                rules.push(counter.clone());
            }
        };
        for rule in &metric.rules {
            let (by_name, is_union) = match rule.kind {
                CounterKind::Total => (&self.totals, false),
                _ => (&self.uniques, true),
            };
            let renamed = by_name.get(&rule.event).filter(|_| rule.filter.is_empty());
            if renamed.is_none() || is_union {
                add(rule);
            }
            renamed.into_iter().flatten().for_each(&mut add);
        }
        rules
    }
}
