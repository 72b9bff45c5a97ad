//! The generated stream: a pure function of the seed, the definitions and the options. Every event is made from its
//! position alone, so the order and the number of connections that send it change nothing.

pub mod event;
mod moments;
mod properties;
mod words;

use std::borrow::Cow;
use std::ops::Range;

use jiff::Timestamp;
use uuid::{Builder, Uuid};

use crate::catalogue::{Catalogue, Popularity};
use crate::random::Random;
use event::{Reference, TrackEvent};
use moments::Moments;

/// Events in one `track_events` request: the most that GitLab's API takes.
pub const BATCH: u64 = 50;

/// How far back a duplicate delivery reaches, in deliveries.
const DUPLICATE_REACH: u64 = 5_000;

/// What the numbers of one [`Random`] are for; each purpose has its own sequence.
mod domain {
    pub const POPULARITY: u64 = 1;
    pub const EVENT: u64 = 2;
    pub const DELIVERY: u64 = 3;
}

/// What a stream depends on besides the definitions.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamOptions {
    /// The seed of every drawn number.
    pub seed: u64,
    /// How many events are delivered, duplicates included.
    pub events: u64,
    /// The first moment of the span.
    pub from: Timestamp,
    /// The end of the span, exclusive.
    pub to: Timestamp,
    /// User ids go from 1 to this number.
    pub users: u64,
    /// Project ids go from 1 to this number.
    pub projects: u64,
    /// Namespace ids go from 1 to this number.
    pub namespaces: u64,
    /// The share of deliveries that repeat an earlier event with the same `event_id`, from 0 to 1.
    pub duplicates: f64,
}

/// A reproducible stream of events.
#[derive(Clone, Debug)]
pub struct Stream {
    catalogue: Catalogue,
    popularity: Popularity,
    moments: Moments,
    duplicates_per_million: u64,
    options: StreamOptions,
}

impl Stream {
    /// The stream of these definitions and options.
    pub fn new(catalogue: Catalogue, options: StreamOptions) -> Self {
        let popularity = Popularity::new(&catalogue, &mut Random::new(options.seed, domain::POPULARITY, 0));
        let moments = Moments::new(options.from, options.to);
        let duplicates_per_million = (options.duplicates.clamp(0.0, 1.0) * 1e6).round() as u64;
        Self { catalogue, popularity, moments, duplicates_per_million, options }
    }

    /// The number of deliveries.
    pub fn events(&self) -> u64 {
        self.options.events
    }

    /// The number of `track_events` requests.
    pub fn batches(&self) -> u64 {
        self.options.events.div_ceil(BATCH)
    }

    /// The events of request number `batch`; empty past the end.
    pub fn batch(&self, batch: u64) -> impl Iterator<Item = TrackEvent<'_>> {
        self.deliveries(batch).map(|delivery| self.delivery(delivery))
    }

    /// All events in order.
    pub fn iter(&self) -> impl Iterator<Item = TrackEvent<'_>> {
        (0..self.options.events).map(|delivery| self.delivery(delivery))
    }

    /// The JSON body of request number `batch`.
    pub fn body(&self, batch: u64) -> Vec<u8> {
        let mut body = Vec::with_capacity(BATCH as usize * 450);
        body.extend_from_slice(b"{\"events\":[");
        for (position, event) in self.batch(batch).enumerate() {
            if position > 0 {
                body.push(b',');
            }
            event.write_json(&mut body);
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// The number of events in request number `batch`.
    pub fn batch_len(&self, batch: u64) -> u64 {
        let deliveries = self.deliveries(batch);
        deliveries.end - deliveries.start
    }

    fn deliveries(&self, batch: u64) -> Range<u64> {
        let at_most = |position: u64| position.saturating_mul(BATCH).min(self.options.events);
        at_most(batch)..at_most(batch + 1)
    }

    fn delivery(&self, delivery: u64) -> TrackEvent<'_> {
        self.event(self.original(delivery))
    }

    /// The position of the event that is delivered: an earlier one where this delivery is a duplicate.
    fn original(&self, mut delivery: u64) -> u64 {
        while delivery > 0 {
            let mut random = Random::new(self.options.seed, domain::DELIVERY, delivery);
            if random.below(1_000_000) >= self.duplicates_per_million {
                break;
            }
            delivery -= 1 + random.below(delivery.min(DUPLICATE_REACH));
        }
        delivery
    }

    fn event(&self, position: u64) -> TrackEvent<'_> {
        let mut random = Random::new(self.options.seed, domain::EVENT, position);
        let event_id = random_uuid(&mut random);
        let moment = self.moments.draw(&mut random, position, self.options.events);
        let (name, additional_properties) = self.name_and_properties(&mut random, position);
        TrackEvent {
            name,
            event_id,
            moment,
            user_id: actor(&mut random, self.options.users),
            project_id: reference(&mut random, self.options.projects, 100),
            namespace_id: reference(&mut random, self.options.namespaces, 250),
            additional_properties,
            send_to_snowplow: random.per_mille(20).then(|| random.per_mille(500)),
        }
    }

    fn name_and_properties(
        &self,
        random: &mut Random,
        position: u64,
    ) -> (Cow<'_, str>, Option<properties::Properties<'_>>) {
        let drawn = self.popularity.draw(random);
        let unknown = random.per_mille(5);
        // The first events are one of each, so that even a short stream has them all.
        let chosen = self.popularity.ranked(position).or(if unknown { None } else { drawn });
        match chosen {
            Some(chosen) => {
                let event = &self.catalogue.events()[chosen];
                (Cow::Borrowed(&event.name), properties::draw(random, event))
            }
            None => (Cow::Borrowed(*random.choose(&words::UNKNOWN_EVENTS)), properties::draw_unknown(random)),
        }
    }
}

fn random_uuid(random: &mut Random) -> Uuid {
    let bits = (u128::from(random.bits()) << 64) | u128::from(random.bits());
    Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}

/// The event's user. Left out, it is the token's user; 0 says that there is none.
fn actor(random: &mut Random, users: u64) -> Reference {
    match random.below(1_000) {
        0..20 => Reference::Missing,
        20..30 => Reference::Integer(0),
        _ => Reference::Integer(1 + random.skewed(users) as i64),
    }
}

fn reference(random: &mut Random, bound: u64, missing_per_mille: u64) -> Reference {
    let id = 1 + random.skewed(bound) as i64;
    if random.per_mille(missing_per_mille) {
        return Reference::Missing;
    }
    match random.below(1_000) {
        0..10 => Reference::Null,
        10..15 => Reference::Integer(0),
        15..20 => Reference::Integer(-id),
        20..25 => Reference::Text(id),
        25..28 => Reference::Fraction(id),
        _ => Reference::Integer(id),
    }
}

#[cfg(test)]
mod tests;
