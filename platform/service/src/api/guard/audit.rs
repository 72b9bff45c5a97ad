//! The audit log: one structured event for each request that is denied, and a counter by reason.

use std::fmt;
use std::net::IpAddr;

use axum::http::Method;
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};
use tally_directory::{Principal, SecretHash};

/// Hexadecimal digits of an unknown token's hash that are logged: enough to tell attempts apart.
const HASH_DIGITS: usize = 8;

/// Seconds in which at most so many events are logged.
const PERIOD_S: i64 = 60;

/// Why a caller is denied. The names are the reasons in log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// No token, or another way to say who one is, or none that is good.
    Unauthorized,
    /// No token.
    NoToken,
    /// A token that nobody has.
    UnknownToken,
    /// A token whose last day is over.
    ExpiredToken,
    /// A token that was taken back.
    RevokedToken,
    /// The token's user is blocked.
    BlockedUser,
    /// The token has none of the scopes that would do.
    InsufficientScope,
    /// The caller may not do this, for example for want of administrator rights.
    Forbidden,
    /// The caller has no access to this of what they see.
    AccessDenied,
    /// More requests than the caller may make.
    TooManyRequests,
}

impl Denial {
    /// The reason's fixed text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NoToken => "no_token",
            Self::UnknownToken => "unknown_token",
            Self::ExpiredToken => "expired_token",
            Self::RevokedToken => "revoked_token",
            Self::BlockedUser => "blocked_user",
            Self::InsufficientScope => "insufficient_scope",
            Self::Forbidden => "forbidden",
            Self::AccessDenied => "access_denied",
            Self::TooManyRequests => "too_many_requests",
        }
    }
}

/// The first digits of the hash of a token that nobody has. The token itself is never logged: it may be a good one with a
/// slip of the pen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HashPrefix([u8; HASH_DIGITS]);

impl HashPrefix {
    pub(super) fn of(token: &str) -> Self {
        let mut digits = [0; HASH_DIGITS];
        digits.copy_from_slice(&SecretHash::of(token).to_hex().as_bytes()[..HASH_DIGITS]);
        Self(digits)
    }
}

impl fmt::Display for HashPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(str::from_utf8(&self.0).expect("hexadecimal digits are text"))
    }
}

/// What is known of a denied request.
pub(super) struct Denied<'r> {
    pub(super) denial: Denial,
    pub(super) status: u16,
    pub(super) endpoint: &'r str,
    pub(super) method: &'r Method,
    pub(super) address: IpAddr,
    pub(super) principal: Option<&'r Principal>,
    pub(super) unknown_token: Option<HashPrefix>,
}

/// Logs and counts denials. At most so many are logged in a minute, all are counted.
pub(super) struct Audit {
    denials: IntCounterVec,
    /// 0: no bound.
    max_per_minute: u32,
    logged: Mutex<Logged>,
}

#[derive(Default)]
struct Logged {
    minute: i64,
    count: u32,
    /// Not logged since the last event that was.
    suppressed: u64,
}

impl Audit {
    pub(super) fn new(max_per_minute: u32, registry: &Registry) -> Result<Self, prometheus::Error> {
        let help = "Requests denied with 401, 403 or 429, by reason";
        let denials = IntCounterVec::new(Opts::new("tally_denied_requests_total", help), &["reason"])?;
        registry.register(Box::new(denials.clone()))?;
        Ok(Self { denials, max_per_minute, logged: Mutex::default() })
    }

    pub(super) fn record(&self, denied: &Denied<'_>, now: Timestamp) {
        let reason = denied.denial.as_str();
        self.denials.with_label_values(&[reason]).inc();
        let Some(suppressed) = self.logged.lock().admit(now.as_second() / PERIOD_S, self.max_per_minute)
        else {
            return;
        };
        tracing::warn!(
            target: "tally::audit",
            reason,
            status = denied.status,
            endpoint = denied.endpoint,
            method = %denied.method,
            address = %denied.address,
            token_id = denied.principal.map(|principal| principal.token_id),
            token_name = denied.principal.map(|principal| &*principal.token_name),
            user_id = denied.principal.map(|principal| principal.user_id),
            token_hash = denied.unknown_token.map(tracing::field::display),
            suppressed = (suppressed > 0).then_some(suppressed),
            "request denied"
        );
    }
}

impl Logged {
    /// How many were suppressed before this one, if this one may be logged.
    fn admit(&mut self, minute: i64, max: u32) -> Option<u64> {
        if minute != self.minute {
            (self.minute, self.count) = (minute, 0);
        }
        if max > 0 && self.count >= max {
            self.suppressed += 1;
            return None;
        }
        self.count += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_logged_up_to_the_bound_and_then_by_its_number() {
        let mut logged = Logged::default();
        let admitted: Vec<Option<u64>> = (0..5).map(|_| logged.admit(7, 2)).collect();
        assert_eq!(admitted, [Some(0), Some(0), None, None, None]);
        assert_eq!(logged.admit(8, 2), Some(3));
        assert_eq!(logged.admit(8, 2), Some(0));
        assert_eq!(logged.admit(8, 0), Some(0));
    }

    #[test]
    fn a_tokens_hash_is_named_by_its_beginning() {
        assert_eq!(HashPrefix::of("abc").to_string(), "ba7816bf");
    }
}
