//! `data` of an answer: ClickHouse's rows (`JSONCompactEachRow`, every value a text or null) as Cube's three forms. Values
//! are copied as the JSON that they are already; nothing is decoded.

use std::ops::Range;

use tally_cube::compile::Column;
use tally_cube::query::ResponseFormat;

use super::json::write_text;

/// A line of ClickHouse's answer isn't a row of as many values as there are columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of clickhouse's answer can't be read")]
pub struct BrokenRow;

/// What every row of a comparison or a blending has beside its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    pub key: String,
    pub value: ExtraValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExtraValue {
    /// The same in all rows.
    Text(String),
    /// The value of the column with this number.
    Column(usize),
}

/// The rows of one query, and what their values are called.
pub struct Data<'a> {
    /// Lines of `JSONCompactEachRow`.
    pub rows: &'a [u8],
    pub columns: &'a [Column],
    pub extra: Option<&'a Extra>,
    /// Further rows in the default form, complete objects, to be appended.
    pub appended: &'a [Vec<u8>],
}

impl Data<'_> {
    /// Appends the value of `data` to `out`.
    pub fn write(&self, format: ResponseFormat, out: &mut Vec<u8>) -> Result<(), BrokenRow> {
        match format {
            ResponseFormat::Default => self.write_objects(out),
            ResponseFormat::Compact => self.write_lists(out),
            ResponseFormat::Columnar => self.write_columns(out),
        }
    }

    /// Keys and where their values come from: the columns, then the plain names of grouped time dimensions, then the extra.
    fn members(&self) -> Vec<(&str, Place)> {
        let columns = self.columns.iter().enumerate();
        let own = columns.clone().map(|(place, column)| (column.key.as_str(), Place::Column(place)));
        let plain =
            columns.filter_map(|(place, column)| Some((column.also.as_deref()?, Place::Column(place))));
        let extra = self.extra.map(|extra| {
            let place = match &extra.value {
                ExtraValue::Column(place) => Place::Column(*place),
                ExtraValue::Text(text) => {
                    let mut json = Vec::new();
                    write_text(text, &mut json);
                    Place::Constant(json)
                }
            };
            (extra.key.as_str(), place)
        });
        own.chain(plain).chain(extra).collect()
    }

    fn write_objects(&self, out: &mut Vec<u8>) -> Result<(), BrokenRow> {
        let members = self.members();
        let keys: Vec<Vec<u8>> = members
            .iter()
            .enumerate()
            .map(|(number, (key, _))| {
                let mut prefix = vec![if number == 0 { b'{' } else { b',' }];
                write_text(key, &mut prefix);
                prefix.push(b':');
                prefix
            })
            .collect();
        out.push(b'[');
        let mut is_first = true;
        self.for_each_row(|values| {
            separate(&mut is_first, out);
            for ((_, place), key) in members.iter().zip(&keys) {
                out.extend_from_slice(key);
                place.write(values, out);
            }
            out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
        })?;
        for row in self.appended {
            separate(&mut is_first, out);
            out.extend_from_slice(row);
        }
        out.push(b']');
        Ok(())
    }

    fn write_lists(&self, out: &mut Vec<u8>) -> Result<(), BrokenRow> {
        let members = self.members();
        self.write_member_names(&members, out);
        out.extend_from_slice(b",\"dataset\":[");
        let mut is_first = true;
        self.for_each_row(|values| {
            separate(&mut is_first, out);
            out.push(b'[');
            for (number, (_, place)) in members.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                place.write(values, out);
            }
            out.push(b']');
        })?;
        out.extend_from_slice(b"]}");
        Ok(())
    }

    fn write_columns(&self, out: &mut Vec<u8>) -> Result<(), BrokenRow> {
        let members = self.members();
        self.write_member_names(&members, out);
        let mut columns: Vec<Vec<u8>> = vec![Vec::new(); members.len()];
        self.for_each_row(|values| {
            for ((_, place), column) in members.iter().zip(&mut columns) {
                column.push(if column.is_empty() { b'[' } else { b',' });
                place.write(values, column);
            }
        })?;
        out.extend_from_slice(b",\"columns\":[");
        let mut is_first = true;
        for column in columns.iter().filter(|column| !column.is_empty()) {
            separate(&mut is_first, out);
            out.extend_from_slice(column);
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
        Ok(())
    }

    /// Cube names no members where there are no rows.
    fn write_member_names(&self, members: &[(&str, Place)], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"members\":[");
        if !self.rows.is_empty() {
            let mut is_first = true;
            for (key, _) in members {
                separate(&mut is_first, out);
                write_text(key, out);
            }
        }
        out.push(b']');
    }

    /// Calls `each` with the values of every row.
    pub fn for_each_row(&self, mut each: impl FnMut(&Values<'_>)) -> Result<(), BrokenRow> {
        let mut ranges = Vec::with_capacity(self.columns.len());
        for line in self.rows.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            split_row(line, &mut ranges)?;
            if ranges.len() != self.columns.len() {
                return Err(BrokenRow);
            }
            each(&Values { line, ranges: &ranges });
        }
        Ok(())
    }
}

/// Where a member's value comes from.
enum Place {
    Column(usize),
    Constant(Vec<u8>),
}

impl Place {
    fn write(&self, values: &Values<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Column(place) => out.extend_from_slice(values.json(*place)),
            Self::Constant(json) => out.extend_from_slice(json),
        }
    }
}

/// The values of one row.
pub struct Values<'a> {
    line: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Values<'a> {
    /// A value as JSON: a text or null.
    pub fn json(&self, column: usize) -> &'a [u8] {
        &self.line[self.ranges[column].clone()]
    }
}

fn separate(is_first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::replace(is_first, false) {
        out.push(b',');
    }
}

/// Where the values of a row stand, which is a JSON list of texts and nulls.
fn split_row(line: &[u8], ranges: &mut Vec<Range<usize>>) -> Result<(), BrokenRow> {
    ranges.clear();
    let mut at = 1;
    if line.first() != Some(&b'[') {
        return Err(BrokenRow);
    }
    if line.get(1) == Some(&b']') && line.len() == 2 {
        return Ok(());
    }
    loop {
        while line.get(at) == Some(&b' ') {
            at += 1;
        }
        let end = match line.get(at) {
            Some(b'"') => end_of_text(line, at + 1)?,
            Some(b'n') if line[at..].starts_with(b"null") => at + 4,
            _ => return Err(BrokenRow),
        };
        ranges.push(at..end);
        match line.get(end) {
            Some(b',') => at = end + 1,
            Some(b']') if end + 1 == line.len() => return Ok(()),
            _ => return Err(BrokenRow),
        }
    }
}

/// The place after the quote that closes the text whose first character is at `at`.
fn end_of_text(line: &[u8], mut at: usize) -> Result<usize, BrokenRow> {
    loop {
        match line.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return Err(BrokenRow),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn column(key: &str, also: Option<&str>) -> Column {
        Column { key: key.to_owned(), also: also.map(str::to_owned), alias: "a".to_owned() }
    }

    fn written(data: &Data<'_>, format: ResponseFormat) -> Value {
        let mut out = Vec::new();
        data.write(format, &mut out).unwrap();
        serde_json::from_slice(&out)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    #[test]
    fn the_three_forms_hold_the_same() {
        let columns = [column("T.at.day", Some("T.at")), column("T.count", None)];
        let extra =
            Extra { key: "compareDateRange".to_owned(), value: ExtraValue::Text("a - \"b\"".to_owned()) };
        let rows = b"[\"2026-11-02T00:00:00.000\",\"1\"]\n[\"2026-11-03T00:00:00.000\", null]\n";
        let data = Data { rows, columns: &columns, extra: Some(&extra), appended: &[] };
        let [first, second] = ["2026-11-02T00:00:00.000", "2026-11-03T00:00:00.000"];
        assert_eq!(
            written(&data, ResponseFormat::Default),
            json!([
                {"T.at.day": first, "T.count": "1", "T.at": first, "compareDateRange": "a - \"b\""},
                {"T.at.day": second, "T.count": null, "T.at": second, "compareDateRange": "a - \"b\""},
            ])
        );
        let members = json!(["T.at.day", "T.count", "T.at", "compareDateRange"]);
        assert_eq!(
            written(&data, ResponseFormat::Compact),
            json!({"members": members, "dataset": [[first, "1", first, "a - \"b\""], [second, null, second, "a - \"b\""]]})
        );
        assert_eq!(
            written(&data, ResponseFormat::Columnar),
            json!({"members": members, "columns": [[first, second], ["1", null], [first, second], ["a - \"b\"", "a - \"b\""]]})
        );
    }

    #[test]
    fn without_rows_no_members_are_named() {
        let columns = [column("T.count", None)];
        let data = Data { rows: b"", columns: &columns, extra: None, appended: &[] };
        assert_eq!(written(&data, ResponseFormat::Default), json!([]));
        assert_eq!(written(&data, ResponseFormat::Compact), json!({"members": [], "dataset": []}));
        assert_eq!(written(&data, ResponseFormat::Columnar), json!({"members": [], "columns": []}));
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let columns = [column("T.count", None)];
        for rows in
            ["[1]\n", "[\"1\"", "[\"1]\n", "[\"1\",\"2\"]\n", "[]\n", "Code: 1. DB::Exception", "[\"1\"]]\n"]
        {
            let data = Data { rows: rows.as_bytes(), columns: &columns, extra: None, appended: &[] };
            for format in [ResponseFormat::Default, ResponseFormat::Compact, ResponseFormat::Columnar] {
                assert_eq!(data.write(format, &mut Vec::new()), Err(BrokenRow), "{rows}");
            }
        }
    }

    proptest! {
        #[test]
        fn values_arrive_as_they_are(rows: Vec<[Option<String>; 2]>) {
            let lines: String = rows.iter().map(|row| json!(row).to_string() + "\n").collect();
            let columns = [column("T.a", None), column("T.b", None)];
            let data = Data { rows: lines.as_bytes(), columns: &columns, extra: None, appended: &[] };
            let expected: Vec<Value> = rows.iter().map(|[a, b]| json!({"T.a": a, "T.b": b})).collect();
            prop_assert_eq!(written(&data, ResponseFormat::Default), Value::Array(expected));
        }
    }
}
