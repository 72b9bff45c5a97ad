//! The protocol with a fault at each of its steps, one after the other: whoever works on the partition dies, loses it, or is
//! frozen while somebody else does the work. The store is a small one of its own that knows tokens, refuses some rows, and may
//! change its mind about them. However it goes, each record is in every table once, or is one dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use parking_lot::Mutex;
use prometheus::Registry;
use tally_eventlog::{CommitError, FetchLimits, LogRecord, PartitionReader};
use tally_service::clock::system_clock;
use tally_store::StoreConfig;
use tokio::sync::Notify;

use super::*;
use crate::fold::{Fold, Folded, RawTable, TableInsert, dead_letters};

/// What happens to whoever takes the step that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It dies; what it asked for is done.
    DiesAfter,
    /// It dies; what it asked for is not done.
    DiesBefore,
    /// It loses the partition while it waits for the answer.
    Loses,
    /// It is frozen before what it asks for is done, until another one has done all the work.
    Freezes,
}

/// Which records the store refuses, by table.
type Refusals = BTreeMap<&'static str, BTreeSet<u64>>;

struct World {
    /// Record number n is at n times this.
    spacing: u64,
    records: u64,
    position: Mutex<Position>,
    /// Whose commits count: the reader that was made last.
    generation: Mutex<u64>,
    tables: Mutex<BTreeMap<String, Vec<u64>>>,
    tokens: Mutex<BTreeSet<(String, String)>>,
    refusals: Mutex<Refusals>,
    steps: Mutex<u64>,
    fault: Mutex<Option<(u64, Fault)>>,
    struck: Notify,
    thawed: CancellationToken,
}

impl World {
    fn new(records: u64, spacing: u64, refusals: &Refusals) -> Self {
        Self {
            spacing,
            records,
            position: Mutex::default(),
            generation: Mutex::default(),
            tables: Mutex::default(),
            tokens: Mutex::default(),
            refusals: Mutex::new(refusals.clone()),
            steps: Mutex::default(),
            fault: Mutex::default(),
            struck: Notify::new(),
            thawed: CancellationToken::new(),
        }
    }

    /// The offset that follows the last record.
    fn end(&self) -> u64 {
        (self.records - 1) * self.spacing + 1
    }

    fn offsets(&self) -> impl Iterator<Item = u64> + use<> {
        let spacing = self.spacing;
        (0..self.records).map(move |number| number * spacing)
    }

    /// Takes a step: whether what it is about may be done. A fault keeps it from ever being answered.
    async fn step<T>(&self, act: impl FnOnce() -> T) -> T {
        let number = {
            let mut steps = self.steps.lock();
            *steps += 1;
            *steps
        };
        let fault = self.fault.lock().filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        let Some(fault) = fault else { return act() };
        *self.fault.lock() = None;
        if fault == Fault::DiesAfter {
            act();
            self.struck.notify_one();
            return std::future::pending().await;
        }
        self.struck.notify_one();
        if fault == Fault::Freezes {
            self.thawed.cancelled().await;
            return act();
        }
        std::future::pending().await
    }

    fn insert(&self, table: &str, token: String, rows: &[u64]) -> StatusCode {
        let refusals = self.refusals.lock();
        let original = table.rsplit('_').next().unwrap_or(table);
        if refusals.get(original).is_some_and(|refused| rows.iter().any(|row| refused.contains(row))) {
            return StatusCode::BAD_REQUEST;
        }
        let is_new = token.is_empty() || self.tokens.lock().insert((table.to_owned(), token));
        if is_new && !table.starts_with("probe") {
            self.tables.lock().entry(table.to_owned()).or_default().extend(rows);
        }
        StatusCode::OK
    }

    /// The offsets in a table, one for each row.
    fn rows(&self, table: &str) -> Vec<u64> {
        let mut rows = self.tables.lock().get(table).cloned().unwrap_or_default();
        rows.sort_unstable();
        rows
    }

    fn run(&self, sql: &str) -> Vec<u8> {
        let word = |number: usize| sql.split(' ').nth(number).unwrap_or_default().to_owned();
        if sql.starts_with("SELECT count()") {
            let count = self.rows(&word(3)).iter().filter(|row| names(sql, **row)).count() as u64;
            return answer_of(count);
        }
        if sql.starts_with("ALTER TABLE") {
            self.tables.lock().entry(word(2)).or_default().retain(|row| !names(sql, *row));
        }
        Vec::new()
    }
}

/// `RowBinaryWithNamesAndTypes` of one number.
fn answer_of(number: u64) -> Vec<u8> {
    [b"\x01\x07count()\x06UInt64".as_slice(), &number.to_le_bytes()].concat()
}

/// Whether a condition names an offset: `offset IN (…)`, or from one to another.
fn names(sql: &str, offset: u64) -> bool {
    let number = |text: &str| text.split(' ').next().and_then(|word| word.parse::<u64>().ok());
    if let Some((_, list)) = sql.split_once("offset IN (") {
        let list = list.split(')').next().unwrap_or_default();
        return list.split(", ").any(|item| number(item) == Some(offset));
    }
    let after = |words: &str| number(sql.split_once(words)?.1);
    (after("offset >= ").unwrap()..after("offset < ").unwrap()).contains(&offset)
}

async fn serve(
    State(world): State<Arc<World>>,
    Query(parameters): Query<std::collections::HashMap<String, String>>,
    body: Bytes,
) -> (StatusCode, Vec<u8>) {
    let query = parameters.get("query").cloned().unwrap_or_default();
    let handled = async move {
        let Some((_, rest)) = query.split_once("INSERT INTO `") else {
            let sql = String::from_utf8_lossy(&body).into_owned();
            return world.step(|| (StatusCode::OK, world.run(&sql))).await;
        };
        let table = rest.split('`').next().unwrap_or_default();
        let token = parameters.get("insert_deduplication_token").cloned().unwrap_or_default();
        let rows = offsets_in(&body);
        let status = world.step(|| world.insert(table, token, &rows)).await;
        let refused = b"Code: 469. DB::Exception: Constraint is violated (VIOLATED_CONSTRAINT)";
        (status, if status == StatusCode::OK { Vec::new() } else { refused.to_vec() })
    };
    // What was asked for is done even when nobody waits for the answer any more.
    tokio::spawn(handled).await.unwrap()
}

/// The numbers in `<…>`.
fn offsets_in(body: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(body);
    text.split('<').skip(1).filter_map(|part| part.split_once('>')?.0.parse().ok()).collect()
}

struct FakeReader {
    world: Arc<World>,
    generation: u64,
    next: u64,
    revoked: CancellationToken,
}

#[async_trait]
impl PartitionReader for FakeReader {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        let (world, next) = (&self.world, self.next);
        let coming = world.offsets().filter(|offset| *offset >= next);
        let records: Vec<LogRecord> = coming.take(limits.max_records).map(record).collect();
        if let Some(last) = records.last() {
            self.next = last.offset + 1;
            return Ok(records);
        }
        tokio::select! {
            () = tokio::time::sleep(limits.max_wait.min(Duration::from_millis(1))) => Ok(Vec::new()),
            () = self.revoked.cancelled() => Err(LogError::Revoked),
        }
    }

    async fn seek(&mut self, offset: u64) -> Result<(), LogError> {
        self.next = offset;
        Ok(())
    }

    async fn commit(&mut self, position: &Position) -> Result<(), CommitError> {
        if self.revoked.is_cancelled() {
            return Err(CommitError::Revoked);
        }
        let commit = || {
            if self.generation < *self.world.generation.lock() {
                return Err(CommitError::Fenced);
            }
            *self.world.position.lock() = position.clone();
            Ok(())
        };
        tokio::select! {
            committed = self.world.step(commit) => committed,
            () = self.revoked.cancelled() => Err(CommitError::Revoked),
        }
    }

    fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    fn high_watermark(&self) -> Option<u64> {
        Some(self.world.end())
    }
}

fn record(offset: u64) -> LogRecord {
    LogRecord { offset, timestamp: 0, key: None, value: format!("<{offset}>").into() }
}

/// Each record is a row of both raw tables and of one that is derived.
struct Copies;

struct Copied(String);

impl Folder for Copies {
    fn topic(&self) -> &'static str {
        "topic"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["first", "second", "derived", dead_letters::TABLE]
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        &[
            RawTable { name: "first", of_topic: Some("true"), has_timestamp: true },
            RawTable { name: "second", of_topic: Some("true"), has_timestamp: true },
            dead_letters::RAW,
        ]
    }

    fn start(&self, _partition: u32) -> Box<dyn Fold> {
        Box::new(Copied(String::new()))
    }
}

impl Fold for Copied {
    fn add(&mut self, record: &LogRecord) {
        self.0.push_str(std::str::from_utf8(&record.value).unwrap());
    }

    fn finish(self: Box<Self>) -> Folded {
        let body: Bytes = self.0.into();
        let of = |table| TableInsert { table, columns: &["c"], month: 202_611, body: body.clone(), rows: 1 };
        let tables = if body.is_empty() { vec![] } else { vec!["derived", "first", "second"] };
        Folded { inserts: tables.into_iter().map(of).collect(), ..Folded::default() }
    }
}

struct Run {
    world: Arc<World>,
    context: TopicContext,
}

impl Run {
    async fn new(world: World, batch_max_records: usize) -> Self {
        let world = Arc::new(world);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve).with_state(Arc::clone(&world));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let context = TopicContext {
            config: ProcessorConfig { batch_max_records, ..tests::config() },
            folder: Arc::new(Copies),
            store: Store::new(StoreConfig { tries: 1, ..StoreConfig::new(url) }),
            metrics: Metrics::register(&Registry::new()).unwrap(),
            clock: system_clock(),
            shutdown: CancellationToken::new(),
        };
        Self { world, context }
    }

    /// Somebody new works on the partition; those before can't commit any more.
    fn begin(&self) -> (tokio::task::JoinHandle<Result<(), PartitionError>>, CancellationToken) {
        let generation = {
            let mut generation = self.world.generation.lock();
            *generation += 1;
            *generation
        };
        let position = self.world.position.lock().clone();
        let revoked = CancellationToken::new();
        let (world, next) = (Arc::clone(&self.world), position.next_offset);
        let reader = FakeReader { world, generation, next, revoked: revoked.clone() };
        let assignment = Assignment { partition: 7, position, reader: Box::new(reader) };
        (tokio::spawn(work(PartitionContext::new(&self.context, 7), assignment)), revoked)
    }

    async fn wait_for_the_end(&self) {
        let waiting = async {
            while *self.world.position.lock() != Position::at(self.world.end()) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), waiting)
            .await
            .unwrap_or_else(|_| panic!("not done within a minute: {:?}", self.world.position.lock()));
    }

    /// Works with that fault at that step, and then with another worker without one. `false`: it ended before that step.
    async fn with_fault(&self, step: u64, fault: Fault, refusals_afterwards: &Refusals) -> bool {
        *self.world.fault.lock() = Some((step, fault));
        let (mut first, revoked) = self.begin();
        let has_struck = tokio::select! {
            () = self.world.struck.notified() => true,
            () = self.wait_for_the_end() => false,
            ended = &mut first => panic!("ended early: {ended:?}"),
        };
        if has_struck && fault == Fault::Loses {
            revoked.cancel();
            let ended = tokio::time::timeout(Duration::from_secs(5), &mut first).await;
            assert!(matches!(ended.unwrap().unwrap(), Err(PartitionError::TakenAway)));
        }
        if fault != Fault::Freezes {
            first.abort();
        }
        *self.world.refusals.lock() = refusals_afterwards.clone();
        let (second, _revoked) = self.begin();
        self.wait_for_the_end().await;
        if fault == Fault::Freezes {
            self.world.thawed.cancel();
            if has_struck {
                // Its next commit tells it; until then it may do what it likes.
                let ended = tokio::time::timeout(Duration::from_secs(5), &mut first).await;
                assert!(matches!(ended.unwrap().unwrap(), Err(PartitionError::TakenAway)));
            }
            first.abort();
        }
        second.abort();
        has_struck
    }

    /// Each record is in all tables once, or in none and a dead letter once; `good` ones are no dead letters.
    fn check(&self, is_good: impl Fn(u64) -> bool, case: &str) {
        let [first, second, derived, letters] =
            ["first", "second", "derived", dead_letters::TABLE].map(|table| self.world.rows(table));
        assert_eq!((&first, &second), (&derived, &derived), "{case}; letters: {letters:?}");
        let mut all = [&derived[..], &letters[..]].concat();
        all.sort_unstable();
        assert_eq!(all, self.world.offsets().collect::<Vec<u64>>(), "{case}; letters: {letters:?}");
        assert!(letters.iter().all(|offset| !is_good(*offset)), "{case}; letters: {letters:?}");
    }
}

fn refusing(table: &'static str, records: &[u64]) -> Refusals {
    BTreeMap::from([(table, records.iter().copied().collect())])
}

async fn try_each_step(fault: Fault, refusals: Refusals, afterwards: Refusals) {
    let is_bad = |offset: &u64| {
        [&refusals, &afterwards]
            .into_iter()
            .flat_map(BTreeMap::values)
            .any(|records| records.contains(offset))
    };
    for step in 1.. {
        assert!(step < 500, "it never ends");
        let run = Run::new(World::new(8, 1, &refusals), 4).await;
        let has_struck = run.with_fault(step, fault, &afterwards).await;
        run.check(
            |offset| !is_bad(&offset),
            &format!("{fault:?} at step {step}, {refusals:?}, then {afterwards:?}"),
        );
        if !has_struck {
            assert!(step > 4, "the fault has to strike");
            return;
        }
    }
}

const FAULTS: [Fault; 4] = [Fault::DiesAfter, Fault::DiesBefore, Fault::Loses, Fault::Freezes];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_step_changes_nothing() {
    for fault in FAULTS {
        try_each_step(fault, Refusals::new(), Refusals::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_at_any_step_changes_nothing_where_records_are_refused() {
    for fault in FAULTS {
        let refusals = refusing("first", &[2, 5]);
        try_each_step(fault, refusals.clone(), refusals).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_one_of_its_tables_refuses_is_in_none_of_them_whatever_happens() {
    for fault in FAULTS {
        let refusals = refusing("second", &[2]);
        try_each_step(fault, refusals.clone(), refusals).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_changes_its_mind_between_two_tries_changes_nothing() {
    for fault in [Fault::DiesAfter, Fault::DiesBefore] {
        for table in ["first", "second"] {
            try_each_step(fault, refusing(table, &[2]), Refusals::new()).await;
            try_each_step(fault, Refusals::new(), refusing(table, &[2])).await;
            try_each_step(fault, refusing(table, &[2]), refusing(table, &[1])).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_more_bad_records_than_an_announcement_can_name_is_cut_shorter() {
    // Distances of 17 digits: an announcement holds about 220 of them.
    let spacing = 10_000_000_000_000_000;
    let bad: Vec<u64> = (0..480).filter(|number| number % 2 == 1).map(|number| number * spacing).collect();
    let refusals = [refusing("first", &bad), refusing("second", &bad)].into_iter().flatten().collect();
    let run = Run::new(World::new(480, spacing, &refusals), 480).await;
    let (working, _revoked) = run.begin();
    run.wait_for_the_end().await;
    working.abort();
    run.check(|offset| offset / spacing % 2 == 0, "cut");
    assert_eq!(run.world.rows(dead_letters::TABLE).len(), bad.len());
}

#[tokio::test]
async fn where_nearly_all_records_are_refused_none_is_set_aside() {
    let all: Vec<u64> = (0..12).collect();
    let run = Run::new(World::new(12, 1, &refusing("first", &all)), 4).await;
    let waiting = || run.context.metrics.refused_batches.get();
    let (working, _revoked) = run.begin();
    let deadline = Instant::now() + Duration::from_secs(10);
    while waiting() < 5 {
        assert!(Instant::now() < deadline, "it is tried again and again");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((run.world.rows("first"), run.world.rows(dead_letters::TABLE)), (vec![], vec![]));
    run.world.refusals.lock().clear();
    run.wait_for_the_end().await;
    working.abort();
    run.check(|_| true, "afterwards");
}
