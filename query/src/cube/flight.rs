//! Statements under way: the same one asked for by many runs once, goes on when those who wait are told to ask again, and
//! ends when nobody has asked for a while.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::cache::{Key, Rows};
use crate::warehouse::WarehouseError;

/// How a statement ended.
pub type Landing = Result<Rows, Arc<WarehouseError>>;

/// All statements under way. Cloning shares them.
#[derive(Clone)]
pub struct Flights {
    under_way: Arc<Mutex<HashMap<Key, Arc<Flight>>>>,
    abandoned_after: Duration,
}

struct Flight {
    landing: watch::Sender<Option<Landing>>,
    waiting: AtomicUsize,
    /// Whether somebody was told to ask again, so that the outcome is to be kept for them.
    is_owed: AtomicBool,
    is_taken: AtomicBool,
    /// Somebody has taken the outcome, or waits no more.
    changed: Notify,
    asked_at: Mutex<Instant>,
}

/// Somebody who has asked. Dropping it is to wait no more; the flight goes on.
pub struct Passenger {
    flights: Flights,
    key: Key,
    flight: Arc<Flight>,
}

impl Flights {
    /// None yet. One that nobody has asked for during `abandoned_after` ends.
    pub fn new(abandoned_after: Duration) -> Self {
        Self { under_way: Arc::default(), abandoned_after }
    }

    /// Joins the flight of this key, or starts it.
    pub fn join<F>(&self, key: &Key, start: impl FnOnce() -> F) -> Passenger
    where
        F: Future<Output = Landing> + Send + 'static,
    {
        let mut under_way = self.lock();
        let known = under_way.get(key).cloned();
        let flight = known.unwrap_or_else(|| {
            let flight = Arc::new(Flight {
                landing: watch::Sender::new(None),
                waiting: AtomicUsize::new(0),
                is_owed: AtomicBool::new(false),
                is_taken: AtomicBool::new(false),
                changed: Notify::new(),
                asked_at: Mutex::new(Instant::now()),
            });
            under_way.insert(Arc::clone(key), Arc::clone(&flight));
            tokio::spawn(self.clone().fly(Arc::clone(key), Arc::clone(&flight), start()));
            flight
        });
        // Under the lock, so that a flight is never abandoned by one and joined by another.
        flight.waiting.fetch_add(1, Ordering::SeqCst);
        drop(under_way);
        Passenger { flights: self.clone(), key: Arc::clone(key), flight }
    }

    async fn fly(self, key: Key, flight: Arc<Flight>, work: impl Future<Output = Landing>) {
        let _gone = GoneOnDrop { flights: &self, key: &key, flight: &flight };
        let mut work = pin!(work);
        loop {
            tokio::select! {
                // An outcome that is there counts, however late it is.
                biased;
                landing = &mut work => {
                    flight.landing.send_replace(Some(landing));
                    break;
                }
                () = sleep_until(flight.asked_at() + self.abandoned_after) => {
                    if self.abandon(&key, &flight) {
                        tracing::debug!("a query that nobody waits for any more is cancelled");
                        return;
                    }
                }
            }
        }
        // Kept for those who were told to ask again; everybody else is here to take it.
        while !flight.is_taken.load(Ordering::SeqCst) && flight.is_wanted() {
            tokio::select! {
                () = flight.changed.notified() => {}
                () = sleep_until(flight.asked_at() + self.abandoned_after) => {
                    if self.abandon(&key, &flight) {
                        return;
                    }
                }
            }
        }
    }

    /// Takes a flight away that nobody waits for and nobody has asked for in time.
    fn abandon(&self, key: &Key, flight: &Arc<Flight>) -> bool {
        let mut under_way = self.lock();
        if flight.waiting.load(Ordering::SeqCst) > 0 {
            flight.touch();
            return false;
        }
        let is_forgotten = flight.asked_at() + self.abandoned_after <= Instant::now();
        if is_forgotten {
            remove(&mut under_way, key, flight);
        }
        is_forgotten
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Flight>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passenger {
    /// The outcome, if it is there before `deadline`.
    pub async fn wait_until(self, deadline: Instant) -> Option<Landing> {
        self.wait(deadline).await
    }

    /// As [`Self::wait_until`]; past the deadline the outcome is kept for whoever asks for the same soon.
    pub async fn wait_or_ask_again(self, deadline: Instant) -> Option<Landing> {
        let landing = self.wait(deadline).await;
        if landing.is_none() {
            // While this one still counts as waiting, so that an outcome in between is not thrown away.
            self.flight.is_owed.store(true, Ordering::SeqCst);
        }
        landing
    }

    async fn wait(&self, deadline: Instant) -> Option<Landing> {
        let mut landing = self.flight.landing.subscribe();
        let landed = timeout_at(deadline, landing.wait_for(Option::is_some)).await.ok()?;
        let outcome = landed.map_or_else(|_| Some(lost()), |outcome| outcome.clone());
        self.flight.is_taken.store(true, Ordering::SeqCst);
        remove(&mut self.flights.lock(), &self.key, &self.flight);
        outcome
    }
}

impl Drop for Passenger {
    fn drop(&mut self) {
        self.flight.touch();
        self.flight.waiting.fetch_sub(1, Ordering::SeqCst);
        self.flight.changed.notify_one();
    }
}

impl Flight {
    fn is_wanted(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0 || self.is_owed.load(Ordering::SeqCst)
    }

    fn asked_at(&self) -> Instant {
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// What those who wait are told of a query that ended without an outcome.
fn lost() -> Landing {
    Err(Arc::new(WarehouseError::Undecodable("the query was lost".to_owned())))
}

/// Takes a flight off the list when it is over, also by a panic.
struct GoneOnDrop<'a> {
    flights: &'a Flights,
    key: &'a Key,
    flight: &'a Arc<Flight>,
}

impl Drop for GoneOnDrop<'_> {
    fn drop(&mut self) {
        self.flight.landing.send_if_modified(|landing| {
            let is_lost = landing.is_none();
            if is_lost {
                *landing = Some(lost());
            }
            is_lost
        });
        remove(&mut self.flights.lock(), self.key, self.flight);
    }
}

/// Takes this flight, and no later one of the same key, off the list.
fn remove(under_way: &mut HashMap<Key, Arc<Flight>>, key: &Key, flight: &Arc<Flight>) {
    if under_way.get(key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
        under_way.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::sync::Semaphore;

    use super::*;

    /// Longer than any test takes.
    const NEVER: Duration = Duration::from_hours(1);
    /// So soon that it is waited for.
    const SOON: Duration = Duration::from_millis(20);

    /// A query that goes on until it is let through.
    struct Slow {
        gate: Arc<Semaphore>,
        started: Arc<AtomicUsize>,
        ended: Arc<AtomicUsize>,
    }

    impl Slow {
        fn new() -> Self {
            Self { gate: Arc::new(Semaphore::new(0)), started: Arc::default(), ended: Arc::default() }
        }

        fn run(&self) -> impl Future<Output = Landing> + Send + 'static {
            let (gate, ended) = (Arc::clone(&self.gate), Arc::clone(&self.ended));
            self.started.fetch_add(1, Ordering::SeqCst);
            async move {
                gate.acquire().await.unwrap().forget();
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(Rows { lines: "x".into(), total: None, read_at: Timestamp::UNIX_EPOCH })
            }
        }

        /// How often it was started and ended.
        fn counts(&self) -> [usize; 2] {
            [&self.started, &self.ended].map(|counter| counter.load(Ordering::SeqCst))
        }
    }

    async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_mins(1), "never {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn many_who_ask_the_same_share_one_run() {
        let (flights, key, slow) = (Flights::new(NEVER), Key::from("k"), Slow::new());
        let deadline = Instant::now() + NEVER;
        let join = || flights.join(&key, || slow.run()).wait_or_ask_again(deadline);
        let asking: Vec<_> = std::iter::repeat_with(join).take(20).collect();
        slow.gate.add_permits(1);
        let outcomes = futures::future::join_all(asking).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Some(Ok(_)))));
        assert_eq!(slow.counts(), [1, 1]);
        eventually("forgotten", || flights.lock().is_empty()).await;
        slow.gate.add_permits(1);
        flights.join(&key, || slow.run()).wait_until(deadline).await.unwrap().unwrap();
        assert_eq!(slow.counts(), [2, 2]);
    }

    #[tokio::test]
    async fn who_is_told_to_ask_again_gets_the_same_run() {
        let (flights, key, slow) = (Flights::new(NEVER), Key::from("k"), Slow::new());
        for _ in 0..2 {
            let passenger = flights.join(&key, || slow.run());
            assert!(passenger.wait_or_ask_again(Instant::now()).await.is_none());
        }
        // It lands while nobody is there.
        slow.gate.add_permits(1);
        eventually("landed", || slow.counts() == [1, 1]).await;
        tokio::time::sleep(SOON).await;
        let again = flights.join(&key, || slow.run()).wait_or_ask_again(Instant::now() + NEVER).await;
        assert!(matches!(again, Some(Ok(_))));
        assert_eq!(slow.counts(), [1, 1]);
        eventually("forgotten", || flights.lock().is_empty()).await;
    }

    #[tokio::test]
    async fn a_run_that_nobody_asks_for_is_cancelled() {
        let (flights, key, slow) = (Flights::new(SOON), Key::from("k"), Slow::new());
        let passenger = flights.join(&key, || slow.run());
        assert!(passenger.wait_or_ask_again(Instant::now()).await.is_none());
        eventually("cancelled", || flights.lock().is_empty() && Arc::strong_count(&slow.gate) == 1).await;
        assert_eq!(slow.counts(), [1, 0]);
    }

    #[tokio::test]
    async fn a_run_goes_on_while_somebody_waits() {
        let (flights, key, slow) = (Flights::new(SOON), Key::from("k"), Slow::new());
        let passenger = flights.join(&key, || slow.run());
        let waiting = tokio::spawn(passenger.wait_until(Instant::now() + NEVER));
        tokio::time::sleep(SOON * 5).await;
        slow.gate.add_permits(1);
        assert!(matches!(waiting.await.unwrap(), Some(Ok(_))));
    }

    #[tokio::test]
    async fn an_outcome_that_nobody_fetches_is_dropped() {
        let (flights, key, slow) = (Flights::new(SOON), Key::from("k"), Slow::new());
        let passenger = flights.join(&key, || slow.run());
        assert!(passenger.wait_or_ask_again(Instant::now()).await.is_none());
        slow.gate.add_permits(1);
        eventually("dropped", || slow.counts() == [1, 1] && flights.lock().is_empty()).await;
    }

    #[tokio::test]
    async fn an_outcome_that_nobody_was_promised_is_dropped_at_once() {
        let (flights, key, slow) = (Flights::new(NEVER), Key::from("k"), Slow::new());
        let passenger = flights.join(&key, || slow.run());
        assert!(passenger.wait_until(Instant::now()).await.is_none());
        slow.gate.add_permits(1);
        eventually("dropped", || slow.counts() == [1, 1] && flights.lock().is_empty()).await;
    }

    #[tokio::test]
    async fn a_run_that_panics_is_an_error_and_leaves_nothing() {
        let (flights, key) = (Flights::new(NEVER), Key::from("k"));
        let passenger = flights.join(&key, || async { panic!("on purpose") });
        let landing = passenger.wait_until(Instant::now() + Duration::from_mins(1)).await;
        assert!(matches!(landing, Some(Err(_))), "{landing:?}");
        assert!(flights.lock().is_empty());
    }
}
