//! When each request is due.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::stream::BATCH;

/// A steady rate of requests, counted from one start, so that a slow answer doesn't lower the rate (it shows in the
/// latencies instead).
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    start: Instant,
    interval: Duration,
}

impl Pace {
    /// Starts now with `events_per_second`; 0 or less is no limit.
    pub fn new(events_per_second: f64) -> Self {
        let interval = if events_per_second > 0.0 { BATCH as f64 / events_per_second } else { 0.0 };
        Self { start: Instant::now(), interval: Duration::from_secs_f64(interval) }
    }

    /// When request number `batch` is due; a moment in the past is due at once.
    fn moment_of(&self, batch: u64) -> Instant {
        self.start + self.interval.mul_f64(batch as f64)
    }

    /// Waits until request number `batch` is due.
    pub async fn due(&self, batch: u64) {
        if !self.interval.is_zero() {
            sleep_until(self.moment_of(batch)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_equal_distances_from_the_start() {
        let pace = Pace::new(1_000.0);
        assert_eq!(pace.moment_of(0), pace.start);
        assert_eq!(pace.moment_of(1) - pace.start, Duration::from_millis(50));
        assert_eq!(pace.moment_of(40) - pace.start, Duration::from_secs(2));
    }

    #[test]
    fn without_a_rate_everything_is_due_at_once() {
        let pace = Pace::new(0.0);
        assert_eq!(pace.moment_of(1_000_000), pace.start);
    }
}
