//! Whether the log is believed to answer, so that nobody waits for one that is known not to.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A log that fails again so soon after it was found to answer is asked less often.
const STABLE: Duration = Duration::from_secs(30);
/// Doublings of the time between two questions.
const MAX_DOUBLINGS: u32 = 4;

/// What is known of the log.
#[derive(Default)]
pub(super) struct Link {
    state: Mutex<State>,
    /// Wakes whoever asks the log.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    /// Why it is believed to be out of reach.
    down: Option<String>,
    /// When it was last found to answer.
    found: Option<Instant>,
    /// How often in a row it was lost soon after it had been found.
    relapses: u32,
}

impl Link {
    pub(super) fn is_up(&self) -> bool {
        self.state.lock().down.is_none()
    }

    /// Why the log is believed to be out of reach.
    pub(super) fn down(&self) -> Option<String> {
        self.state.lock().down.clone()
    }

    /// The log has failed.
    pub(super) fn lost(&self, reason: &str) {
        let mut state = self.state.lock();
        if state.down.is_some() {
            return;
        }
        tracing::warn!(reason, "the log is out of reach; spooling");
        state.down = Some(reason.to_owned());
        let is_relapse = state.found.is_some_and(|found| found.elapsed() < STABLE);
        state.relapses = if is_relapse { (state.relapses + 1).min(MAX_DOUBLINGS) } else { 0 };
        drop(state);
        self.changed.notify_one();
    }

    /// The log has answered.
    pub(super) fn found(&self) {
        let mut state = self.state.lock();
        if state.down.take().is_some() {
            state.found = Some(Instant::now());
            tracing::info!("the log answers again");
        }
    }

    /// How many times as long as usual to wait before asking again.
    pub(super) fn patience(&self) -> u32 {
        1 << self.state.lock().relapses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_relapses_is_asked_less_often() {
        let link = Link::default();
        let mut patience = Vec::new();
        for _ in 0..7 {
            link.lost("away");
            patience.push(link.patience());
            link.found();
        }
        assert_eq!(patience, [1, 2, 4, 8, 16, 16, 16]);
        assert!(link.is_up());
        link.lost("away");
        link.lost("still away");
        assert_eq!((link.is_up(), link.down().as_deref()), (false, Some("away")));
    }
}
