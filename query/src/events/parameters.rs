//! The listing's query string, parsed and checked as GitLab's API framework does.

use std::collections::HashMap;

use jiff::civil::Date;
use tally_schemas::contribution::{Action, TargetType};
use tally_service::api::ApiError;
use tally_service::api::parameter::Reader;

use super::cursor::Position;

/// The most events a page may hold; more is taken as this.
const MAX_PER_PAGE: u64 = 100;
const DEFAULT_PER_PAGE: u64 = 20;

/// What to list and which part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub filter: Filter,
    pub ascending: bool,
    pub place: Place,
    /// 1 to 100.
    pub per_page: u64,
    /// `scope=all`: all events of the projects that the reader is a member of.
    pub is_scope_all: bool,
}

/// Which events.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Filter {
    pub action: Option<Action>,
    pub target: Option<TargetFilter>,
    /// Only events before this day begins, UTC.
    pub before: Option<Date>,
    /// Only events after this day is over, UTC.
    pub after: Option<Date>,
}

/// Where the page begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place {
    /// The page's number, from 1.
    Page(u64),
    /// Keyset pagination: after this event, or at the beginning.
    After(Option<Position>),
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

/// Reads the parameters; unknown ones are ignored.
pub(super) fn parse(sent: &HashMap<String, String>) -> Result<Parameters, ApiError> {
    let mut read = Reader::new(sent);
    let filter = Filter {
        action: read.choice("action"),
        target: read.one_of("target_type", TargetFilter::from_name),
        before: read.date("before"),
        after: read.date("after"),
    };
    let ascending = read.one_of("sort", direction).unwrap_or(false);
    let page = read.page();
    let per_page = read.per_page(DEFAULT_PER_PAGE, MAX_PER_PAGE);
    let place = if is(sent, "pagination", "keyset") {
        Place::After(cursor(&mut read, ascending))
    } else {
        Place::Page(page)
    };
    let is_scope_all = is(sent, "scope", "all");
    read.finish(Parameters { filter, ascending, place, per_page, is_scope_all })
}

fn is(sent: &HashMap<String, String>, name: &str, value: &str) -> bool {
    sent.get(name).is_some_and(|text| text == value)
}

fn direction(text: &str) -> Option<bool> {
    match text {
        "asc" => Some(true),
        "desc" => Some(false),
        _ => None,
    }
}

/// Without a cursor, or with an empty one, a listing begins at its beginning.
fn cursor(read: &mut Reader<'_>, ascending: bool) -> Option<Position> {
    let text = read.text("cursor").filter(|text| !text.is_empty())?;
    let position = Position::from_cursor(&text, ascending);
    if position.is_none() {
        read.fail("cursor", "is invalid");
    }
    position
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
            ("per_page=x", "per_page is invalid"),
            ("before=2016-13-45", "before is invalid"),
            ("after=garbage", "after is invalid"),
            ("pagination=keyset&cursor=x", "cursor is invalid"),
            ("pagination=keyset&cursor=x&page=x", "page is invalid, cursor is invalid"),
            (
                "before=garbage&target_type=epic&action=x",
                "action does not have a valid value, target_type does not have a valid value, before is invalid",
            ),
        ] {
            assert_eq!(parse_text(query).unwrap_err(), message, "{query}");
        }
    }

    #[test]
    fn a_page_begins_at_a_number_or_behind_a_cursor() {
        let position = Position { created_at_ms: 5, id: 6 };
        let cursor = position.to_cursor(false);
        for (query, place, per_page) in [
            (String::new(), Place::Page(1), 20),
            ("page=3&per_page=1000".to_owned(), Place::Page(3), 100),
            ("page=&per_page=&cursor=x".to_owned(), Place::Page(1), 20),
            ("pagination=offset&page=2".to_owned(), Place::Page(2), 20),
            ("pagination=keyset".to_owned(), Place::After(None), 20),
            (format!("pagination=keyset&page=7&per_page=5&cursor={cursor}"), Place::After(Some(position)), 5),
        ] {
            let parameters = parse_text(&query).unwrap();
            assert_eq!((parameters.place, parameters.per_page), (place, per_page), "{query}");
        }
    }

    #[test]
    fn the_scope_is_all_or_nothing() {
        for (query, is_scope_all) in
            [("scope=all", true), ("scope=ALL", false), ("scope=", false), ("", false)]
        {
            assert_eq!(parse_text(query).unwrap().is_scope_all, is_scope_all, "{query}");
        }
    }
}
