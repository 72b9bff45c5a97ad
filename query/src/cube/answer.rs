//! Puts the answer to `/load` together, as Cube 1.7 does: the normalized query, what its members are called, and the data last.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tally_cube::Model;
use tally_cube::compile::Compiled;
use tally_cube::model::annotation;
use tally_cube::query::{Query, QueryKind, Request, ResponseFormat, pivot_query};

use super::data::{BrokenRow, Data, Extra, ExtraValue};
use super::execute::Fetched;
use super::gaps::missing_days;
use super::json::{write, write_text};

/// One query with its rows.
pub struct Part<'a> {
    pub query: &'a Query,
    pub compiled: &'a Compiled,
    pub fetched: &'a Fetched,
}

/// What the rows of an answer are put into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// The bare result of the only query.
    Bare,
    /// All results, with the request's kind and pivot query.
    Multi,
}

/// Who adds days without rows to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gaps {
    /// The client, as with Cube.
    Left,
    /// GitLab, in answers of at most so many rows.
    Filled(u64),
}

/// The whole body.
pub fn render(
    model: &Model,
    request: &Request,
    parts: &[Part<'_>],
    envelope: Envelope,
    gaps: Gaps,
) -> Result<Vec<u8>, BrokenRow> {
    let rows: usize = parts.iter().map(|part| part.fetched.rows.lines.len()).sum();
    let mut out = Vec::with_capacity(rows * 2 + 4096);
    if envelope == Envelope::Multi {
        out.extend_from_slice(b"{\"queryType\":");
        write_text(request.kind.name(), &mut out);
        out.extend_from_slice(b",\"results\":[");
    }
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        write_result(model, request.kind, part, gaps, &mut out)?;
    }
    if envelope == Envelope::Multi {
        out.extend_from_slice(b"],\"pivotQuery\":");
        write(&pivot_query(request), &mut out);
        out.extend_from_slice(b",\"slowQuery\":");
        write(&parts.iter().any(|part| part.fetched.is_stale), &mut out);
        out.push(b'}');
    }
    Ok(out)
}

fn write_result(
    model: &Model,
    kind: QueryKind,
    part: &Part<'_>,
    gaps: Gaps,
    out: &mut Vec<u8>,
) -> Result<(), BrokenRow> {
    let Part { query, compiled, fetched } = *part;
    out.extend_from_slice(b"{\"query\":");
    write(&query.normalized, out);
    out.extend_from_slice(b",\"lastRefreshTime\":");
    write_text(&iso(fetched.rows.read_at), out);
    out.extend_from_slice(b",\"annotation\":");
    write(&annotation(model, query), out);
    out.extend_from_slice(
        b",\"dataSource\":\"default\",\"dbType\":\"clickhouse\",\"external\":false,\"slowQuery\":",
    );
    write(&fetched.is_stale, out);
    if let Some(total) = fetched.rows.total {
        out.extend_from_slice(b",\"total\":");
        write(&total, out);
    }
    if !compiled.pre_aggregations.is_empty() {
        out.extend_from_slice(b",\"usedPreAggregations\":");
        write(&used_pre_aggregations(compiled), out);
    }
    out.extend_from_slice(b",\"data\":");
    let extra = extra(kind, query, compiled);
    let rows = &fetched.rows.lines;
    let mut data = Data { rows, columns: &compiled.columns, extra: extra.as_ref(), appended: &[] };
    let missing = match gaps {
        Gaps::Filled(max_rows) if query.response_format == ResponseFormat::Default => {
            missing_days(query, &data, max_rows)?
        }
        _ => Vec::new(),
    };
    data.appended = &missing;
    data.write(query.response_format, out)?;
    out.push(b'}');
    Ok(())
}

/// The range in every row of a comparison; the time that a blending's parts share.
fn extra(kind: QueryKind, query: &Query, compiled: &Compiled) -> Option<Extra> {
    match kind {
        QueryKind::Regular => None,
        QueryKind::CompareDateRange => {
            let range = query.time_dimensions.iter().find_map(|time| time.range.as_ref())?;
            let [from, to] = &range.labels;
            let value = ExtraValue::Text(format!("{from} - {to}"));
            Some(Extra { key: "compareDateRange".to_owned(), value })
        }
        QueryKind::Blending => {
            let time = query.time_dimensions.first()?;
            let granularity = time.granularity.as_deref()?;
            let own = format!("{}.{granularity}", time.dimension);
            let place = compiled.columns.iter().position(|column| column.key == own)?;
            Some(Extra { key: format!("time.{granularity}"), value: ExtraValue::Column(place) })
        }
    }
}

/// By the name of the rollup, where its rows are.
fn used_pre_aggregations(compiled: &Compiled) -> Map<String, Value> {
    let used = compiled.pre_aggregations.iter().map(|used| {
        let name = format!("{}.{}", used.cube, used.name);
        (name, json!({"targetTableName": used.table, "projection": used.projection, "type": "rollup"}))
    });
    used.collect()
}

fn iso(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
