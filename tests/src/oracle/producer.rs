//! Sends the workload at a steady rate over several connections to one or more ingests, as honest clients do: what has an
//! id is sent until it is acknowledged, and now and then once more; what has none is sent once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use reqwest::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::ledger::{Fate, Kind, Ledger};
use super::workload::Workload;
use crate::process::ADMIN_TOKEN;

const EVENTS_PATH: &str = "/api/v4/usage_data/track_events";
const CONTRIBUTIONS_PATH: &str = "/api/v4/tally/contributions";
const TRACKERS_PATH: &str = "/com.snowplowanalytics.snowplow/tp2";

/// How long clients wait for an answer, each as long as it likes: less than an append may take, and more.
const PATIENCE_S: std::ops::Range<u64> = 1..10;
/// How long a browser's tracker waits.
const TRACKER_PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// After a request without an id failed; the stream is not to run dry while nobody takes it.
const PAUSE_AFTER_LOSS: Duration = Duration::from_millis(300);

/// What ingest says when it has nothing of a request.
const REFUSED: &str = "the event log is not available";

/// Of a hundred acknowledged requests with ids, those that are sent again at once, and those that are sent again later.
const REPEATED_AT_ONCE: u64 = 5;
const REPEATED_LATER: u64 = 5;
const LATEST_REPEAT_S: u64 = 20;

/// Where requests go, and how fast.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The ingests' base URLs.
    pub ingests: Vec<String>,
    /// Capture's base URL.
    pub capture: String,
    /// The time over which the stream is spread.
    pub lasts: Duration,
    pub connections: usize,
    /// When to give up, counted from the start.
    pub deadline: Duration,
}

/// The clients.
pub struct Producer {
    workload: Workload,
    ledger: Arc<Ledger>,
    delivery: Delivery,
    /// Whether every acknowledged request with ids is sent again.
    pub is_repeating: AtomicBool,
    started: Instant,
    /// The next request of each kind.
    next: [AtomicU64; 3],
    later: Mutex<Vec<(Instant, Request)>>,
}

/// A request as it can be sent again.
#[derive(Clone)]
struct Request {
    kind: Kind,
    numbers: Vec<u64>,
    body: String,
    /// Whether it may be sent until it is acknowledged.
    has_ids: bool,
}

impl Producer {
    pub fn new(workload: Workload, ledger: Arc<Ledger>, delivery: Delivery) -> Arc<Self> {
        Arc::new(Self {
            workload,
            ledger,
            delivery,
            is_repeating: AtomicBool::new(false),
            started: Instant::now(),
            next: Default::default(),
            later: Mutex::default(),
        })
    }

    /// Sends everything. Fails when something with an id is not acknowledged before the deadline, or is refused.
    pub async fn run(self: Arc<Self>) -> Result<()> {
        let mut clients = JoinSet::new();
        let of_kinds = [(Kind::Event, self.delivery.connections), (Kind::Page, 2), (Kind::Contribution, 2)];
        for (kind, connections) in of_kinds {
            for number in 0..connections {
                let producer = Arc::clone(&self);
                clients.spawn(async move { producer.client(kind, number).await });
            }
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        self.send_later_ones(true).await?;
        self.ledger.flush()
    }

    /// One client: takes the next request that nobody has taken, until there is none left.
    async fn client(&self, kind: Kind, number: usize) -> Result<()> {
        let client = Client::builder().connect_timeout(CONNECT_PATIENCE).build()?;
        let requests = match kind {
            Kind::Event => self.workload.event_requests(),
            Kind::Page => self.workload.page_requests(),
            Kind::Contribution => self.workload.contribution_requests(),
        };
        let pause = self.delivery.lasts / requests.max(1) as u32;
        loop {
            let next = self.next[kind as usize].fetch_add(1, Ordering::Relaxed);
            if next >= requests {
                return Ok(());
            }
            sleep_until(self.started + pause * next as u32).await;
            let request = self.request(kind, next);
            self.ledger.sending(kind, &request.numbers);
            let first = number + next as usize;
            if !request.has_ids {
                if !self.attempt(&client, &request, first).await? {
                    sleep(PAUSE_AFTER_LOSS).await;
                }
                continue;
            }
            self.deliver(&client, &request, first).await?;
            self.repeat(&client, &request, next, first).await?;
            if number == 0 {
                self.send_later_ones(false).await?;
            }
        }
    }

    fn request(&self, kind: Kind, next: u64) -> Request {
        let workload = &self.workload;
        match kind {
            Kind::Event => Request {
                kind,
                numbers: workload.events_of(next),
                body: workload.event_body(next, 1),
                has_ids: workload.is_identified(next),
            },
            Kind::Page => {
                let numbers = workload.pages_of(next);
                let body = workload.page_body(&numbers);
                Request { kind, numbers, body, has_ids: true }
            }
            Kind::Contribution => {
                let numbers = workload.contributions_of(next);
                let body = workload.contribution_body(&numbers);
                Request { kind, numbers, body, has_ids: workload.names_contributions() }
            }
        }
    }

    /// Sends until it is acknowledged, by turns to each ingest.
    async fn deliver(&self, client: &Client, request: &Request, first: usize) -> Result<()> {
        let mut pause = Duration::from_millis(20);
        for attempt in 0.. {
            if self.attempt(client, request, first + attempt).await? {
                break;
            }
            ensure!(
                self.started.elapsed() < self.delivery.deadline,
                "{:?} {:?} were not acknowledged in time",
                request.kind,
                request.numbers
            );
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Sends some of what was acknowledged again: at once and to somebody else, or later, and then perhaps only a part.
    async fn repeat(&self, client: &Client, request: &Request, number: u64, first: usize) -> Result<()> {
        let drawn = self.workload.chance(4 + request.kind as u64, number);
        if drawn < REPEATED_AT_ONCE || self.is_repeating.load(Ordering::Relaxed) {
            self.ledger.repeated.fetch_add(1, Ordering::Relaxed);
            self.attempt(client, request, first + 1).await?;
        } else if drawn < REPEATED_AT_ONCE + REPEATED_LATER {
            let mut request = request.clone();
            if request.kind == Kind::Event && drawn.is_multiple_of(2) {
                request.body = self.workload.event_body(number, 2);
                request.numbers = request.numbers.into_iter().step_by(2).collect();
            }
            let wait = self.workload.chance(8, number) * LATEST_REPEAT_S / 100;
            let due = Instant::now() + Duration::from_secs(wait);
            self.later.lock().expect("nobody panics while holding it").push((due, request));
        }
        Ok(())
    }

    /// Sends what was to be sent again later and is due; in the end, all of it.
    async fn send_later_ones(&self, is_end: bool) -> Result<()> {
        let due: Vec<(Instant, Request)> = {
            let mut later = self.later.lock().expect("nobody panics while holding it");
            let (due, rest): (Vec<_>, Vec<_>) =
                later.drain(..).partition(|(due, _)| is_end || *due <= Instant::now());
            *later = rest;
            due
        };
        let client = Client::builder().connect_timeout(CONNECT_PATIENCE).build()?;
        for (index, (_, request)) in due.iter().enumerate() {
            self.ledger.repeated.fetch_add(1, Ordering::Relaxed);
            self.attempt(&client, request, index).await?;
        }
        Ok(())
    }

    /// Sends once; whether it was acknowledged. An answer that says that it will never be taken is an error.
    async fn attempt(&self, client: &Client, request: &Request, turn: usize) -> Result<bool> {
        let ingests = &self.delivery.ingests;
        let ingest = &ingests[turn % ingests.len()];
        let (url, success) = match request.kind {
            Kind::Event => (format!("{ingest}{EVENTS_PATH}"), 200),
            Kind::Page => (format!("{}{TRACKERS_PATH}", self.delivery.capture), 200),
            Kind::Contribution => (format!("{ingest}{CONTRIBUTIONS_PATH}"), 201),
        };
        let patience = match request.kind {
            Kind::Page => TRACKER_PATIENCE,
            _ => Duration::from_secs(PATIENCE_S.start + turn as u64 % (PATIENCE_S.end - PATIENCE_S.start)),
        };
        let sent = client
            .post(&url)
            .timeout(patience)
            .header("PRIVATE-TOKEN", ADMIN_TOKEN)
            .header("Content-Type", "application/json")
            .body(request.body.clone())
            .send()
            .await;
        let answered = |answer: &str| self.ledger.answered(request.kind, &request.numbers, ingest, answer);
        let response = match sent {
            Ok(response) => response,
            Err(error) => {
                answered(kind_of(&error));
                return Ok(false);
            }
        };
        let status = response.status().as_u16();
        if status == success {
            self.ledger.acknowledged(request.kind, &request.numbers, ingest);
            return Ok(true);
        }
        answered(&status.to_string());
        let text = response.text().await.unwrap_or_default();
        match status {
            // Who is told so may send it again under other ids, or under none.
            503 if text.contains(REFUSED) && !request.has_ids => {
                self.ledger.refused(request.kind, &request.numbers);
                Ok(false)
            }
            408 | 429 | 503 => Ok(false),
            _ => bail!("{url} answered {status}: {text}"),
        }
    }

    /// How many of each kind were acknowledged.
    pub fn acknowledged(&self) -> [u64; 3] {
        [Kind::Event, Kind::Page, Kind::Contribution]
            .map(|kind| self.ledger.reached(kind, Fate::Acknowledged))
    }
}

fn kind_of(error: &reqwest::Error) -> &'static str {
    if error.is_connect() {
        "no connection"
    } else if error.is_timeout() {
        "no answer in time"
    } else {
        "connection lost"
    }
}
