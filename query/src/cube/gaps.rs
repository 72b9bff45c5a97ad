//! GitLab's own addition to Cube's answers: days without rows. For every `inDateRange` filter whose member the rows have by
//! day, each missing day of the range is appended with every measure at "0". In compact and columnar answers, which GitLab
//! does not look into, nothing is.

use std::collections::HashSet;

use jiff::civil::Date;
use serde_json::{Map, Value};
use tally_cube::query::{Filter, Query};

use super::data::{BrokenRow, Data};

/// The missing days' rows; with those that there are never more than `max_rows`.
pub fn missing_days(query: &Query, data: &Data<'_>, max_rows: u64) -> Result<Vec<Vec<u8>>, BrokenRow> {
    let mut missing = Vec::new();
    for filter in &query.filters {
        if let Filter::Range { member, negated: false, range } = filter {
            let first_and_last = range.labels.each_ref().map(|label| label.get(..10)?.parse().ok());
            if let [Some(first), Some(last)] = first_and_last {
                append_days(query, data, member, (first, last), max_rows, &mut missing)?;
            }
        }
    }
    Ok(missing)
}

fn append_days(
    query: &Query,
    data: &Data<'_>,
    member: &str,
    (first, last): (Date, Date),
    max_rows: u64,
    missing: &mut Vec<Vec<u8>>,
) -> Result<(), BrokenRow> {
    let by_day = format!("{member}.day");
    let Some(place) = data.columns.iter().position(|column| column.key == by_day) else { return Ok(()) };
    let mut present: HashSet<Vec<u8>> = HashSet::new();
    let mut rows = missing.len();
    data.for_each_row(|values| {
        rows += 1;
        present.insert(values.json(place).to_vec());
    })?;
    if present.is_empty() {
        return Ok(());
    }
    let room = usize::try_from(max_rows).unwrap_or(usize::MAX).saturating_sub(rows);
    let days = std::iter::successors(Some(first), |day| day.tomorrow().ok()).take_while(|day| *day <= last);
    let labels = days.map(|day| format!("{day}T00:00:00.000"));
    let absent = labels.filter(|label| !present.contains(format!("\"{label}\"").as_bytes()));
    missing.extend(absent.take(room).map(|label| {
        let mut row = Map::new();
        row.insert(by_day.clone(), label.as_str().into());
        row.insert(member.to_owned(), label.into());
        row.extend(query.measures.iter().map(|measure| (measure.clone(), Value::from("0"))));
        Value::Object(row).to_string().into_bytes()
    }));
    Ok(())
}
