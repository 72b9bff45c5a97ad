//! What a load amounted to.

use std::fmt;
use std::time::Duration;

/// Latencies of requests, kept in full, so that percentiles are exact.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    microseconds: Vec<u32>,
}

impl Latencies {
    /// Adds one; anything past an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        let longest = Duration::from_hours(1);
        self.microseconds.push(latency.min(longest).as_micros() as u32);
    }

    /// Adds all of another's.
    pub fn extend(&mut self, other: Self) {
        self.microseconds.extend(other.microseconds);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.microseconds.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.microseconds.is_empty()
    }

    /// The latency that `percent` of all don't exceed (nearest rank); zero when there is none.
    pub fn percentile(&mut self, percent: f64) -> Duration {
        self.microseconds.sort_unstable();
        let rank = (percent / 100.0 * self.len() as f64).ceil() as usize;
        let latency = self.microseconds.get(rank.clamp(1, self.len().max(1)) - 1);
        Duration::from_micros(latency.copied().map_or(0, u64::from))
    }
}

/// The outcome of a load.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadSummary {
    /// Events in the stream.
    pub events: u64,
    /// Events that Tally has answered for with 200.
    pub acked: u64,
    /// Requests that were answered with 200.
    pub requests: u64,
    /// Attempts beyond the first of each request.
    pub retries: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Median time of a request's last attempt.
    pub p50: Duration,
    /// 99th percentile of the same.
    pub p99: Duration,
}

impl LoadSummary {
    /// The summary of a dry run.
    pub fn unsent(events: u64) -> Self {
        let zero = Duration::ZERO;
        Self { events, acked: 0, requests: 0, retries: 0, elapsed: zero, p50: zero, p99: zero }
    }

    /// Acknowledged events per second.
    pub fn rate(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.acked as f64 / self.elapsed.as_secs_f64() }
    }
}

impl fmt::Display for LoadSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.requests == 0 {
            return write!(formatter, "{} events generated, none sent", self.events);
        }
        write!(
            formatter,
            "{} of {} events acknowledged in {:.1} s: {:.0} events/s, {} requests ({} retries), p50 {:.1} ms, p99 {:.1} ms",
            self.acked,
            self.events,
            self.elapsed.as_secs_f64(),
            self.rate(),
            self.requests,
            self.retries,
            self.p50.as_secs_f64() * 1e3,
            self.p99.as_secs_f64() * 1e3,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50.0), Duration::ZERO);
        for milliseconds in (1..=100).rev() {
            latencies.record(Duration::from_millis(milliseconds));
        }
        let cases = [(50.0, 50), (99.0, 99), (100.0, 100), (0.0, 1)];
        for (percent, milliseconds) in cases {
            assert_eq!(latencies.percentile(percent), Duration::from_millis(milliseconds));
        }
    }

    #[test]
    fn a_summary_reads_as_one_line() {
        let summary = LoadSummary {
            acked: 100,
            requests: 2,
            retries: 1,
            elapsed: Duration::from_millis(500),
            p50: Duration::from_micros(1_500),
            p99: Duration::from_millis(12),
            ..LoadSummary::unsent(100)
        };
        assert_eq!(
            summary.to_string(),
            "100 of 100 events acknowledged in 0.5 s: 200 events/s, 2 requests (1 retries), p50 1.5 ms, p99 12.0 ms"
        );
        assert_eq!(LoadSummary::unsent(7).to_string(), "7 events generated, none sent");
    }
}
