//! A metric's value out of the readings, as the payload shows it.

use serde_json::{Map, Number, Value, json};
use tally_schemas::{TimeFrame, ValueType};

use super::execute::{CounterReadings, Reading};
use super::plan::PlannedMetric;
use super::reason::{Missing, Reason};
use super::source::Source;

/// Sums are kept in billionths.
const ONE: i128 = 1_000_000_000;

/// The value of a metric that is made of counters: a number, or `{property: {value: count}}` for unique totals. Without any
/// data 0, or an empty inner object. `None` for metrics of other sources.
pub(super) fn of_counters(
    metric: &PlannedMetric,
    readings: &CounterReadings,
) -> Option<Result<Value, Missing>> {
    let window = window_index(metric.definition.time_frame);
    Some(match &metric.source {
        Source::Total(counters) => rows(&readings.counts).map(|counts| {
            let count = |counter| counts.get(counter).map_or(0, |counts| counts[window]);
            counters.iter().map(count).sum::<u64>().into()
        }),
        Source::Sum(counters) => rows(&readings.sums).map(|sums| {
            let sum = |counter| sums.get(counter).map_or(0, |sums| sums[window]);
            number(counters.iter().map(sum).sum())
        }),
        Source::Unique(counter) => {
            estimates(&readings.uniques).and_then(|rows| estimate(rows.get(counter), window))
        }
        Source::Union(number) => {
            estimates(&readings.unions).and_then(|rows| estimate(rows.get(number), window))
        }
        Source::UniqueTotals { property, counters } => rows(&readings.unique_totals).map(|totals| {
            let values = counters.iter().filter_map(|counter| totals.get(counter)).flatten();
            json!({ property: unique_totals(values, window) })
        }),
        _ => return None,
    })
}

fn rows<T>(reading: &Reading<T>) -> Result<&T, Missing> {
    reading.rows.as_ref().map_err(|error| Missing::failed(Reason::QueryFailed, error))
}

fn estimates<T>(reading: &Reading<T>) -> Result<&T, Missing> {
    reading.rows.as_ref().map_err(|error| Missing::failed(Reason::EstimateFailed, error))
}

/// An estimate of distinct identifiers. Only windows of whole weeks are merged: GitLab's definitions ask for no other.
fn estimate(estimates: Option<&[u64; 2]>, window: usize) -> Result<Value, Missing> {
    if window > 1 {
        return Err(Missing::failed(Reason::QueryFailed, "distinct identifiers are counted over weeks only"));
    }
    Ok(estimates.map_or(0, |estimates| estimates[window]).into())
}

/// Where a time frame's number stands in the readings.
fn window_index(time_frame: TimeFrame) -> usize {
    match time_frame {
        TimeFrame::SevenDays => 0,
        TimeFrame::TwentyEightDays => 1,
        TimeFrame::All | TimeFrame::None => 2,
    }
}

fn unique_totals<'a>(
    values: impl Iterator<Item = &'a (String, [u64; 3])>,
    window: usize,
) -> Map<String, Value> {
    let mut totals: Map<String, Value> = Map::new();
    for (value, counts) in values.filter(|(_, counts)| counts[window] > 0) {
        let so_far = totals.get(value).and_then(Value::as_u64).unwrap_or(0);
        totals.insert(value.clone(), (so_far + counts[window]).into());
    }
    totals
}

/// A text that a query answered as a value of the definition's type.
pub(super) fn of_text(text: Option<&str>, kind: ValueType) -> Result<Value, Missing> {
    let Some(text) = text else { return Err(Reason::NoRows.into()) };
    let value = match kind {
        ValueType::String => Some(Value::from(text)),
        ValueType::Number => text.parse::<i64>().map(Value::from).ok().or_else(|| {
            let number = text.parse().ok().and_then(Number::from_f64);
            number.map(Value::Number)
        }),
        ValueType::Boolean => match text {
            "1" | "true" => Some(true.into()),
            "0" | "false" => Some(false.into()),
            _ => None,
        },
        ValueType::Object => {
            serde_json::from_str(text).ok().filter(|value: &Value| value.is_object() || value.is_array())
        }
    };
    value.ok_or_else(|| Missing::failed(Reason::WrongType, text.chars().take(100).collect::<String>()))
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
    Number::from_f64(nearest).map_or(Value::Null, Value::Number)
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

    #[test]
    fn an_answer_is_read_as_its_definition_says() {
        for (text, kind, value) in [
            ("12", ValueType::Number, Some(json!(12))),
            ("0.25", ValueType::Number, Some(json!(0.25))),
            ("nan", ValueType::Number, None),
            ("(1,2)", ValueType::Number, None),
            ("1", ValueType::Boolean, Some(json!(true))),
            ("false", ValueType::Boolean, Some(json!(false))),
            ("2", ValueType::Boolean, None),
            ("25.1", ValueType::String, Some(json!("25.1"))),
            (r#"{"a":1}"#, ValueType::Object, Some(json!({"a": 1}))),
            ("[1]", ValueType::Object, Some(json!([1]))),
            ("1", ValueType::Object, None),
        ] {
            assert_eq!(of_text(Some(text), kind).ok(), value, "{text} as {kind:?}");
        }
        assert_eq!(of_text(None, ValueType::String).unwrap_err().reason, Reason::NoRows);
    }
}
