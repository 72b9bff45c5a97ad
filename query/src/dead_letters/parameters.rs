//! The listing's query string, parsed and checked as GitLab's API framework does.

use std::collections::HashMap;

use tally_schemas::DropReason;
use tally_service::api::ApiError;
use tally_service::api::parameter::Reader;

use super::compile::Filter;
use super::cursor::Position;

/// The most letters a page may hold; more is taken as this. With payloads there are fewer.
const MAX_PER_PAGE: u64 = 100;
const MAX_PER_PAGE_WITH_PAYLOAD: u64 = 20;
const DEFAULT_PER_PAGE: u64 = 20;

/// What to list and which part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    pub filter: Filter,
    pub project_id: Option<i64>,
    pub after: Option<Position>,
    pub per_page: u64,
    pub with_payload: bool,
}

/// Reads the parameters; unknown ones are ignored.
pub(super) fn parse(sent: &HashMap<String, String>) -> Result<Parameters, ApiError> {
    let mut read = Reader::new(sent);
    let filter = Filter {
        reason: read.choice::<DropReason>("reason"),
        since_ms: read.timestamp("since"),
        until_ms: read.timestamp("until"),
        topic: None,
    };
    let project_id = read.integer("project_id");
    let with_payload = read.boolean("payload").unwrap_or(false);
    let at_most = if with_payload { MAX_PER_PAGE_WITH_PAYLOAD } else { MAX_PER_PAGE };
    let per_page = read.per_page(DEFAULT_PER_PAGE, at_most);
    let after = cursor(&mut read);
    read.finish(Parameters { filter, project_id, after, per_page, with_payload })
}

/// Whether one letter is to be shown with its payload.
pub(super) fn with_payload(sent: &HashMap<String, String>) -> Result<bool, ApiError> {
    let mut read = Reader::new(sent);
    let with_payload = read.boolean("payload").unwrap_or(false);
    read.finish(with_payload)
}

/// Without a cursor, or with an empty one, a listing begins at its beginning.
fn cursor(read: &mut Reader<'_>) -> Option<Position> {
    let text = read.text("cursor").filter(|text| !text.is_empty())?;
    let position = Position::from_cursor(&text);
    if position.is_none() {
        read.fail("cursor", "is invalid");
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failing_parameter_is_reported() {
        let parse_text = |query: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            parse(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        };
        for (query, message) in [
            ("reason=other", "reason does not have a valid value"),
            ("since=x", "since is invalid"),
            ("until=x&project_id=y", "until is invalid, project_id is invalid"),
            ("payload=maybe", "payload is invalid"),
            ("per_page=0", "per_page has a value not allowed"),
            ("cursor=x", "cursor is invalid"),
        ] {
            assert_eq!(parse_text(query).unwrap_err().to_string(), message, "{query}");
        }
        let parameters =
            parse_text("reason=undecodable&since=2026-11-01T00:00:00Z&payload=true&per_page=1000");
        let parameters = parameters.unwrap();
        assert_eq!((parameters.filter.reason, parameters.per_page), (Some(DropReason::Undecodable), 20));
        assert_eq!(parameters.filter.since_ms, Some(1_793_491_200_000));
    }
}
