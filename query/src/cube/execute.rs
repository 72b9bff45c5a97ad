//! Runs compiled queries: out of the cache where the answer still holds, else on ClickHouse, the same one once however many
//! ask for it.

use std::sync::Arc;
use std::time::Duration;

use tally_cube::compile::Compiled;
use tally_cube::query::CacheMode;
use tally_service::clock::Clock;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cache::{Cache, Entry, Key, Rows};
use super::config::CubeConfig;
use super::flight::{Flights, Landing, Passenger};
use super::freshness::{Fingerprint, Freshness};
use crate::metrics::QueryMetrics;
use crate::warehouse::{Warehouse, WarehouseError};

/// Label of Cube queries in the metrics.
const PURPOSE: &str = "cube";

/// Bytes that a row with one number may take.
const MAX_TOTAL_BYTES: usize = 64;

/// Rows, perhaps older than the tables because newer ones take long.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub rows: Rows,
    pub is_stale: bool,
}

/// Why there are no rows.
#[derive(Clone, Debug)]
pub enum NoRows {
    /// Not yet; the same question will be answered.
    StillRunning,
    Failed(Arc<WarehouseError>),
}

/// Cloning shares the cache and what is under way.
#[derive(Clone)]
pub struct Executor {
    warehouse: Warehouse,
    flights: Flights,
    cache: Arc<Cache>,
    freshness: Arc<Freshness>,
    running: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    metrics: QueryMetrics,
    max_answer_bytes: usize,
    max_age: Duration,
    remembered_for: Duration,
}

impl Executor {
    pub fn new(
        config: &CubeConfig,
        warehouse: Warehouse,
        clock: Arc<dyn Clock>,
        metrics: QueryMetrics,
    ) -> Self {
        let remembered_for = Duration::from_millis(config.freshness_ms);
        Self {
            flights: Flights::new(Duration::from_millis(config.abandoned_after_ms)),
            cache: Arc::new(Cache::new(config.cache_bytes)),
            freshness: Arc::new(Freshness::new(warehouse.clone(), remembered_for)),
            running: Arc::new(Semaphore::new(config.max_running.max(1))),
            max_answer_bytes: config.max_answer_bytes,
            max_age: Duration::from_millis(config.max_age_ms),
            remembered_for,
            warehouse,
            clock,
            metrics,
        }
    }

    /// The rows of a query over the model `model`, as `mode` wants them, if they are there before `deadline`. Cube's modes:
    /// an answer that still holds is taken from the cache by all but `NoCache`. Of one that doesn't hold any more,
    /// `StaleWhileRevalidate` takes the old one at once, `StaleIfSlow` at the deadline, and the others never.
    pub async fn fetch(
        &self,
        tenant: i64,
        model: u64,
        compiled: &Compiled,
        mode: CacheMode,
        deadline: Instant,
    ) -> Result<Fetched, NoRows> {
        let key = key(tenant, model, compiled);
        let kept = if mode == CacheMode::NoCache { None } else { self.cache.get(&key) };
        let Some(kept) = kept else {
            self.count("miss");
            return fresh(self.board(&key, compiled).wait_or_ask_again(deadline).await);
        };
        if self.holds(&kept, &compiled.tables).await {
            self.count("hit");
            return Ok(Fetched { rows: kept.rows.clone(), is_stale: false });
        }
        let flight = self.board(&key, compiled);
        match mode {
            CacheMode::StaleWhileRevalidate => {
                self.count("stale");
                Ok(Fetched { rows: kept.rows.clone(), is_stale: false })
            }
            CacheMode::StaleIfSlow => {
                if let Some(landing) = flight.wait_until(deadline).await {
                    self.count("revalidated");
                    fresh(Some(landing))
                } else {
                    self.count("stale");
                    Ok(Fetched { rows: kept.rows.clone(), is_stale: true })
                }
            }
            CacheMode::MustRevalidate | CacheMode::NoCache => {
                self.count("revalidated");
                fresh(flight.wait_or_ask_again(deadline).await)
            }
        }
    }

    /// Whether the tables look as they did when the answer was read. Of tables that nobody knows no answer holds for longer
    /// than a look is remembered.
    async fn holds(&self, kept: &Entry, tables: &[String]) -> bool {
        let age = kept.kept_at.elapsed();
        if tables.is_empty() || age >= self.max_age {
            return age < self.remembered_for.min(self.max_age);
        }
        // Looked at even where nothing was known, so that the answer that is read now can be kept with a fingerprint.
        let now = self.freshness.now().await;
        now.is_ok_and(|snapshot| kept.fingerprint == Some(snapshot.of(tables)))
    }

    fn board(&self, key: &Key, compiled: &Compiled) -> Passenger {
        self.flights.join(key, || self.clone().run(Arc::clone(key), compiled.clone()))
    }

    async fn run(self, key: Key, compiled: Compiled) -> Landing {
        let _permit = self.running.acquire().await.expect("the semaphore is never closed");
        let fingerprint = self.fingerprint_before(&compiled.tables);
        let rows = self.read(&compiled).await.map_err(Arc::new)?;
        let entry = Entry { rows: rows.clone(), fingerprint, kept_at: Instant::now() };
        self.cache.put(&key, entry);
        Ok(rows)
    }

    /// What the tables looked like at the last look: an older one is safe, and at worst an answer is read once more than
    /// needed. So no query waits for a look; one is taken beside it for the next.
    fn fingerprint_before(&self, tables: &[String]) -> Option<Fingerprint> {
        let (snapshot, is_old) = self.freshness.last();
        if is_old {
            let freshness = Arc::clone(&self.freshness);
            tokio::spawn(async move {
                if let Err(error) = freshness.now().await {
                    tracing::debug!(%error, "the tables' last change is unknown");
                }
            });
        }
        snapshot.map(|snapshot| snapshot.of(tables))
    }

    async fn read(&self, compiled: &Compiled) -> Result<Rows, WarehouseError> {
        let lines = self.warehouse.lines(PURPOSE, &compiled.rows, self.max_answer_bytes);
        let total = async {
            match &compiled.total {
                None => Ok(None),
                Some(statement) => {
                    let line = self.warehouse.lines(PURPOSE, statement, MAX_TOTAL_BYTES).await?;
                    number(&line).map(Some)
                }
            }
        };
        let (lines, total) = tokio::try_join!(lines, total)?;
        Ok(Rows { lines: lines.into(), total, read_at: self.clock.now() })
    }

    fn count(&self, outcome: &str) {
        self.metrics.cube_cache.with_label_values(&[outcome]).inc();
    }
}

fn fresh(landing: Option<Landing>) -> Result<Fetched, NoRows> {
    match landing {
        Some(Ok(rows)) => Ok(Fetched { rows, is_stale: false }),
        Some(Err(error)) => Err(NoRows::Failed(error)),
        None => Err(NoRows::StillRunning),
    }
}

/// The number in a row that holds nothing else.
fn number(line: &[u8]) -> Result<u64, WarehouseError> {
    let digits = std::str::from_utf8(line).unwrap_or_default();
    let digits = digits.trim_matches(|character: char| !character.is_ascii_digit());
    digits.parse().map_err(|_| WarehouseError::Undecodable("a total that is no number".to_owned()))
}

/// Everything that the rows depend on but the tables.
fn key(tenant: i64, model: u64, compiled: &Compiled) -> Key {
    let total = compiled.total.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{tenant} {model}\n{}\n{total}", compiled.rows).into()
}
