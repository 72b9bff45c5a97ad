//! What the generator knows of the definitions: the events that count, the properties each declares, and the filters
//! that metrics put on them.

use std::collections::BTreeMap;

use tally_schemas::{Definitions, FilterValue};

use crate::random::Random;

/// One filter of a metric: every property with the value it must have.
pub type Filter = BTreeMap<String, Wanted>;

/// The value that a filter asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// This text and nothing else.
    Text(String),
    /// This number, however it is written.
    Number(f64),
}

/// One event that declares `internal_events: true`.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogueEvent {
    /// The event's name, the definition's `action`.
    pub name: String,
    /// The additional properties that the definition declares.
    pub properties: Vec<String>,
    /// The distinct filters of the metrics that select this event.
    pub filters: Vec<Filter>,
}

/// Every event that can be generated, with the weights by which they are drawn.
#[derive(Clone, Debug)]
pub struct Catalogue {
    events: Vec<CatalogueEvent>,
}

impl Catalogue {
    /// A catalogue of these events; their order doesn't matter.
    pub fn new(events: impl IntoIterator<Item = CatalogueEvent>) -> Self {
        let mut events: Vec<CatalogueEvent> = events.into_iter().collect();
        events.sort_by(|left, right| left.name.cmp(&right.name));
        Self { events }
    }

    /// The events of `definitions` with the filters of all metrics on them.
    pub fn from_definitions(definitions: &Definitions) -> Self {
        let mut filters: BTreeMap<&str, Vec<Filter>> = BTreeMap::new();
        for rule in definitions.metrics().iter().flat_map(|metric| &metric.rules) {
            let known = filters.entry(&rule.event).or_default();
            let filter = rule.filter.iter().map(|(name, value)| (name.clone(), wanted(value))).collect();
            if !rule.filter.is_empty() && !known.contains(&filter) {
                known.push(filter);
            }
        }
        let counted = definitions.events().filter(|event| event.internal_events);
        Self::new(counted.map(|event| CatalogueEvent {
            name: event.action.clone(),
            properties: event.additional_properties.iter().map(|(name, _)| name.clone()).collect(),
            filters: filters.remove(event.action.as_str()).unwrap_or_default(),
        }))
    }

    /// The events, sorted by name.
    pub fn events(&self) -> &[CatalogueEvent] {
        &self.events
    }
}

fn wanted(value: &FilterValue) -> Wanted {
    match value {
        FilterValue::String(text) => Wanted::Text(text.clone()),
        FilterValue::Number(number) => {
            Wanted::Number(number.to_string().parse().expect("a number's text is a number"))
        }
    }
}

/// Draws events: a few are frequent, most are rare (Zipf's law, flattened at the top), and an event with many filters
/// is drawn more often, so that each filter is met.
#[derive(Clone, Debug)]
pub struct Popularity {
    /// Positions in the catalogue, the most popular first.
    order: Vec<usize>,
    /// The sum of the weights up to and including each of `order`.
    cumulative: Vec<u64>,
}

/// Added to every rank, so that the most popular event gets 2 % of the draws and not 15 %.
const FLATTENING: f64 = 20.0;
const WEIGHT_UNIT: f64 = 1_000_000.0;

impl Popularity {
    /// The popularity of the catalogue's events, in an order that `random` decides.
    pub fn new(catalogue: &Catalogue, random: &mut Random) -> Self {
        let mut order: Vec<usize> = (0..catalogue.events.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, random.below(last as u64 + 1) as usize);
        }
        let mut total = 0;
        let weighed = order.iter().enumerate().map(|(rank, &event)| {
            let filters = catalogue.events[event].filters.len() as f64;
            total += (WEIGHT_UNIT / (rank as f64 + FLATTENING) * (1.0 + filters).sqrt()) as u64;
            total
        });
        let cumulative = weighed.collect();
        Self { order, cumulative }
    }

    /// The position of the event of `rank`, if there are as many.
    pub fn ranked(&self, rank: u64) -> Option<usize> {
        self.order.get(usize::try_from(rank).ok()?).copied()
    }

    /// The position of a drawn event; `None` when the catalogue is empty.
    pub fn draw(&self, random: &mut Random) -> Option<usize> {
        let total = *self.cumulative.last()?;
        let drawn = random.below(total);
        self.order.get(self.cumulative.partition_point(|&sum| sum <= drawn)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> CatalogueEvent {
        CatalogueEvent { name: name.to_owned(), properties: Vec::new(), filters: Vec::new() }
    }

    #[test]
    fn the_order_of_the_definitions_does_not_matter() {
        let names = |catalogue: &Catalogue| -> Vec<String> {
            catalogue.events().iter().map(|event| event.name.clone()).collect()
        };
        let forwards = Catalogue::new([named("a"), named("b")]);
        let backwards = Catalogue::new([named("b"), named("a")]);
        assert_eq!(names(&forwards), names(&backwards));
    }

    #[test]
    fn popular_events_are_drawn_more_often_than_rare_ones() {
        let catalogue = Catalogue::new((0..300).map(|number| named(&format!("event_{number:03}"))));
        let mut random = Random::new(1, 0, 0);
        let popularity = Popularity::new(&catalogue, &mut random);
        let mut drawn = vec![0_u32; 300];
        for _ in 0..100_000 {
            drawn[popularity.draw(&mut random).unwrap()] += 1;
        }
        let of_rank = |rank| drawn[popularity.ranked(rank).unwrap()];
        assert!(of_rank(0) > 8 * of_rank(299), "{} and {}", of_rank(0), of_rank(299));
        assert!(of_rank(299) > 0);
    }

    #[test]
    fn an_empty_catalogue_draws_nothing() {
        let mut random = Random::new(1, 0, 0);
        let popularity = Popularity::new(&Catalogue::new([]), &mut random);
        assert_eq!(popularity.draw(&mut random), None);
        assert_eq!(popularity.ranked(0), None);
    }
}
