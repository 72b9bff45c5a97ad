//! Bounds the memory that all requests' bodies take together. A request reserves bytes before it holds them and gives
//! them back when its answer is ready.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;

/// The bytes all requests may hold together.
pub(super) struct InFlight {
    limit: usize,
    held: AtomicUsize,
    gauge: IntGauge,
}

/// Reserving would exceed the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl InFlight {
    pub(super) fn new(limit: usize, gauge: IntGauge) -> Arc<Self> {
        Arc::new(Self { limit, held: AtomicUsize::new(0), gauge })
    }

    /// A reservation of nothing, to be grown.
    pub(super) fn reserve(self: &Arc<Self>) -> Reservation {
        Reservation { of: Arc::clone(self), bytes: 0 }
    }
}

/// One request's share; given back on drop.
pub(super) struct Reservation {
    of: Arc<InFlight>,
    bytes: usize,
}

impl Reservation {
    /// Makes the reservation at least `bytes` long.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let within_limit = |held: usize| held.checked_add(more).filter(|sum| *sum <= self.of.limit);
        self.of
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within_limit)
            .map_err(|_| Exhausted)?;
        self.bytes = bytes;
        self.of.gauge.add(more as i64);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.of.held.fetch_sub(self.bytes, Ordering::Relaxed);
        self.of.gauge.sub(self.bytes as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_together_stay_under_the_limit_and_come_back() {
        let gauge = IntGauge::new("held", "held").unwrap();
        let in_flight = InFlight::new(10, gauge.clone());
        let mut first = in_flight.reserve();
        let mut second = in_flight.reserve();
        assert_eq!(first.grow_to(6), Ok(()));
        assert_eq!(first.grow_to(3), Ok(()), "already that long");
        assert_eq!(second.grow_to(5), Err(Exhausted));
        assert_eq!(second.grow_to(4), Ok(()));
        assert_eq!(gauge.get(), 10);
        drop(first);
        assert_eq!(second.grow_to(10), Ok(()));
        drop(second);
        assert_eq!(gauge.get(), 0);
    }
}
