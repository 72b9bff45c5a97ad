//! How long after the acknowledgement a query finds an event, while others keep coming at a steady rate.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::sync::Mutex;
use uuid::{Builder, Uuid};

use super::installation::Service;
use super::store::Tables;
use crate::load::{Delivery, Latencies, LoadSummary, Pace, Progress, Sender};
use crate::random::Random;
use crate::stream::Stream;

/// A project that no stream uses: the raw events are sorted by project, so a query for it reads next to nothing.
const MARKER_PROJECT: i64 = 987_654_321;
const MARKER_EVERY: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_millis(5);
const VISIBLE_WITHIN: Duration = Duration::from_mins(1);

/// Freshness at one rate.
#[derive(Clone, Debug)]
pub struct Freshness {
    load: LoadSummary,
    markers: usize,
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

impl fmt::Display for Freshness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "freshness at {:.0} events/s, acknowledged to visible, {} markers: p50 {} ms, p99 {} ms, longest {} ms",
            self.load.rate(),
            self.markers,
            self.p50.as_millis(),
            self.p99.as_millis(),
            self.longest.as_millis()
        )
    }
}

/// The acknowledged markers that no query has found yet.
type Waiting = Arc<Mutex<HashMap<Uuid, Instant>>>;

/// Sends `stream` at `rate` events per second and marker events beside it.
pub async fn measure(
    service: &Service,
    sender: &Sender,
    stream: Arc<Stream>,
    rate: f64,
) -> Result<Freshness> {
    let waiting = Waiting::default();
    let delivery = Delivery::prepared(&stream);
    let pace = Pace::new(rate);
    let load = sender.clone();
    let load = tokio::spawn(async move { load.send(delivery, pace, &Progress::silent()).await });
    let markers = tokio::spawn(send_markers(sender.clone(), Arc::clone(&waiting), load));
    let tables = Tables::new(service.store_url());

    let mut latencies = Latencies::default();
    while !(markers.is_finished() && waiting.lock().await.is_empty()) {
        collect(&tables, &waiting, &mut latencies).await?;
        tokio::time::sleep(POLL).await;
    }
    let load = markers.await.context("the markers' task ended early")??;
    ensure!(!latencies.is_empty(), "the load was too short for a single marker");
    Ok(Freshness {
        load,
        markers: latencies.len(),
        p50: latencies.percentile(50.0),
        p99: latencies.percentile(99.0),
        longest: latencies.percentile(100.0),
    })
}

/// Sends a marker every now and then until the load is over; returns the load's summary.
async fn send_markers(
    sender: Sender,
    waiting: Waiting,
    load: tokio::task::JoinHandle<Result<LoadSummary>>,
) -> Result<LoadSummary> {
    let mut random = Random::new(MARKER_PROJECT as u64, 0, 0);
    let mut ticks = tokio::time::interval(MARKER_EVERY);
    while !load.is_finished() {
        ticks.tick().await;
        let bits = (u128::from(random.bits()) << 64) | u128::from(random.bits());
        let event_id = Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        let body = format!(
            r#"{{"events":[{{"event":"freshness_marker","event_id":"{event_id}","project_id":{MARKER_PROJECT}}}]}}"#
        );
        sender.deliver(0, body.into(), &Progress::silent()).await?;
        waiting.lock().await.insert(event_id, Instant::now());
    }
    load.await.context("the load's task ended early")?
}

/// Takes the markers that a query finds now out of `waiting`.
async fn collect(tables: &Tables, waiting: &Waiting, latencies: &mut Latencies) -> Result<()> {
    let mut wanted = Vec::new();
    for (event_id, acked) in waiting.lock().await.iter() {
        ensure!(acked.elapsed() < VISIBLE_WITHIN, "{event_id} was acknowledged and never became visible");
        wanted.push(format!("'{event_id}'"));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT event_id FROM events WHERE project_id = {MARKER_PROJECT} AND event_id IN ({})",
        wanted.join(",")
    );
    let found = tables.query(sql).await?;
    let visible = Instant::now();
    let mut waiting = waiting.lock().await;
    for event_id in found.lines() {
        let event_id: Uuid = event_id.parse().context("an event_id is a UUID")?;
        if let Some(acked) = waiting.remove(&event_id) {
            latencies.record(visible.saturating_duration_since(acked));
        }
    }
    Ok(())
}
