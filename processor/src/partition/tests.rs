//! The protocol against a log and a store that write down, in one journal, what reaches them in which order, and that fail
//! when told to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use parking_lot::Mutex;
use prometheus::Registry;
use tally_eventlog::{FetchLimits, LogRecord};
use tally_service::clock::system_clock;
use tally_store::StoreConfig;
use tokio::sync::Notify;

use super::*;
use crate::fold::{Fold, Folded, RawTable, TableInsert};
use crate::repetitions::{ClientId, Doubts, IdTable};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Commit(Position),
    Insert { token: String, body: String, answered: u16 },
}

/// The journal, and what the store is to answer next; 200 when nothing is said.
#[derive(Default)]
struct World {
    journal: Mutex<Vec<Entry>>,
    answers: Mutex<VecDeque<u16>>,
    /// What it says when it is not 200.
    excuse: Mutex<&'static str>,
    changed: Notify,
    /// Records that were fetched.
    fetched: AtomicU64,
}

impl World {
    fn write(&self, entry: Entry) {
        self.journal.lock().push(entry);
        self.changed.notify_waiters();
    }

    fn commits(&self) -> Vec<Position> {
        let journal = self.journal.lock();
        journal
            .iter()
            .filter_map(
                |entry| if let Entry::Commit(position) = entry { Some(position.clone()) } else { None },
            )
            .collect()
    }

    async fn wait_for(&self, done: impl Fn(&[Entry]) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if done(&self.journal.lock()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting)
            .await
            .unwrap_or_else(|_| panic!("not within 10 s; the journal: {:?}", self.journal.lock()));
    }
}

/// A partition of fixed records.
struct FakeReader {
    world: Arc<World>,
    /// Older records are gone.
    low: u64,
    end: u64,
    next: u64,
    revoked: CancellationToken,
}

#[async_trait]
impl PartitionReader for FakeReader {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        if self.next < self.low {
            let (requested, low, high) = (self.next, self.low, self.end);
            return Err(LogError::OffsetOutOfRange { partition: 7, requested, low, high });
        }
        if self.next >= self.end {
            tokio::select! {
                () = tokio::time::sleep(limits.max_wait.min(Duration::from_millis(5))) => return Ok(Vec::new()),
                () = self.revoked.cancelled() => return Err(LogError::Revoked),
            }
        }
        let end = self.end.min(self.next + limits.max_records as u64);
        let records = (self.next..end).map(record).collect();
        self.world.fetched.fetch_add(end - self.next, Ordering::Relaxed);
        self.next = end;
        Ok(records)
    }

    async fn seek(&mut self, offset: u64) -> Result<(), LogError> {
        self.next = offset;
        Ok(())
    }

    async fn commit(&mut self, position: &Position) -> Result<(), CommitError> {
        if self.revoked.is_cancelled() {
            return Err(CommitError::Revoked);
        }
        self.world.write(Entry::Commit(position.clone()));
        // A real commit waits for the log; without it a busy loop would starve the test.
        tokio::task::yield_now().await;
        Ok(())
    }

    fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    fn high_watermark(&self) -> Option<u64> {
        Some(self.end)
    }
}

fn record(offset: u64) -> LogRecord {
    LogRecord { offset, timestamp: 0, key: None, value: format!("<{offset}>").into() }
}

/// Folds a batch into one row of one table: its records' values, one after the other.
struct Concatenate;

struct Concatenated(String);

impl Folder for Concatenate {
    fn topic(&self) -> &'static str {
        "topic"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["t"]
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        &[RawTable { name: "t", of_topic: None, has_timestamp: false }]
    }

    fn start(&self, _partition: u32) -> Box<dyn Fold> {
        Box::new(Concatenated(String::new()))
    }
}

impl Fold for Concatenated {
    fn add(&mut self, record: &LogRecord) {
        self.0.push_str(std::str::from_utf8(&record.value).unwrap());
    }

    fn finish(self: Box<Self>) -> Folded {
        let insert =
            TableInsert { table: "t", columns: &["c"], month: 202_611, body: self.0.into(), rows: 1 };
        Folded { inserts: vec![insert], ..Folded::default() }
    }
}

async fn answer(
    State(world): State<Arc<World>>,
    Query(parameters): Query<std::collections::HashMap<String, String>>,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let answered = world.answers.lock().pop_front().unwrap_or(200);
    let token = parameters.get("insert_deduplication_token").cloned().unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    world.write(Entry::Insert { token, body, answered });
    let text = if answered == 200 { "" } else { *world.excuse.lock() };
    (StatusCode::from_u16(answered).unwrap(), text)
}

/// Like [`Concatenate`], with a doubt about the record at offset 3.
struct Doubt;

struct Doubting(Concatenated, Vec<ClientId>);

impl Folder for Doubt {
    fn topic(&self) -> &'static str {
        Concatenate.topic()
    }

    fn tables(&self) -> &'static [&'static str] {
        Concatenate.tables()
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        Concatenate.raw_tables()
    }

    fn start(&self, _partition: u32) -> Box<dyn Fold> {
        Box::new(Doubting(Concatenated(String::new()), Vec::new()))
    }
}

impl Fold for Doubting {
    fn add(&mut self, record: &LogRecord) {
        self.0.add(record);
        if record.offset == 3 {
            let event_id = uuid::Uuid::from_u128(3);
            self.1.push(ClientId { project_id: 1, event_id, received_at: 0, offset: 3 });
        }
    }

    fn doubts(&self) -> Option<Doubts> {
        let table = IdTable { name: "page_event_ids", by_project: true };
        (!self.1.is_empty()).then(|| Doubts::new(table, self.1.clone()))
    }

    fn finish(self: Box<Self>) -> Folded {
        Box::new(self.0).finish()
    }
}

/// Small batches, and no pause after an outage.
pub fn config() -> ProcessorConfig {
    ProcessorConfig {
        group: "g".into(),
        batch_max_records: 3,
        batch_max_bytes: 1 << 20,
        batch_max_wait_ms: 20,
        batch_interval_ms: 0,
        announcement_ttl_s: 60,
        outage_pause_s: 0,
        stall_timeout_s: 60,
        id_filter_bytes: crate::IdFilterBytes {
            events: 1 << 16,
            page_events: 1 << 16,
            contributions: 1 << 16,
        },
        min_deduplication_window: 0,
    }
}

/// A world with its store, and the context to work in.
async fn world_with(change: impl FnOnce(&mut ProcessorConfig)) -> (Arc<World>, TopicContext) {
    let world = Arc::new(World::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&world));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut config = config();
    change(&mut config);
    let context = TopicContext {
        config,
        folder: Arc::new(Concatenate),
        store: Store::new(StoreConfig { tries: 1, ..StoreConfig::new(url) }),
        metrics: Metrics::register(&Registry::new()).unwrap(),
        clock: system_clock(),
        shutdown: CancellationToken::new(),
    };
    (world, context)
}

fn assignment(world: &Arc<World>, position: Position, end: u64) -> (Assignment, CancellationToken) {
    assignment_from(world, position, 0, end)
}

fn assignment_from(
    world: &Arc<World>,
    position: Position,
    low: u64,
    end: u64,
) -> (Assignment, CancellationToken) {
    let revoked = CancellationToken::new();
    let reader = FakeReader {
        world: Arc::clone(world),
        low,
        end,
        next: position.next_offset,
        revoked: revoked.clone(),
    };
    (Assignment { partition: 7, position, reader: Box::new(reader) }, revoked)
}

fn pending(next_offset: u64, range: Range<u64>) -> Entry {
    Entry::Commit(Position::pending(next_offset, range))
}

fn insert(range: Range<u64>, answered: u16) -> Entry {
    let values: Vec<String> = range.clone().map(|offset| format!("<{offset}>")).collect();
    let body = values.concat();
    let hash = xxhash_rust::xxh3::xxh3_64(body.as_bytes());
    let token = format!("topic:7:{}-{}:{hash:016x}:202611", range.start, range.end);
    Entry::Insert { token, body, answered }
}

#[tokio::test]
async fn a_range_is_announced_then_inserted_then_done() {
    let (world, context) = world_with(|_| {}).await;
    let (assignment, revoked) = assignment(&world, Position::at(0), 5);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.last() == Some(&Entry::Commit(Position::at(5)))).await;
    revoked.cancel();
    assert!(matches!(working.await.unwrap(), Err(PartitionError::TakenAway)));
    let expected = [
        pending(0, 0..3),
        insert(0..3, 200),
        pending(3, 3..5),
        insert(3..5, 200),
        Entry::Commit(Position::at(5)),
    ];
    assert_eq!(*world.journal.lock(), expected);
}

#[tokio::test]
async fn the_store_is_asked_about_doubts_when_all_before_is_written_and_nothing_is_announced_until_it_answers()
 {
    let (world, mut context) = world_with(|_| {}).await;
    context.folder = Arc::new(Doubt);
    // The first insert fails, and so does the question.
    world.answers.lock().extend([503, 503, 200, 503]);
    let (assignment, _revoked) = assignment(&world, Position::at(0), 5);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    let is_question = |entry: &Entry| matches!(entry, Entry::Insert { token, .. } if token.is_empty());
    world.wait_for(|journal| journal.iter().filter(|entry| is_question(entry)).count() > 1).await;
    working.abort();
    let journal = world.journal.lock();
    assert_eq!(journal[..4], [pending(0, 0..3), insert(0..3, 503), insert(0..3, 503), insert(0..3, 200)]);
    assert!(journal[4..].iter().all(is_question), "{journal:?}");
}

#[tokio::test]
async fn a_pending_range_is_replayed_with_its_own_boundaries_first() {
    let (world, context) = world_with(|_| {}).await;
    let found = Position::pending(1, 1..6);
    let (assignment, _revoked) = assignment(&world, found, 8);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.last() == Some(&Entry::Commit(Position::at(8)))).await;
    working.abort();
    // The range is longer than a batch would be now: boundaries come from the announcement, not from the settings.
    assert_eq!(
        world.journal.lock()[..4],
        [pending(1, 1..6), insert(1..6, 200), pending(6, 6..8), insert(6..8, 200)]
    );
}

#[tokio::test]
async fn an_outage_is_waited_out_with_the_same_bytes_and_token() {
    let (world, context) = world_with(|_| {}).await;
    let metrics = context.metrics.clone();
    world.answers.lock().extend([500, 500]);
    let (assignment, _revoked) = assignment(&world, Position::at(0), 3);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.last() == Some(&Entry::Commit(Position::at(3)))).await;
    working.abort();
    assert_eq!(metrics.store_outages.get(), 2);
    let expected = [
        pending(0, 0..3),
        insert(0..3, 500),
        insert(0..3, 500),
        insert(0..3, 200),
        Entry::Commit(Position::at(3)),
    ];
    assert_eq!(*world.journal.lock(), expected);
}

#[tokio::test]
async fn an_announcement_that_has_grown_old_is_made_again_before_the_next_insert() {
    let (world, context) = world_with(|config| config.announcement_ttl_s = 0).await;
    let (assignment, _revoked) = assignment(&world, Position::at(0), 3);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.len() >= 4).await;
    working.abort();
    // With no life at all an announcement is always too old: it is made again and again, and nothing is inserted.
    assert!(world.journal.lock().iter().all(|entry| *entry == pending(0, 0..3)));
}

#[tokio::test]
async fn a_partition_taken_away_during_an_outage_is_left_pending() {
    let (world, context) = world_with(|config| config.outage_pause_s = 3600).await;
    world.answers.lock().push_back(500);
    let (assignment, revoked) = assignment(&world, Position::at(0), 3);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.contains(&insert(0..3, 500))).await;
    revoked.cancel();
    assert!(matches!(working.await.unwrap(), Err(PartitionError::TakenAway)));
    assert_eq!(world.commits(), [Position::pending(0, 0..3)]);
}

#[tokio::test]
async fn shutdown_finishes_the_announced_batch() {
    let (world, context) = world_with(|config| config.batch_max_records = 1).await;
    let shutdown = context.shutdown.clone();
    let (assignment, _revoked) = assignment(&world, Position::at(0), 1000);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.iter().any(|entry| matches!(entry, Entry::Insert { .. }))).await;
    shutdown.cancel();
    working.await.unwrap().unwrap();
    let last = world.commits().pop().unwrap();
    assert_eq!(last.pending, None, "nothing is left pending");
    assert!(last.next_offset < 1000, "shutdown does not wait for the whole backlog");
}

#[tokio::test]
async fn records_that_expired_before_they_were_counted_are_skipped_and_said() {
    let (world, context) = world_with(|_| {}).await;
    let metrics = context.metrics.clone();
    let (assignment, _revoked) = assignment_from(&world, Position::at(0), 4, 6);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.last() == Some(&Entry::Commit(Position::at(6)))).await;
    working.abort();
    let expected =
        [Entry::Commit(Position::at(4)), pending(4, 4..6), insert(4..6, 200), Entry::Commit(Position::at(6))];
    assert_eq!(*world.journal.lock(), expected);
    assert_eq!(metrics.dropped(DropReason::Expired), 4);
}

#[tokio::test]
async fn a_pending_range_that_expired_in_part_is_not_written_again() {
    let (world, context) = world_with(|_| {}).await;
    let found = Position::pending(1, 1..6);
    let (assignment, _revoked) = assignment_from(&world, found, 3, 8);
    let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
    world.wait_for(|journal| journal.last() == Some(&Entry::Commit(Position::at(8)))).await;
    working.abort();
    assert_eq!(
        world.journal.lock()[..3],
        [Entry::Commit(Position::at(6)), pending(6, 6..8), insert(6..8, 200)]
    );
}

#[tokio::test]
async fn whatever_ails_the_store_is_waited_out_and_what_is_read_meanwhile_is_bounded() {
    let ailments = [
        "Code: 252. DB::Exception: Too many parts (3001). Merges are slower than inserts. (TOO_MANY_PARTS)",
        "Code: 241. DB::Exception: (total) memory limit exceeded: would use 2.01 GiB. (MEMORY_LIMIT_EXCEEDED)",
        "Code: 242. DB::Exception: Table is in readonly mode (TABLE_IS_READ_ONLY)",
        "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)",
        "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)",
        "Code: 159. DB::Exception: Timeout exceeded (TIMEOUT_EXCEEDED)",
        "Code: 60. DB::Exception: Table tally.t does not exist. (UNKNOWN_TABLE)",
        "Code: 516. DB::Exception: Authentication failed (AUTHENTICATION_FAILED)",
        "",
    ];
    for ailment in ailments {
        let (world, context) = world_with(|_| {}).await;
        *world.excuse.lock() = ailment;
        world.answers.lock().extend([503; 6]);
        let (assignment, _revoked) = assignment(&world, Position::at(0), 3_000);
        let working = tokio::spawn(work(PartitionContext::new(&context, 7), assignment));
        world.wait_for(|journal| journal.contains(&insert(0..3, 200))).await;
        let fetched = world.fetched.load(Ordering::Relaxed);
        assert!(fetched <= 9, "{fetched} records were read while the store was away: {ailment}");
        assert_eq!(
            world.journal.lock()[1..8],
            [vec![insert(0..3, 503); 6], vec![insert(0..3, 200)]].concat()
        );
        working.abort();
    }
}

/// A record at every fetch, some milliseconds apart, for ever.
struct Trickle {
    next: u64,
    revoked: CancellationToken,
}

#[async_trait]
impl PartitionReader for Trickle {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        tokio::time::sleep(limits.max_wait.min(Duration::from_millis(5))).await;
        self.next += 1;
        Ok(vec![record(self.next - 1)])
    }

    async fn seek(&mut self, _offset: u64) -> Result<(), LogError> {
        Ok(())
    }

    async fn commit(&mut self, _position: &Position) -> Result<(), CommitError> {
        Ok(())
    }

    fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    fn high_watermark(&self) -> Option<u64> {
        None
    }
}

#[tokio::test]
async fn while_records_keep_coming_batches_close_an_interval_apart_and_at_once_after_a_quiet_moment() {
    let config = ProcessorConfig { batch_max_records: 10_000, batch_max_wait_ms: 10, ..config() };
    let mut reader = Trickle { next: 0, revoked: CancellationToken::new() };
    let mut closed_after = async |earliest: Instant| {
        let began = Instant::now();
        let collected =
            Collector::new(&Concatenate, 7).collect(&mut reader, &config, earliest).await.unwrap();
        assert!(collected.is_some());
        began.elapsed()
    };
    let interval = Duration::from_secs(2);
    assert!(closed_after(Instant::now()).await < interval / 2);
    assert!(closed_after(Instant::now() + interval).await >= interval);
}
