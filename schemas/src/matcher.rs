//! Definitions compiled for the processor's hot path: from an event to the counters it changes. An event may feed
//! hundreds of counters that differ in their filter's values only, so filters are looked up by value.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use crate::counter::{Counter, CounterKind, FilterValue, Identifier, Number};
use crate::decimal::value_to_nanos;
use crate::definitions::{Definitions, EventDefinition};
use crate::event::{Increment, PropertyValue, TrackedEvent};
use crate::hash::{identifier_hash, property_hash};

/// The index of a counter in [`Matcher::counters`]. Valid for one matcher only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CounterId(pub u32);

/// What one event does to one counter.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect<'a> {
    /// Total: add one.
    Count,
    /// Sum: add so many billionths.
    Sum(i128),
    /// Unique: add the hash of the identifier.
    Unique(u64),
    /// Totals by value: add one under this value's text.
    UniqueTotal(Cow<'a, str>),
}

/// All known internal events, each with the counters it feeds, and what increments of older clients change.
#[derive(Debug, Default)]
pub struct Matcher {
    /// Those that tracked events change, then the others.
    counters: Vec<Counter>,
    tracked: usize,
    events: FxHashMap<Box<str>, EventMatcher>,
    increments: FxHashMap<Box<str>, IncrementMatcher>,
}

/// The counters that one increment of a name adds to.
#[derive(Debug)]
struct IncrementMatcher {
    totals: Box<[CounterId]>,
    uniques: Box<[CounterId]>,
}

/// One internal event's counters.
#[derive(Debug)]
pub struct EventMatcher {
    /// Every counter, the plain total first.
    counters: Vec<CounterId>,
    /// Those without filter, the plain total first.
    unfiltered: Vec<CounterId>,
    /// The others, by the keys of their filter.
    filtered: Vec<FilterGroup>,
    declared: Vec<Box<str>>,
}

/// Counters whose filters have the same keys.
#[derive(Debug)]
struct FilterGroup {
    keys: Vec<Box<str>>,
    /// By the hash of the values; several entries under one hash are a collision.
    by_values: FxHashMap<u64, Vec<FilterEntry>>,
}

/// Counters with the same filter.
#[derive(Debug)]
struct FilterEntry {
    /// In the order of the group's keys.
    values: Vec<FilterValue>,
    counters: Vec<CounterId>,
}

/// A value as filters compare it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Comparable<'a> {
    Text(&'a str),
    Number(Number),
}

type Properties<'a> = [(Cow<'a, str>, PropertyValue<'a>)];

impl Matcher {
    /// Compiles every known internal event's plain total, and the rules of all active or broken internal-event
    /// metrics. A rule that names an unknown event, or a property its event doesn't declare, can never match and is
    /// left out. Increments of older clients may change the same counters and others.
    pub fn new(definitions: &Definitions) -> Self {
        let mut matcher = Self::default();
        matcher.add_events(definitions);
        matcher.tracked = matcher.counters.len();
        matcher.add_increments(definitions);
        matcher
    }

    fn add_events(&mut self, definitions: &Definitions) {
        for event in definitions.events().filter(|event| event.internal_events) {
            let total = self.add(Counter::total(&event.action));
            self.events.insert(event.action.as_str().into(), EventMatcher::new(event, total));
        }
        let mut ids: FxHashMap<&Counter, CounterId> = FxHashMap::default();
        for rule in definitions.metrics().iter().filter(|metric| metric.is_tracked()).flat_map(|m| &m.rules) {
            let Some(event) = definitions.event(&rule.event) else { continue };
            let is_plain_total = rule.filter.is_empty() && rule.kind == CounterKind::Total;
            if is_plain_total || ids.contains_key(rule) || !can_match(rule, event) {
                continue;
            }
            let id = self.add(rule.clone());
            ids.insert(rule, id);
            let event =
                self.events.get_mut(rule.event.as_str()).expect("every internal event was added above");
            event.add(id, rule);
        }
    }

    fn add_increments(&mut self, definitions: &Definitions) {
        let known = self.counters.iter().zip(0..).map(|(counter, id)| (counter.clone(), CounterId(id)));
        let mut ids: FxHashMap<Counter, CounterId> = known.collect();
        for (name, targets) in definitions.increments() {
            let mut ids_of = |counters: Vec<Counter>| {
                let of_one = |counter: Counter| {
                    *ids.entry(counter).or_insert_with_key(|counter| self.add(counter.clone()))
                };
                counters.into_iter().map(of_one).collect()
            };
            let matcher =
                IncrementMatcher { totals: ids_of(targets.totals), uniques: ids_of(targets.uniques) };
            self.increments.insert(name.into(), matcher);
        }
    }

    fn add(&mut self, counter: Counter) -> CounterId {
        let id = u32::try_from(self.counters.len()).expect("definitions have far fewer than 2^32 counters");
        self.counters.push(counter);
        CounterId(id)
    }

    /// The counters of the internal event `name`; `None` if no such event is known.
    #[inline]
    pub fn lookup(&self, name: &str) -> Option<&EventMatcher> {
        self.events.get(name)
    }

    /// Every counter, indexed by [`CounterId`]; no two are equal.
    pub fn counters(&self) -> &[Counter] {
        &self.counters
    }

    /// The counters that tracked events change; only increments change the others.
    pub fn tracked_counters(&self) -> &[Counter] {
        &self.counters[..self.tracked]
    }

    /// The counters that an increment of `name` changes; `None` if the name is unknown. Of an event that was tracked
    /// [`Matcher::lookup`] tells more.
    pub fn increment(&self, increment: Increment, name: &str) -> Option<&[CounterId]> {
        match increment {
            Increment::Event => self.events.get(name).map(EventMatcher::counters),
            Increment::Total => self.increments.get(name).map(|targets| &*targets.totals),
            Increment::UniqueUsers => self.increments.get(name).map(|targets| &*targets.uniques),
        }
    }

    /// What an increment for `user_id` does to a counter that [`Matcher::increment`] gave; `None` if it lacks the user.
    ///
    /// The user counts among the identifiers of the counter, whatever those are: the legacy name had one key for all.
    pub fn increment_effect(increment: Increment, user_id: Option<i64>) -> Option<Effect<'static>> {
        match increment {
            Increment::Event | Increment::Total => Some(Effect::Count),
            Increment::UniqueUsers => user_id.map(identifier_hash).map(Effect::Unique),
        }
    }

    /// What `event` does to the counter `id`, which it matched; `None` if it lacks the identifier or the value.
    #[inline]
    pub fn effect<'e>(&self, id: CounterId, event: &'e TrackedEvent<'_>) -> Option<Effect<'e>> {
        match &self.counters[id.0 as usize].kind {
            CounterKind::Total => Some(Effect::Count),
            CounterKind::SumOfValue => value_to_nanos(event.property("value")?).map(Effect::Sum),
            CounterKind::Unique(identifier) => match record_id(identifier, event) {
                Ok(id) => id.map(identifier_hash).map(Effect::Unique),
                Err(property) => property_hash(event.property(property)?).map(Effect::Unique),
            },
            CounterKind::UniqueTotals(identifier) => match record_id(identifier, event) {
                Ok(id) => id.map(|id| Effect::UniqueTotal(Cow::Owned(id.to_string()))),
                Err(property) => event.property(property)?.text().map(Effect::UniqueTotal),
            },
        }
    }
}

/// The id of the event's user, project or namespace, if it has one, or else the name of the property to read.
fn record_id<'i>(identifier: &'i Identifier, event: &TrackedEvent<'_>) -> Result<Option<i64>, &'i str> {
    match identifier {
        Identifier::User => Ok(event.user_id),
        Identifier::Project => Ok(event.project_id),
        Identifier::Namespace => Ok(event.namespace_id),
        Identifier::Property(name) => Err(name),
    }
}

/// Whether all properties that the rule reads are declared; undeclared ones are cut before rules see them.
fn can_match(rule: &Counter, event: &EventDefinition) -> bool {
    let read = match &rule.kind {
        CounterKind::SumOfValue => Some("value"),
        CounterKind::Unique(Identifier::Property(name))
        | CounterKind::UniqueTotals(Identifier::Property(name)) => Some(name.as_str()),
        CounterKind::Total | CounterKind::Unique(_) | CounterKind::UniqueTotals(_) => None,
    };
    rule.filter.keys().map(String::as_str).chain(read).all(|property| event.declares(property))
}

impl EventMatcher {
    fn new(event: &EventDefinition, total: CounterId) -> Self {
        let declared = event.additional_properties.iter().map(|(name, _)| name.as_str().into()).collect();
        Self { counters: vec![total], unfiltered: vec![total], filtered: Vec::new(), declared }
    }

    fn add(&mut self, id: CounterId, rule: &Counter) {
        self.counters.push(id);
        if rule.filter.is_empty() {
            self.unfiltered.push(id);
            return;
        }
        let has_keys = |group: &FilterGroup| group.keys.iter().map(Box::as_ref).eq(rule.filter.keys());
        let index = self.filtered.iter().position(has_keys).unwrap_or_else(|| {
            let keys = rule.filter.keys().map(|key| key.as_str().into()).collect();
            self.filtered.push(FilterGroup { keys, by_values: FxHashMap::default() });
            self.filtered.len() - 1
        });
        self.filtered[index].add(id, rule.filter.values());
    }

    /// The counter of the event's plain total, which every event of that name changes.
    pub fn total(&self) -> CounterId {
        self.counters[0]
    }

    /// Every counter an event of that name may change, the plain total first.
    pub fn counters(&self) -> &[CounterId] {
        &self.counters
    }

    /// Whether the event's definition declares the additional property.
    #[inline]
    pub fn declares(&self, property: &str) -> bool {
        self.declared.iter().any(|name| **name == *property)
    }

    /// The names among `properties` that the definition doesn't declare.
    pub fn undeclared<'p>(&self, properties: &'p Properties<'_>) -> impl Iterator<Item = &'p str> {
        properties.iter().map(|(name, _)| name.as_ref()).filter(|name| !self.declares(name))
    }

    /// Appends the counters whose filter `properties` match, the plain total first, each once. Undeclared
    /// properties are disregarded. Whether the event has a counter's identifier or value, [`Matcher::effect`] says.
    #[inline]
    pub fn matching(&self, properties: &Properties<'_>, out: &mut Vec<CounterId>) {
        out.extend_from_slice(&self.unfiltered);
        for group in &self.filtered {
            if let Some(counters) = group.matching(properties) {
                out.extend_from_slice(counters);
            }
        }
    }
}

impl FilterGroup {
    fn add<'v>(&mut self, id: CounterId, values: impl Iterator<Item = &'v FilterValue>) {
        let values: Vec<FilterValue> = values.cloned().collect();
        let mut hasher = FxHasher::default();
        for value in &values {
            Comparable::from(value).hash(&mut hasher);
        }
        let entries = self.by_values.entry(hasher.finish()).or_default();
        match entries.iter_mut().find(|entry| entry.values == values) {
            Some(entry) => entry.counters.push(id),
            None => entries.push(FilterEntry { values, counters: vec![id] }),
        }
    }

    fn matching(&self, properties: &Properties<'_>) -> Option<&[CounterId]> {
        let mut hasher = FxHasher::default();
        for key in &self.keys {
            comparable(properties, key)?.hash(&mut hasher);
        }
        let entries = self.by_values.get(&hasher.finish())?;
        let is_equal = |entry: &&FilterEntry| {
            let mut pairs = self.keys.iter().zip(&entry.values);
            pairs.all(|(key, value)| comparable(properties, key) == Some(value.into()))
        };
        entries.iter().find(is_equal).map(|entry| entry.counters.as_slice())
    }
}

/// The property `key` as filters compare it; `None` if it is absent or of a type no filter has.
#[inline]
fn comparable<'p>(properties: &'p Properties<'_>, key: &str) -> Option<Comparable<'p>> {
    let (_, value) = properties.iter().find(|(name, _)| name == key)?;
    match value {
        PropertyValue::String(text) => Some(Comparable::Text(text)),
        PropertyValue::Long(value) => Some(Comparable::Number(Number::from(*value))),
        PropertyValue::Double(value) => Number::from_double(*value).map(Comparable::Number),
        PropertyValue::Null | PropertyValue::Boolean(_) | PropertyValue::Json(_) => None,
    }
}

impl<'a> From<&'a FilterValue> for Comparable<'a> {
    fn from(value: &'a FilterValue) -> Self {
        match value {
            FilterValue::String(text) => Self::Text(text),
            FilterValue::Number(number) => Self::Number(*number),
        }
    }
}
