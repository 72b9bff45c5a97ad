//! When an event happened by our clock, as Snowplow's enrichment derives it (`derived_tstamp`).

use crate::snowplow::parameters::Parameters;

/// In milliseconds since the epoch: what the site says for certain; or else the time of receipt less as long as the tracker
/// kept the event, in which its clock's error cancels out.
pub(crate) fn derived(parameters: &Parameters<'_>, received_at: i64) -> i64 {
    let millis = |text: &str| text.parse::<i64>().ok().filter(|millis| *millis > 0);
    if let Some(happened_at) = millis(&parameters.happened_at) {
        return happened_at;
    }
    let (created_at, sent_at) = (millis(&parameters.created_at), millis(&parameters.sent_at));
    match created_at.zip(sent_at) {
        Some((created_at, sent_at)) if created_at < sent_at => {
            received_at.saturating_sub(sent_at.saturating_sub(created_at))
        }
        _ => received_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_does_no_harm() {
        for (created, sent, happened, expected) in [
            ("5000", "7000", "", 98_000),
            ("5000", "", "", 100_000),
            ("", "7000", "", 100_000),
            ("7500", "7000", "", 100_000),
            ("5000", "7000", "42", 42),
            ("x", "7000", "-1", 100_000),
            ("1", "9223372036854775807", "", 100_000 - i64::MAX + 1),
        ] {
            let parameters = Parameters {
                created_at: created.into(),
                sent_at: sent.into(),
                happened_at: happened.into(),
                ..Parameters::default()
            };
            assert_eq!(derived(&parameters, 100_000), expected, "{created} {sent} {happened}");
        }
    }
}
