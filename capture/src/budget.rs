//! How many events one tracking key may send. Keys are no secrets, so whoever reads one on a site could send for it; requests
//! from one address are bounded by the guard in front.

use jiff::Timestamp;
use tally_service::api::{ApiError, Windows};

/// Projects that are counted apart.
const MAX_PROJECTS: usize = 1 << 16;

/// One budget for each project.
pub(crate) struct Budget {
    max: u32,
    windows: Windows<i64>,
}

impl Budget {
    /// At most `max` events in a period, or any number if that is 0.
    pub(crate) fn new(max: u32, period_s: u64) -> Self {
        Self { max, windows: Windows::new(period_s, MAX_PROJECTS) }
    }

    /// Counts events; past the budget they are to come again in the next period.
    pub(crate) fn charge(&self, project_id: i64, events: u32, now: Timestamp) -> Result<(), ApiError> {
        if self.max == 0 {
            return Ok(());
        }
        let count = self.windows.count_many(project_id, events, now);
        if count.observed <= self.max {
            return Ok(());
        }
        let now_s = u64::try_from(now.as_second()).unwrap_or(0);
        Err(ApiError::TooManyRequests { retry_after_s: count.ends_at_s.saturating_sub(now_s).max(1) })
    }
}
