//! The endpoints that take input, and what a body sent to each becomes: the step from text to records, without reading
//! before it and appending after it. Replays of refused bodies take the same step.

use jiff::Timestamp;
use tally_directory::{AuthError, Principal};
use tally_eventlog::Record;
use tally_schemas::{Increment, topics};
use tally_service::api::ApiError;

use crate::service::{Ingest, Inner};
use crate::{contributions, increment, track};

/// An endpoint that takes input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    TrackEvent,
    TrackEvents,
    IncrementCounter,
    IncrementUniqueUsers,
    Contributions,
}

impl Endpoint {
    const ALL: [Self; 5] = [
        Self::TrackEvent,
        Self::TrackEvents,
        Self::IncrementCounter,
        Self::IncrementUniqueUsers,
        Self::Contributions,
    ];

    /// The route's path.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::TrackEvent => "/api/v4/usage_data/track_event",
            Self::TrackEvents => "/api/v4/usage_data/track_events",
            Self::IncrementCounter => "/api/v4/usage_data/increment_counter",
            Self::IncrementUniqueUsers => "/api/v4/usage_data/increment_unique_users",
            Self::Contributions => "/api/v4/tally/contributions",
        }
    }

    /// The topic of what it takes.
    const fn topic(self) -> &'static str {
        match self {
            Self::Contributions => topics::CONTRIBUTIONS,
            _ => topics::EVENTS,
        }
    }

    fn records(
        self,
        ingest: &Inner,
        principal: &Principal,
        now: Timestamp,
        text: &str,
    ) -> Result<Vec<Record>, ApiError> {
        let increment = |kind| Ok(vec![increment::prepare(ingest, principal, now, text, kind)?]);
        match self {
            Self::TrackEvent => Ok(track::prepare_one(ingest, principal, now, text, false)?.records),
            Self::TrackEvents => Ok(track::prepare_list(ingest, principal, now, text, false)?.records),
            Self::IncrementCounter => increment(Increment::Total),
            Self::IncrementUniqueUsers => increment(Increment::UniqueUsers),
            Self::Contributions => {
                Ok(contributions::records(ingest, &contributions::prepare(ingest, principal, now, text)?))
            }
        }
    }
}

/// A body that was refused once, as its dead letter has it.
#[derive(Clone, Copy, Debug)]
pub struct RefusedBody<'b> {
    /// The route's path.
    pub endpoint: &'b str,
    /// Whose request it was.
    pub user_id: i64,
    /// The request's content type; empty for JSON.
    pub content_type: &'b str,
    /// All of the body.
    pub bytes: &'b [u8],
    /// When it was refused: events without a time of their own happened then.
    pub received_at: Timestamp,
}

/// Why a body that was refused once becomes no records now, either.
#[derive(Debug, thiserror::Error)]
pub enum StillRefused {
    /// No endpoint of ingest has the path.
    #[error("ingest has no endpoint {0}")]
    NoEndpoint(String),
    /// Nobody may act as its user any more.
    #[error("user {0} is not there any more, or blocked")]
    NoUser(i64),
    /// The endpoint refuses it as it did before, or for another reason.
    #[error("still refused: {0}")]
    Refused(ApiError),
}

impl Ingest {
    /// What the body becomes by the rules of now: records, and the topic they belong to. Nothing is appended.
    pub fn records_of(&self, body: RefusedBody<'_>) -> Result<(&'static str, Vec<Record>), StillRefused> {
        let ingest = &*self.0;
        let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == body.endpoint);
        let endpoint = endpoint.ok_or_else(|| StillRefused::NoEndpoint(body.endpoint.to_owned()))?;
        let principal = ingest.access.directory.read().principal_of(body.user_id, ingest.access.clock.now());
        let principal = principal.map_err(|_: AuthError| StillRefused::NoUser(body.user_id))?;
        let text = ingest.bodies.text(body.bytes.to_vec(), body.content_type);
        let records = text.and_then(|text| endpoint.records(ingest, &principal, body.received_at, &text));
        Ok((endpoint.topic(), records.map_err(StillRefused::Refused)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_a_route() {
        let document = crate::document();
        for endpoint in Endpoint::ALL {
            assert!(document.paths.paths.contains_key(endpoint.path()), "{}", endpoint.path());
        }
    }
}
