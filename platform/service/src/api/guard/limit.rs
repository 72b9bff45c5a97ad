//! Budgets: so many requests in a period for each key, and the headers that say how a budget stands.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::window::{Count, Windows};

/// Keys that each kind of count keeps at most: some 100 bytes each.
const MAX_KEYS: usize = 1 << 19;

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const NAME: HeaderName = HeaderName::from_static("ratelimit-name");
const OBSERVED: HeaderName = HeaderName::from_static("ratelimit-observed");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const RESET_TIME: HeaderName = HeaderName::from_static("ratelimit-resettime");

/// How a budget stands after a request was charged to it.
pub(super) struct Charge {
    count: Count,
    limit: u32,
    limit_text: HeaderValue,
    name: &'static str,
}

/// A request is refused for its number.
#[derive(Debug)]
pub(super) struct Exceeded;

impl Charge {
    /// Seconds since the epoch at which the budget is whole again.
    pub(super) fn ends_at_s(&self) -> u64 {
        self.count.ends_at_s
    }

    /// The state of the budget as GitLab's headers tell it.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        let remaining = self.limit.saturating_sub(self.count.observed);
        headers.insert(LIMIT, self.limit_text.clone());
        headers.insert(NAME, HeaderValue::from_static(self.name));
        headers.insert(OBSERVED, self.count.observed.into());
        headers.insert(REMAINING, remaining.into());
        headers.insert(RESET, self.count.ends_at_s.into());
        if self.count.observed > self.limit {
            headers.insert(RESET_TIME, http_date(self.count.ends_at_s));
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(second: u64) -> HeaderValue {
    let instant = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    let text = instant.unwrap_or(Timestamp::MAX).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::try_from(text).expect("a date is header text")
}

/// One budget for each key.
pub(super) struct Limit<K> {
    name: &'static str,
    max: u32,
    max_text: HeaderValue,
    windows: Windows<K>,
}

impl<K: Eq + std::hash::Hash> Limit<K> {
    /// At most `max` requests in a period, or any number if that is 0.
    pub(super) fn new(name: &'static str, max: u32, period_s: u64) -> Self {
        Self { name, max, max_text: max.into(), windows: Windows::new(period_s, MAX_KEYS) }
    }

    /// Counts one request. Without a limit there is no charge.
    pub(super) fn charge(&self, key: K, now: Timestamp) -> (Option<Charge>, Result<(), Exceeded>) {
        if self.max == 0 {
            return (None, Ok(()));
        }
        let count = self.windows.count(key, now);
        let charge = Charge { count, limit: self.max, limit_text: self.max_text.clone(), name: self.name };
        (Some(charge), if count.observed > self.max { Err(Exceeded) } else { Ok(()) })
    }
}
