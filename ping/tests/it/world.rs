//! Instances of Tally under one held clock, over one directory and one store, and a receiver that fails on demand.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde_json::{Value, json};
use tally_directory::{Change, Directory};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_ping::{
    Answer, Generator, MemoryStorage, Outgoing, Parts, PayloadKind, Ping, PingConfig, SendError, Storage,
    StorageError, StoredPayload, Submission, Tick, Transport, WeeklySlot,
};
use tally_query::InstanceConfig;
use tally_query::service_ping::{Consent, MetricMetadata, Payload};
use tally_schemas::Framings;
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;
use tokio::sync::Notify;

/// The instance's UUID, with its slot on Wednesdays at 05:40.
pub const UUID: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

/// Where payloads go.
pub const RECEIVER: &str = "https://version.example.com";

/// How a request for a payload, or the making of one, goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The receiver answers with this status.
    Status(u16),
    /// The receiver answers 201 without a number.
    NoId,
    /// The connection is reset.
    Reset,
    /// The process dies before the request leaves it.
    CrashBeforeSending,
    /// The process dies when the receiver has taken the payload, before its answer is read.
    CrashAfterTaken,
    /// The full payload comes out empty.
    Blank,
    /// The store does not take the payload.
    StoreDown,
    /// The receiver takes the payload, and then the store goes away.
    StoreDownAfterTaken,
    /// The process dies while it computes payloads.
    CrashWhileComputing,
}

/// A request as the receiver saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Timestamp,
    pub path: String,
    pub body: Bytes,
}

/// All of it.
pub struct World {
    pub clock: Arc<HeldClock>,
    pub directory: Arc<Directory>,
    pub storage: Arc<FaultyStorage>,
    pub receiver: Arc<Receiver>,
    pub generator: Arc<FaultyGenerator>,
    pub faults: Arc<Faults>,
    pub config: PingConfig,
    pub instances: Vec<Ping>,
    /// The metrics of each process, in the order of their starts.
    pub registries: Mutex<Vec<Registry>>,
    log: Arc<EmbeddedLog>,
    processes: AtomicU64,
    _folder: tempfile::TempDir,
}

/// What goes wrong next, in this order; nothing once it is empty.
#[derive(Default)]
pub struct Faults {
    queue: Mutex<VecDeque<Fault>>,
    crash: Notify,
    pub store_is_down: AtomicBool,
}

impl Faults {
    pub fn plan(&self, faults: &[Fault]) {
        self.queue.lock().unwrap().extend(faults);
    }

    pub fn left(&self) -> usize {
        self.queue.lock().unwrap().len()
    }

    /// The next fault, if it is one of these.
    fn take(&self, one_of: &[Fault]) -> Option<Fault> {
        let mut queue = self.queue.lock().unwrap();
        let is_meant = queue.front().is_some_and(|next| {
            one_of.contains(next) || (matches!(next, Fault::Status(_)) && one_of.contains(&Fault::Status(0)))
        });
        if is_meant { queue.pop_front() } else { None }
    }

    /// The process ends here: nobody polls what called this again.
    async fn crash(&self) -> ! {
        self.crash.notify_one();
        std::future::pending().await
    }
}

/// A clock that a test moves.
pub struct HeldClock(AtomicI64);

impl HeldClock {
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millisecond(), Ordering::Relaxed);
    }

    pub fn advance(&self, by: SignedDuration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// Counts up in large steps, so that each process has another number.
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        bytes.iter_mut().zip(number.iter().cycle()).for_each(|(byte, random)| *byte = *random);
    }
}

/// Payloads that differ each time.
pub struct FaultyGenerator {
    faults: Arc<Faults>,
    pub made: AtomicUsize,
    pub consents: Mutex<Vec<Consent>>,
    /// Payloads don't say what categories they hold.
    pub is_silent: AtomicBool,
    /// What else happens when a full payload is made.
    pub on_full: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[async_trait]
impl Generator for FaultyGenerator {
    async fn generate(&self, kind: PayloadKind, recorded_at: Timestamp, consent: Consent) -> Payload {
        if kind == PayloadKind::Queries && self.faults.take(&[Fault::CrashWhileComputing]).is_some() {
            self.faults.crash().await;
        }
        self.consents.lock().unwrap().push(consent);
        let categories: &[&str] =
            if consent.include_optional_data { &["standard", "optional"] } else { &["standard"] };
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let mut payload = Payload {
            document:
                json!({"recorded_at": recorded_at, "uuid": UUID, "kind": kind.as_str(), "number": number,
                    "settings": {"collected_data_categories": categories}})
                .as_object()
                .unwrap()
                .clone(),
            metadata: vec![MetricMetadata { name: "number".to_owned(), time_elapsed: 0.25, error: None }],
            queries: 0,
        };
        if self.is_silent.load(Ordering::Relaxed) {
            payload.document.remove("settings");
        }
        if kind == PayloadKind::Full
            && let Some(happen) = self.on_full.lock().unwrap().take()
        {
            happen();
        }
        if kind == PayloadKind::Full && self.faults.take(&[Fault::Blank]).is_some() {
            payload.document.clear();
        }
        payload
    }

    async fn explain(&self, key_path: &str, _: Timestamp, _: Consent) -> Option<String> {
        (key_path == "number").then(|| "counted up".to_owned())
    }
}

/// A store in memory that can be down.
pub struct FaultyStorage {
    faults: Arc<Faults>,
    pub memory: MemoryStorage,
}

impl FaultyStorage {
    fn check(&self) -> Result<(), StorageError> {
        let is_down = self.faults.store_is_down.load(Ordering::Relaxed);
        if is_down { Err(StorageError("down".to_owned())) } else { Ok(()) }
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    async fn put_payload(&self, payload: &StoredPayload) -> Result<(), StorageError> {
        self.check()?;
        if payload.kind == PayloadKind::Full && self.faults.take(&[Fault::StoreDown]).is_some() {
            return Err(StorageError("down".to_owned()));
        }
        self.memory.put_payload(payload).await
    }

    async fn payload(
        &self,
        recorded_at: Timestamp,
        kind: PayloadKind,
    ) -> Result<Option<StoredPayload>, StorageError> {
        self.check()?;
        self.memory.payload(recorded_at, kind).await
    }

    async fn latest(
        &self,
        kind: PayloadKind,
        since: Timestamp,
    ) -> Result<Option<StoredPayload>, StorageError> {
        self.check()?;
        self.memory.latest(kind, since).await
    }

    async fn put_submission(&self, submission: &Submission) -> Result<(), StorageError> {
        self.check()?;
        self.memory.put_submission(submission).await
    }

    async fn submissions(&self, recorded_at: Timestamp) -> Result<Vec<Submission>, StorageError> {
        self.check()?;
        self.memory.submissions(recorded_at).await
    }

    async fn recent_submissions(&self, limit: usize) -> Result<Vec<Submission>, StorageError> {
        self.check()?;
        self.memory.recent_submissions(limit).await
    }
}

/// The other end. The same payload again has the same number, as at a real receiver.
pub struct Receiver {
    clock: Arc<HeldClock>,
    faults: Arc<Faults>,
    pub seen: Mutex<Vec<Seen>>,
    numbers: Mutex<BTreeMap<Bytes, u64>>,
    /// What else happens when it takes a payload.
    pub on_taken: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Receiver {
    /// The requests at this path, in their order.
    pub fn at(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// How many different payloads were taken.
    pub fn taken(&self) -> usize {
        self.numbers.lock().unwrap().len()
    }

    fn note(&self, path: &str, body: &Bytes) {
        let at = self.clock.now();
        self.seen.lock().unwrap().push(Seen { at, path: path.to_owned(), body: body.clone() });
    }

    fn take(&self, body: &Bytes) -> Answer {
        if let Some(happen) = self.on_taken.lock().unwrap().take() {
            happen();
        }
        let mut numbers = self.numbers.lock().unwrap();
        let next = numbers.len() as u64 + 1;
        let number = *numbers.entry(body.clone()).or_insert(next);
        answer(
            201,
            &json!({"dev_ops_score": {"usage_data_id": number, "leader_issues": 9.5, "instance_issues": 1.5,
            "percentage_issues": 15.8}}),
        )
    }
}

fn answer(status: u16, body: &Value) -> Answer {
    Answer { status, body: Bytes::from(body.to_string()) }
}

#[async_trait]
impl Transport for Receiver {
    async fn send(&self, request: Outgoing) -> Result<Answer, SendError> {
        let path = request.url.strip_prefix(RECEIVER).unwrap().to_owned();
        let Some(body) = request.body else {
            self.note(&path, &Bytes::from(request.referer.unwrap_or_default()));
            let status = json!({"latest_stable_versions": ["1.2.4"], "latest_version": "1.2.4", "severity": "warning",
                "critical_vulnerability": false, "details": ""});
            return Ok(answer(200, &status));
        };
        if path != "/usage_data" {
            self.note(&path, &body);
            return Ok(answer(201, &json!({})));
        }
        let at_the_receiver = [
            Fault::Status(0),
            Fault::NoId,
            Fault::Reset,
            Fault::CrashBeforeSending,
            Fault::CrashAfterTaken,
            Fault::StoreDownAfterTaken,
        ];
        let fault = self.faults.take(&at_the_receiver);
        if fault == Some(Fault::CrashBeforeSending) {
            self.faults.crash().await;
        }
        self.note(&path, &body);
        match fault {
            Some(Fault::Status(status)) => Ok(answer(status, &json!({"conv_index": {"usage_data_id": 1}}))),
            Some(Fault::NoId) => Ok(answer(201, &json!({"dev_ops_score": {}}))),
            Some(Fault::Reset) => Err(SendError::Unreachable("connection reset".to_owned())),
            Some(Fault::CrashAfterTaken) => {
                self.take(&body);
                self.faults.crash().await
            }
            Some(Fault::StoreDownAfterTaken) => {
                self.faults.store_is_down.store(true, Ordering::Relaxed);
                Ok(self.take(&body))
            }
            _ => Ok(self.take(&body)),
        }
    }
}

impl World {
    /// So many instances, with the clock at `now`.
    pub fn new(instances: usize, now: Timestamp) -> Self {
        let config = PingConfig { base_url: format!("{RECEIVER}/"), splay_s: 0, ..PingConfig::default() };
        Self::configured(config, instances, now)
    }

    pub fn configured(config: PingConfig, instances: usize, now: Timestamp) -> Self {
        Self::over(Directory::in_memory(), config, instances, now)
    }

    /// On a directory of the test's own.
    pub fn over(directory: Directory, config: PingConfig, instances: usize, now: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
        let clock = Arc::new(HeldClock(AtomicI64::new(now.as_millisecond())));
        let faults = Arc::new(Faults::default());
        let mut world = Self {
            directory: Arc::new(directory),
            storage: Arc::new(FaultyStorage {
                faults: Arc::clone(&faults),
                memory: MemoryStorage::default(),
            }),
            receiver: Arc::new(Receiver {
                clock: Arc::clone(&clock),
                faults: Arc::clone(&faults),
                seen: Mutex::default(),
                numbers: Mutex::default(),
                on_taken: Mutex::default(),
            }),
            generator: Arc::new(FaultyGenerator {
                faults: Arc::clone(&faults),
                made: AtomicUsize::new(0),
                consents: Mutex::default(),
                is_silent: AtomicBool::default(),
                on_full: Mutex::default(),
            }),
            clock,
            faults,
            config,
            instances: Vec::new(),
            registries: Mutex::default(),
            log: Arc::new(log),
            processes: AtomicU64::new(1),
            _folder: folder,
        };
        for _ in 0..instances {
            world.instances.push(world.process());
        }
        world
    }

    /// Another process.
    pub fn process(&self) -> Ping {
        let registry = Registry::new();
        self.registries.lock().unwrap().push(registry.clone());
        let parts = Parts {
            generator: Arc::clone(&self.generator) as Arc<dyn Generator>,
            storage: Arc::clone(&self.storage) as Arc<dyn Storage>,
            transport: Arc::clone(&self.receiver) as Arc<dyn Transport>,
            directory: Arc::clone(&self.directory),
            log: Arc::clone(&self.log) as _,
            framings: Framings::default(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            randomness: Arc::new(Counting(AtomicU64::new(
                self.processes.fetch_add(1, Ordering::Relaxed) << 32,
            ))),
            instance: InstanceConfig {
                uuid: UUID.to_owned(),
                hostname: "tally.example.com".to_owned(),
                version: "1.2.3".to_owned(),
                ..InstanceConfig::default()
            },
            registry,
        };
        Ping::assemble(self.config.clone(), parts).unwrap()
    }

    /// One look at the schedule by an instance. `None`: it crashed, and another process has taken its place.
    pub async fn tick(&mut self, instance: usize) -> Option<Tick> {
        let ping = self.instances[instance].clone();
        let faults = Arc::clone(&self.faults);
        tokio::select! {
            biased;
            () = faults.crash.notified() => {}
            tick = ping.tick() => return Some(tick.unwrap()),
        }
        self.instances[instance] = self.process();
        None
    }

    /// Ticks each instance at every `step` until `until`; what came of it but for idleness, with its time.
    pub async fn run_until(
        &mut self,
        until: Timestamp,
        step: SignedDuration,
    ) -> Vec<(Timestamp, Option<Tick>)> {
        let mut ticks = Vec::new();
        loop {
            let now = self.clock.now();
            for instance in 0..self.instances.len() {
                let tick = self.tick(instance).await;
                if tick != Some(Tick::Idle) {
                    ticks.push((now, tick));
                }
            }
            if now + step > until {
                return ticks;
            }
            self.clock.advance(step);
        }
    }

    /// Writes a setting past all rules.
    pub async fn set(&self, name: &str, value: impl Into<Value>) {
        set(&self.directory, self.clock.now(), name, value.into()).await;
    }

    /// Writes a setting past all rules, without waiting; on a directory in memory.
    pub fn setting(&self, name: &'static str, value: impl Into<Value>) -> Box<dyn FnOnce() + Send> {
        let (directory, now, value) = (Arc::clone(&self.directory), self.clock.now(), value.into());
        Box::new(move || set(&directory, now, name, value).now_or_never().unwrap())
    }

    pub fn slot() -> WeeklySlot {
        WeeklySlot::of(UUID)
    }
}

async fn set(directory: &Directory, now: Timestamp, name: &str, value: Value) {
    let change = Change::Setting { name: name.to_owned(), value };
    let decided = directory.transact(now, |_| Ok::<_, std::convert::Infallible>(((), vec![change.clone()])));
    decided.await.unwrap();
}

/// Every so many minutes.
pub const STEP: SignedDuration = SignedDuration::from_mins(10);

/// A Monday, two days before a slot.
pub fn start() -> Timestamp {
    "2026-11-16T00:00:00Z".parse().unwrap()
}

pub fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}
