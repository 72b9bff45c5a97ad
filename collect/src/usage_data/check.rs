//! What a payload must be: an object that says whose it is and when it was recorded. All else in it may be anything.

use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::per_active_user_fields;
use super::score;
use crate::body::Fields;
use crate::refusal::Refusal;

/// Bytes of an identity field.
const MAX_TEXT_BYTES: usize = 255;

/// How far ahead of the collector's clock a payload's time may be: clocks differ.
const MAX_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// Before this there was no Service Ping (2010-01-01).
const EARLIEST_S: i64 = 1_262_304_000;

const FIELDS: &[&str] = &[
    "uuid",
    "recorded_at",
    "version",
    "hostname",
    "installation_type",
    "edition",
    "active_user_count",
    "counts",
    "counts_monthly",
];

/// What is taken out of a payload.
pub(super) struct Payload {
    pub(super) uuid: Uuid,
    pub(super) recorded_at: Timestamp,
    pub(super) version: String,
    pub(super) hostname: String,
    pub(super) installation_type: String,
    pub(super) edition: String,
    /// By feature of the `DevOps` score; empty when the payload doesn't tell its active users.
    pub(super) use_per_active_user: Vec<(&'static str, f64)>,
}

impl Payload {
    /// Refuses what is no Service Ping payload, saying all that is wrong with it.
    pub(super) fn check(object: &RawValue, now: Timestamp) -> Result<Self, Refusal> {
        let mut fields = Fields::of(object, "", FIELDS)?;
        let uuid = fields.uuid("uuid");
        let recorded_at = fields.time("recorded_at");
        let is_sane = recorded_at
            .is_some_and(|time| time.as_second() >= EARLIEST_S && time.duration_since(now) <= MAX_AHEAD);
        if recorded_at.is_some() && !is_sane {
            fields.problem("recorded_at", "a time from 2010 on and not in the future");
        }
        let recorded_at = recorded_at.unwrap_or_default();
        let version = fields.text("version", MAX_TEXT_BYTES);
        let hostname = fields.text("hostname", MAX_TEXT_BYTES);
        let installation_type = fields.optional_text("installation_type", MAX_TEXT_BYTES);
        let edition = fields.optional_text("edition", MAX_TEXT_BYTES);
        let active_users = fields.optional_number("active_user_count");
        let monthly = fields.optional_object("counts_monthly");
        let counts = fields.optional_object("counts");
        fields.finish()?;
        let monthly = monthly.map(|counts| Fields::of(counts, "counts_monthly", per_active_user_fields()));
        let counts = counts.map(|counts| Fields::of(counts, "counts", per_active_user_fields()));
        let sources = [monthly.transpose()?, counts.transpose()?];
        let use_per_active_user = score::use_per_active_user(active_users, &sources);
        Ok(Self { uuid, recorded_at, version, hostname, installation_type, edition, use_per_active_user })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"uuid":"0f9a4a1e-5d3c-4b2a-9e1f-7a6b5c4d3e2f","recorded_at":"2026-11-20T10:00:00.000Z",
        "version":"17.5.2","hostname":"gitlab.example.com","edition":"EE","active_user_count":4,"more":{"a":[1]},
        "counts":{"issues":10,"notes":-1,"ci_internal_pipelines":400,"boards":1e300,"milestones":"3","x":{}},"counts_monthly":{"ci_internal_pipelines":6}}"#;

    fn check(json: &str) -> Result<Payload, Refusal> {
        let now = "2026-11-21T10:00:00Z".parse().unwrap();
        Payload::check(serde_json::from_str(json).unwrap(), now)
    }

    #[test]
    fn identity_and_use_are_taken_out() {
        let payload = check(GOOD).unwrap();
        assert_eq!(payload.uuid.to_string(), "0f9a4a1e-5d3c-4b2a-9e1f-7a6b5c4d3e2f");
        assert_eq!(payload.recorded_at.to_string(), "2026-11-20T10:00:00Z");
        assert_eq!((payload.version.as_str(), payload.hostname.as_str()), ("17.5.2", "gitlab.example.com"));
        assert_eq!((payload.edition.as_str(), payload.installation_type.as_str()), ("EE", ""));
        assert_eq!(payload.use_per_active_user, [("issues", 2.5), ("ci_pipelines", 1.5)]);
    }

    #[test]
    fn what_is_no_payload_is_refused_with_a_reason() {
        for (from, to, reason) in [
            (GOOD, "[1]", "the body: expected an object, found an array"),
            (GOOD, "{}", "uuid: expected a UUID, found nothing; recorded_at: expected a time"),
            ("0f9a4a1e-5d3c", "0f9a4a1e-5d3", "uuid: expected a UUID, found another text"),
            ("2026-11-20T10:00:00.000Z", "2026-11-20T10:00:00", "recorded_at: expected a time as"),
            (
                "2026-11-20T10",
                "2026-11-22T11",
                "recorded_at: expected a time from 2010 on and not in the future",
            ),
            ("2026-11-20T10", "1999-11-20T10", "recorded_at: expected a time from 2010 on"),
            ("2026-11-20T10:00:00", "1970-01-01T00:00:00", "recorded_at: expected a time from 2010 on"),
            (r#""17.5.2""#, "17.5", "version: expected a text of 1 to 255 bytes, found a number"),
            (r#""17.5.2""#, "null", "version: expected a text of 1 to 255 bytes, found nothing"),
            (
                r#""gitlab.example.com""#,
                r#""""#,
                "hostname: expected a text of 1 to 255 bytes, found another text",
            ),
            (r#""EE""#, "true", "edition: expected a text of at most 255 bytes, found a boolean"),
            (
                r#""active_user_count":4"#,
                r#""active_user_count":"4""#,
                "active_user_count: expected a number",
            ),
            (r#""counts":{"#, r#""counts":[],"x":{"#, "counts: expected an object, found an array"),
            (r#""counts_monthly":{"#, r#""counts_monthly":7,"x":{"#, "counts_monthly: expected an object"),
        ] {
            let Err(refusal) = check(&GOOD.replacen(from, to, 1)) else { panic!("{to} is taken") };
            assert!(matches!(refusal, Refusal::UnknownShape(_)), "{refusal:?}");
            assert!(refusal.to_string().contains(reason), "{to}: {refusal}");
        }
    }
}
