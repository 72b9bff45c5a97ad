//! The listing's query string, parsed and checked as GitLab's API framework does: every failing parameter is reported, in
//! declaration order, joined by comma and space.

use std::collections::HashMap;

use jiff::civil::Date;
use tally_schemas::contribution::{Action, TargetType};
use tally_service::api::ApiError;

/// The most events a page may hold; more is taken as this.
const MAX_PER_PAGE: u64 = 100;
const DEFAULT_PER_PAGE: u64 = 20;

/// What to list and which part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub action: Option<Action>,
    pub target: Option<TargetFilter>,
    /// Only events before this day begins, UTC.
    pub before: Option<Date>,
    /// Only events after this day is over, UTC.
    pub after: Option<Date>,
    pub ascending: bool,
    /// From 1.
    pub page: u64,
    /// 1 to 100.
    pub per_page: u64,
}

/// The `target_type` filter: types, and for projects the actions of events without target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum TargetFilter {
    Types(&'static [TargetType]),
    Project,
}

impl TargetFilter {
    fn from_name(name: &str) -> Option<Self> {
        Some(Self::Types(match name {
            "issue" => &[TargetType::Issue, TargetType::WorkItem],
            "milestone" => &[TargetType::Milestone],
            "merge_request" => &[TargetType::MergeRequest],
            "note" => &[TargetType::Note, TargetType::DiffNote, TargetType::DiscussionNote],
            "snippet" => &[TargetType::Snippet],
            "user" => &[TargetType::User],
            "wiki" => &[TargetType::WikiPage],
            "design" => &[TargetType::Design],
            "project" => return Some(Self::Project),
            _ => return None,
        }))
    }
}

/// Reads the parameters; unknown ones are ignored. Dates are read against nothing: days are UTC.
pub(super) fn parse(sent: &HashMap<String, String>) -> Result<Parameters, ApiError> {
    let mut failures = Failures::default();
    let parameters = Parameters {
        action: failures.take(one_of(sent, "action", |text| text.parse().ok())),
        target: failures.take(one_of(sent, "target_type", TargetFilter::from_name)),
        before: failures.take(day(sent, "before")),
        after: failures.take(day(sent, "after")),
        ascending: failures.take(one_of(sent, "sort", direction)).unwrap_or(false),
        page: failures.take(positive(sent, "page")).unwrap_or(1),
        per_page: failures.take(positive(sent, "per_page")).unwrap_or(DEFAULT_PER_PAGE).min(MAX_PER_PAGE),
    };
    failures.into_result(parameters)
}

/// Collects what fails, so that the answer can name all of it.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn take<T>(&mut self, parsed: Result<Option<T>, String>) -> Option<T> {
        parsed.unwrap_or_else(|failure| {
            self.0.push(failure);
            None
        })
    }

    fn into_result(self, parameters: Parameters) -> Result<Parameters, ApiError> {
        if self.0.is_empty() { Ok(parameters) } else { Err(ApiError::BadParameters(self.0.join(", "))) }
    }
}

fn one_of<T>(
    sent: &HashMap<String, String>,
    name: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, String> {
    match sent.get(name) {
        None => Ok(None),
        Some(text) => read(text).map(Some).ok_or_else(|| format!("{name} does not have a valid value")),
    }
}

fn direction(text: &str) -> Option<bool> {
    match text {
        "asc" => Some(true),
        "desc" => Some(false),
        _ => None,
    }
}

/// `2016-12-1`, `20161201` or a date with a time, of which the day counts as it is written, whatever the offset. Empty is
/// absent.
fn day(sent: &HashMap<String, String>, name: &str) -> Result<Option<Date>, String> {
    match sent.get(name).map(String::as_str) {
        None | Some("") => Ok(None),
        Some(text) => read_day(text).map(Some).ok_or_else(|| format!("{name} is invalid")),
    }
}

fn read_day(text: &str) -> Option<Date> {
    let date = text.split(['T', ' ']).next()?;
    let parts: Vec<&str> = date.split('-').collect();
    match parts.as_slice() {
        [year, month, day] => Date::new(number(year, 4)?, number(month, 2)?, number(day, 2)?).ok(),
        [digits] if digits.len() == 8 && digits.is_ascii() => {
            Date::new(number(&digits[..4], 4)?, number(&digits[4..6], 2)?, number(&digits[6..], 2)?).ok()
        }
        _ => None,
    }
}

fn number<T: std::str::FromStr>(digits: &str, at_most: usize) -> Option<T> {
    let is_number = digits.len() <= at_most && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// A number from 1. Empty is absent.
fn positive(sent: &HashMap<String, String>, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = sent.get(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(0) if name == "per_page" => Err(format!("{name} has a value not allowed")),
        Ok(number) if number < 0 => Err(format!("{name} does not have a valid value")),
        Ok(number) => Ok(Some(number.unsigned_abs().max(1))),
        Err(_) => Err(format!("{name} is invalid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(query: &str) -> Result<Parameters, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let sent = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        parse(&sent).map_err(|error| error.to_string())
    }

    #[test]
    fn every_failing_parameter_is_reported_in_declaration_order() {
        for (query, message) in [
            ("action=Created", "action does not have a valid value"),
            ("action=", "action does not have a valid value"),
            ("target_type=epic", "target_type does not have a valid value"),
            ("sort=up", "sort does not have a valid value"),
            ("per_page=0", "per_page has a value not allowed"),
            ("page=-1", "page does not have a valid value"),
            ("per_page=-1", "per_page does not have a valid value"),
            ("page=x", "page is invalid"),
            ("before=2016-13-45", "before is invalid"),
            ("after=garbage", "after is invalid"),
            (
                "before=garbage&target_type=epic&action=x",
                "action does not have a valid value, target_type does not have a valid value, before is invalid",
            ),
        ] {
            assert_eq!(parse_text(query).unwrap_err(), message, "{query}");
        }
    }

    #[test]
    fn dates_are_read_in_several_forms() {
        let december = Some(jiff::civil::date(2016, 12, 1));
        for (query, expected) in [
            ("before=2016-12-1", december),
            ("before=2016-12-01", december),
            ("before=20161201", december),
            ("before=2016-12-01T10:00:00Z", december),
            ("before=2016-12-01T23:00:00-05:00", december),
            ("before=2016-12-01T01:00:00+05:00", december),
            ("before=2016-12-01 01:00", december),
            ("before=", None),
            ("", None),
        ] {
            assert_eq!(parse_text(query).unwrap().before, expected, "{query}");
        }
    }

    #[test]
    fn pages_have_defaults_and_a_largest_size() {
        let read =
            |query| parse_text(query).map(|parameters| (parameters.page, parameters.per_page)).unwrap();
        assert_eq!(read(""), (1, 20));
        assert_eq!(read("page=3&per_page=50"), (3, 50));
        assert_eq!(read("per_page=1000"), (1, 100));
        assert_eq!(read("page=&per_page="), (1, 20));
    }
}
