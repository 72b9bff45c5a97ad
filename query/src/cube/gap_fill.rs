//! GitLab's own addition to Cube's answers: days without rows. For every `inDateRange` filter whose member the rows have
//! by day, each missing day of the range is appended with every measure at "0".

use std::collections::HashSet;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::date_range::{DateRange, local_label};
use super::filter::{Filter, Operator};
use super::resolve::{MAX_LIMIT, Resolved};

/// Appends the missing days to `rows`; never to more rows than a query may return.
pub(super) fn append_missing_days(query: &Resolved<'_>, rows: &mut Vec<Value>) {
    for filter in &query.sent.filters {
        if let Filter::Member { member, operator: Operator::InDateRange, values } = filter {
            let dates: Vec<String> = values.iter().flatten().cloned().collect();
            // Labels are local in the query's zone, and so are the dates: no zone is needed to compare them.
            if let Ok(range) = DateRange::parse(&dates, &TimeZone::UTC) {
                append_days(query, member, &range, rows);
            }
        }
    }
}

fn append_days(query: &Resolved<'_>, member: &str, range: &DateRange, rows: &mut Vec<Value>) {
    let by_day = format!("{member}.day");
    if rows.first().is_none_or(|row| row.get(&by_day).is_none()) {
        return;
    }
    let present: HashSet<String> =
        rows.iter().filter_map(|row| Some(row.get(&by_day)?.as_str()?.to_owned())).collect();
    let room = usize::try_from(MAX_LIMIT).unwrap_or(usize::MAX).saturating_sub(rows.len());
    let labels = range.days().map(|day| local_label(day.at(0, 0, 0, 0)));
    for label in labels.filter(|label| !present.contains(label)).take(room) {
        let mut row = Map::new();
        row.insert(by_day.clone(), label.as_str().into());
        row.insert(member.to_owned(), label.into());
        row.extend(query.measures.iter().map(|measure| (measure.label.id.clone(), Value::from("0"))));
        rows.push(Value::Object(row));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::Model;
    use super::super::{query, resolve};
    use super::*;

    #[test]
    fn missing_days_of_a_filtered_range_are_appended_as_zeros() {
        let time = "TrackedEvents.derivedTstamp";
        let sent = json!({
            "measures": ["TrackedEvents.count"],
            "timeDimensions": [{"dimension": time, "granularity": "day"}],
            "filters": [{"member": time, "operator": "inDateRange", "values": ["2026-11-02", "2026-11-04"]}],
        });
        let row = |day: &str, count: &str| {
            json!({
                "TrackedEvents.derivedTstamp.day": format!("{day}T00:00:00.000"),
                "TrackedEvents.derivedTstamp": format!("{day}T00:00:00.000"),
                "TrackedEvents.count": count,
            })
        };
        let model = Model::built_in();
        let resolved = resolve::resolve(&model, &query::parse(&sent).unwrap()).unwrap();
        let mut rows = vec![row("2026-11-03", "5")];
        append_missing_days(&resolved, &mut rows);
        assert_eq!(rows, [row("2026-11-03", "5"), row("2026-11-02", "0"), row("2026-11-04", "0")]);
        let mut empty = Vec::new();
        append_missing_days(&resolved, &mut empty);
        assert!(empty.is_empty(), "without a row there is nothing to tell the shape by");
    }
}
