//! A metric's value out of the readings, as the payload shows it.

use serde_json::{Map, Number, Value, json};
use tally_schemas::TimeFrame;

use super::execute::Readings;
use super::plan::{PlannedMetric, Source};

/// GitLab's fallback for a value that could not be computed.
const NOT_COMPUTED: i64 = -1;

/// Integers below this are exact as doubles.
const EXACT_INTEGERS: f64 = 9_007_199_254_740_992.0;

/// The value of `metric`: a number, or `{property: {value: count}}` for unique totals. Without any data 0, or an empty
/// inner object.
pub(super) fn evaluate(metric: &PlannedMetric, readings: &Readings) -> Value {
    let window = window_index(metric.time_frame);
    match &metric.source {
        Source::Total(counters) => {
            let count = |counter| readings.counts.get(counter).map_or(0, |counts| counts[window]);
            counters.iter().map(count).sum::<u64>().into()
        }
        Source::Sum(counters) => {
            let sum = |counter| readings.sums.get(counter).map_or(0.0, |sums| sums[window]);
            number(counters.iter().map(sum).sum())
        }
        Source::Unique(counter) => estimate(readings.uniques.get(counter), window),
        Source::Union(number) => estimate(readings.unions.get(number), window),
        Source::UniqueTotals { property, counters } => {
            json!({ property: unique_totals(counters, window, readings) })
        }
    }
}

/// An estimate of distinct identifiers. Only windows of whole weeks are merged: GitLab's definitions ask for no other.
fn estimate(estimates: Option<&[u64; 2]>, window: usize) -> Value {
    if window > 1 {
        return NOT_COMPUTED.into();
    }
    estimates.map_or(0, |estimates| estimates[window]).into()
}

/// Where a time frame's number stands in the readings.
fn window_index(time_frame: TimeFrame) -> usize {
    match time_frame {
        TimeFrame::SevenDays => 0,
        TimeFrame::TwentyEightDays => 1,
        TimeFrame::All | TimeFrame::None => 2,
    }
}

fn unique_totals(counters: &[String], window: usize, readings: &Readings) -> Map<String, Value> {
    let mut totals: Map<String, Value> = Map::new();
    for (value, counts) in counters.iter().filter_map(|counter| readings.unique_totals.get(counter)).flatten()
    {
        if counts[window] > 0 {
            let so_far = totals.get(value).and_then(Value::as_u64).unwrap_or(0);
            totals.insert(value.clone(), (so_far + counts[window]).into());
        }
    }
    totals
}

/// A sum as a JSON number; a whole one without a fraction.
fn number(sum: f64) -> Value {
    if sum.fract() == 0.0 && sum.abs() < EXACT_INTEGERS {
        return Value::from(sum as i64);
    }
    Number::from_f64(sum).map_or(Value::from(NOT_COMPUTED), Value::Number)
}
