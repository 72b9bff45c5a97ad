//! Delivers request bodies over HTTP: each until it is acknowledged, the same bytes at every attempt.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use tokio::task::JoinSet;

use super::pace::Pace;
use super::progress::Progress;
use super::summary::{Latencies, LoadSummary};
use crate::random::Random;
use crate::stream::{BATCH, Stream};

const PATH: &str = "/api/v4/usage_data/track_events";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(65);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where to send and how.
#[derive(Clone)]
pub struct Target {
    /// Tally's base URL.
    pub url: String,
    /// Sent as `PRIVATE-TOKEN`; empty sends none.
    pub token: String,
    /// Requests in flight at a time.
    pub connections: usize,
    /// For how long one request may fail before the load fails.
    pub give_up_after: Duration,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Target");
        shown.field("url", &self.url).field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// The bodies of a stream's requests.
#[derive(Clone)]
pub struct Delivery {
    events: u64,
    batches: u64,
    body: Arc<dyn Fn(u64) -> Bytes + Send + Sync>,
}

impl Delivery {
    /// Makes each body right before it is sent.
    pub fn of(stream: Arc<Stream>) -> Self {
        let (events, batches) = (stream.events(), stream.batches());
        Self { events, batches, body: Arc::new(move |batch| stream.body(batch).into()) }
    }

    /// Makes all bodies now, so that making them takes nothing from what is measured. Needs memory for the whole
    /// stream.
    pub fn prepared(stream: &Stream) -> Self {
        let bodies: Vec<Bytes> = (0..stream.batches()).map(|batch| stream.body(batch).into()).collect();
        let body = move |batch: u64| bodies[batch as usize].clone();
        Self { events: stream.events(), batches: stream.batches(), body: Arc::new(body) }
    }

    /// The number of events in all requests.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The body of request number `batch`.
    pub fn body(&self, batch: u64) -> Bytes {
        (self.body)(batch)
    }

    /// The number of events in request number `batch`.
    pub fn len_of(&self, batch: u64) -> u64 {
        BATCH.min(self.events.saturating_sub(batch * BATCH))
    }
}

/// An HTTP client for `track_events`.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    target: Arc<Target>,
}

/// What became of one attempt.
enum Attempt {
    Acked,
    /// Try again, at the earliest after this pause if there is one.
    Retry(Option<Duration>, String),
    Refused(StatusCode, String),
}

/// What one connection did.
#[derive(Default)]
struct Share {
    acked: u64,
    retries: u64,
    latencies: Latencies,
}

impl Sender {
    /// A client for this target; it connects when the first request is sent.
    pub fn new(target: Target) -> Result<Self> {
        ensure!(target.connections > 0, "at least one connection is needed");
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(target.connections)
            .tcp_nodelay(true)
            .build()
            .context("setting up the HTTP client")?;
        Ok(Self { client, target: Arc::new(target) })
    }

    /// Sends every request once it is due and repeats it until it is acknowledged.
    pub async fn send(&self, delivery: Delivery, pace: Pace, progress: &Progress) -> Result<LoadSummary> {
        let start = Instant::now();
        let next = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        for _ in 0..self.target.connections {
            let worker = (self.clone(), delivery.clone(), Arc::clone(&next), progress.clone());
            connections.spawn(async move {
                let (sender, delivery, next, progress) = worker;
                sender.send_share(&delivery, pace, &next, &progress).await
            });
        }
        let mut total = Share::default();
        while let Some(share) = connections.join_next().await {
            let share = share.context("a connection's task ended early")??;
            total.acked += share.acked;
            total.retries += share.retries;
            total.latencies.extend(share.latencies);
        }
        Ok(LoadSummary {
            events: delivery.events,
            acked: total.acked,
            requests: total.latencies.len() as u64,
            retries: total.retries,
            elapsed: start.elapsed(),
            p50: total.latencies.percentile(50.0),
            p99: total.latencies.percentile(99.0),
        })
    }

    /// Takes the next request that nobody has taken until there is none left.
    async fn send_share(
        &self,
        delivery: &Delivery,
        pace: Pace,
        next: &AtomicU64,
        progress: &Progress,
    ) -> Result<Share> {
        let mut share = Share::default();
        loop {
            let batch = next.fetch_add(1, Ordering::Relaxed);
            if batch >= delivery.batches {
                return Ok(share);
            }
            pace.due(batch).await;
            let body = delivery.body(batch);
            let (latency, retries) = self.deliver(batch, body, progress).await?;
            share.latencies.record(latency);
            share.retries += retries;
            share.acked += delivery.len_of(batch);
            progress.acked(delivery.len_of(batch));
        }
    }

    /// Sends one request until it is acknowledged; returns the time of the last attempt and the number of retries.
    pub(crate) async fn deliver(
        &self,
        batch: u64,
        body: Bytes,
        progress: &Progress,
    ) -> Result<(Duration, u64)> {
        let first_failure = Instant::now();
        for retries in 0.. {
            let start = Instant::now();
            match self.attempt(body.clone()).await {
                Attempt::Acked => {
                    if retries > 0 {
                        progress.waiting(false);
                    }
                    return Ok((start.elapsed(), retries));
                }
                Attempt::Refused(status, answer) => bail!("request {batch} was refused: {status} {answer}"),
                Attempt::Retry(_, reason) if first_failure.elapsed() > self.target.give_up_after => {
                    bail!("request {batch} was not taken after {} attempts: {reason}", retries + 1);
                }
                Attempt::Retry(at_least, _) => {
                    progress.waiting(true);
                    tokio::time::sleep(pause(batch, retries, at_least)).await;
                }
            }
        }
        unreachable!("the attempts are not counted to the end of u64")
    }

    async fn attempt(&self, body: Bytes) -> Attempt {
        let mut request = self.client.post(format!("{}{PATH}", self.target.url.trim_end_matches('/')));
        request = request.header(CONTENT_TYPE, "application/json").body(body);
        if !self.target.token.is_empty() {
            request = request.header("PRIVATE-TOKEN", &self.target.token);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Attempt::Retry(None, format!("{:#}", anyhow::Error::from(error))),
        };
        let status = response.status();
        let retry_after =
            response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match (status, response.text().await) {
            (StatusCode::OK, Ok(_)) => Attempt::Acked,
            (_, Err(error)) => Attempt::Retry(None, error.to_string()),
            (status, Ok(answer)) if is_temporary(status) => {
                Attempt::Retry(retry_after.map(Duration::from_secs), format!("{status} {answer}"))
            }
            (status, Ok(answer)) => Attempt::Refused(status, answer),
        }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    use StatusCode as Status;
    [Status::SERVICE_UNAVAILABLE, Status::TOO_MANY_REQUESTS, Status::BAD_GATEWAY, Status::GATEWAY_TIMEOUT]
        .contains(&status)
}

/// A pause that doubles with every retry up to a bound and is jittered by half, never shorter than `at_least`.
fn pause(batch: u64, retries: u64, at_least: Option<Duration>) -> Duration {
    let doubled = SHORTEST_PAUSE.saturating_mul(1 << retries.min(16)).min(LONGEST_PAUSE);
    let jitter = Random::new(batch, 0, retries).below(doubled.as_micros() as u64 / 2);
    doubled.saturating_sub(Duration::from_micros(jitter)).max(at_least.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_respect_retry_after() {
        assert!(pause(1, 0, None) <= SHORTEST_PAUSE);
        for retries in 10..100 {
            let pause = pause(1, retries, None);
            assert!(pause >= LONGEST_PAUSE / 2 && pause <= LONGEST_PAUSE, "{pause:?}");
        }
        assert_eq!(pause(1, 0, Some(Duration::from_secs(3))), Duration::from_secs(3));
    }

    #[test]
    fn a_target_shows_no_token() {
        let target = Target {
            url: "http://localhost".to_owned(),
            token: "glpat-secret".to_owned(),
            connections: 1,
            give_up_after: Duration::ZERO,
        };
        assert!(!format!("{target:?}").contains("secret"));
    }
}
