//! When the generated events happen: along the span in the order of the stream, with stragglers, and with the exact
//! edges of days and ISO weeks that a window must put on the right side.

use jiff::Timestamp;

use super::event::Moment;
use crate::random::Random;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const WEEK: i64 = 7 * DAY;
/// The epoch was a Thursday; the first Monday after it is four days later.
const FIRST_MONDAY: i64 = 4 * DAY;

/// A half-open span of time with its day and week edges.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Microseconds since the epoch.
    from: i64,
    to: i64,
    midnights: Vec<i64>,
    mondays: Vec<i64>,
}

impl Moments {
    /// The moments of `from..to`; a span that would be empty holds the one millisecond at `from`.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        let from = from.as_millisecond() * 1_000;
        let to = (to.as_millisecond() * 1_000).max(from + 1_000);
        Self { from, to, midnights: edges(from, to, 0, DAY), mondays: edges(from, to, FIRST_MONDAY, WEEK) }
    }

    /// The moment of the event at `position` of `total` events.
    pub fn draw(&self, random: &mut Random, position: u64, total: u64) -> Moment {
        let instant = match random.below(1_000) {
            0..10 => self.at_an_edge(random, &self.mondays),
            10..20 => self.at_an_edge(random, &self.midnights),
            20..100 => self.anywhere(random),
            _ => self.in_order(random, position, total),
        };
        self.written(random, instant)
    }

    /// The first millisecond after an edge or the last one before it.
    fn at_an_edge(&self, random: &mut Random, edges: &[i64]) -> i64 {
        if edges.is_empty() {
            return self.anywhere(random);
        }
        let edge = *random.choose(edges);
        if random.per_mille(500) { edge } else { (edge - 1_000).max(self.from) }
    }

    fn anywhere(&self, random: &mut Random) -> i64 {
        self.from + random.below(self.to.abs_diff(self.from)) as i64
    }

    /// The span's share that `position` stands for, give or take one percent of the span.
    fn in_order(&self, random: &mut Random, position: u64, total: u64) -> i64 {
        let length = self.to.abs_diff(self.from);
        let share = u128::from(length) * u128::from(position) / u128::from(total.max(1));
        let jitter = length as i64 / 100;
        (self.from + share as i64 + random.between(-jitter, jitter)).clamp(self.from, self.to - 1_000)
    }

    fn written(&self, random: &mut Random, instant: i64) -> Moment {
        let offset_hours = if random.per_mille(20) { *random.choose(&[-8, -3, 1, 2, 9]) } else { 0 };
        let whole = instant - instant.rem_euclid(1_000);
        if random.per_mille(10) {
            // The last microsecond still belongs to the millisecond before the edge.
            return Moment { microseconds: whole + 999, offset_hours, fine: true };
        }
        Moment { microseconds: whole.max(self.from), offset_hours, fine: false }
    }
}

/// Every multiple of `step` past `origin` that lies in `from..to`.
fn edges(from: i64, to: i64, origin: i64, step: i64) -> Vec<i64> {
    let first = from + (origin - from).rem_euclid(step);
    (first..to).step_by(step as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Moments {
        Moments::new("2026-10-10T06:00:00Z".parse().unwrap(), "2026-11-21T06:00:00Z".parse().unwrap())
    }

    fn drawn(moments: &Moments, events: u64) -> Vec<Moment> {
        let draw = |position| moments.draw(&mut Random::new(1, 2, position), position, events);
        (0..events).map(draw).collect()
    }

    fn text(microseconds: i64) -> String {
        format!("{:.3}", Timestamp::from_microsecond(microseconds).unwrap())
    }

    #[test]
    fn a_six_week_span_has_six_mondays_and_42_midnights() {
        let span = span();
        assert_eq!((span.mondays.len(), span.midnights.len()), (6, 42));
        assert_eq!(text(span.mondays[0]), "2026-10-12T00:00:00.000Z");
        assert_eq!(text(span.midnights[0]), "2026-10-11T00:00:00.000Z");
    }

    #[test]
    fn both_sides_of_every_week_edge_are_drawn() {
        let span = span();
        let drawn = drawn(&span, 20_000);
        let contains = |wanted: i64| drawn.iter().any(|moment| moment.microseconds == wanted);
        for &monday in &span.mondays {
            assert!(contains(monday), "no event at {}", text(monday));
            assert!(contains(monday - 1_000), "no event right before {}", text(monday));
        }
    }

    #[test]
    fn every_moment_lies_in_the_span() {
        let span = span();
        for moment in drawn(&span, 20_000) {
            assert!((span.from..span.to).contains(&moment.microseconds));
        }
    }

    #[test]
    fn every_day_gets_its_share() {
        let span = span();
        let mut of_day = std::collections::BTreeMap::new();
        for moment in drawn(&span, 42_000) {
            *of_day.entry((moment.microseconds - span.from) / DAY).or_insert(0_u32) += 1;
        }
        assert_eq!(of_day.len(), 42);
        assert!(of_day.values().all(|&events| (800..1_300).contains(&events)), "{of_day:?}");
    }

    #[test]
    fn a_span_without_an_edge_or_of_no_length_still_draws() {
        let noon: Timestamp = "2026-11-17T12:00:00Z".parse().unwrap();
        for end in ["2026-11-17T12:00:10Z", "2026-11-17T12:00:00Z"] {
            let span = Moments::new(noon, end.parse().unwrap());
            assert_eq!(drawn(&span, 1_000).len(), 1_000);
        }
    }
}
