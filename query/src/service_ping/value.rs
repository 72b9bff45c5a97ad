//! A metric's value out of the readings, as the payload shows it.

use serde_json::{Map, Number, Value, json};
use tally_schemas::TimeFrame;

use super::execute::Readings;
use super::plan::{PlannedMetric, Source};

/// GitLab's fallback for a value that could not be computed.
const NOT_COMPUTED: i64 = -1;

/// Sums are kept in billionths.
const ONE: i128 = 1_000_000_000;

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
            let sum = |counter| readings.sums.get(counter).map_or(0, |sums| sums[window]);
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

/// A sum as a JSON number: a whole one without a fraction, any other as the nearest double.
fn number(sum: i128) -> Value {
    if sum % ONE == 0
        && let Ok(whole) = i64::try_from(sum / ONE)
    {
        return whole.into();
    }
    let sign = if sum < 0 { "-" } else { "" };
    let (whole, fraction) =
        (sum.unsigned_abs() / ONE.unsigned_abs(), sum.unsigned_abs() % ONE.unsigned_abs());
    let nearest: f64 =
        format!("{sign}{whole}.{fraction:09}").parse().expect("digits and a point are a number");
    Number::from_f64(nearest).map_or(Value::from(NOT_COMPUTED), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_the_number_that_its_decimal_text_names() {
        let table = [
            (0, "0"),
            (3 * ONE, "3"),
            (10_176_754_000_000, "10176.754"),
            (-500_000_000, "-0.5"),
            (-1, "-1e-9"),
            (300_000_000, "0.3"),
        ];
        for (billionths, text) in table {
            assert_eq!(number(billionths).to_string(), text);
        }
    }
}
