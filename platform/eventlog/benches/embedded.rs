//! CPU-seconds that the embedded log takes for a million records of 300 bytes: appended in batches of 50 by concurrent
//! callers, then read back by one group member.
//!
//! Prints user and system time of the whole process, so that a noisy machine changes little. `TALLY_BENCH_DIR` chooses
//! the directory (its file system decides what an fsync costs).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{EventLog, FetchLimits, Record, TopicSpec};

const TOPIC: &str = "bench";
const RECORDS: usize = 1_000_000;
const BATCH: usize = 50;
const PARTITIONS: u32 = 4;

fn main() {
    // `cargo test` runs benches, too, with no argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (appenders, likeness) in [(64, Likeness::Events), (1000, Likeness::Events), (64, Likeness::Noise)] {
        runtime.block_on(measure(appenders, likeness));
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Likeness {
    /// Much alike but for ids, as Avro-encoded events are.
    Events,
    /// Nothing to compress.
    Noise,
}

async fn measure(appenders: usize, likeness: Likeness) {
    let parent = std::env::var_os("TALLY_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(parent).expect("a directory");
    let log = Arc::new(EmbeddedLog::open(EmbeddedConfig::new(directory.path())).expect("a log"));
    let spec = TopicSpec {
        name: TOPIC.to_owned(),
        partitions: PARTITIONS,
        retention: None,
        compacted: false,
        max_record_bytes: 1 << 20,
    };
    log.ensure_topic(&spec).await.expect("a topic");

    let generating = CpuTime::now();
    generate(likeness, |_| {});
    let generating = generating.elapsed();

    let (cpu, wall) = (CpuTime::now(), Instant::now());
    append(&log, appenders, likeness).await;
    let append_cpu = cpu.elapsed() - generating;
    println!(
        "{likeness:?}, {appenders} appenders: append {append_cpu:.2} CPU-s, {:.2} s; {} bytes on disk a record",
        wall.elapsed().as_secs_f64(),
        log.disk_bytes().expect("a size") / RECORDS as u64,
    );
    let (cpu, wall) = (CpuTime::now(), Instant::now());
    read(&log).await;
    let read_cpu = cpu.elapsed();
    println!(
        "{likeness:?}, {appenders} appenders: read   {read_cpu:.2} CPU-s, {:.2} s; together {:.2} CPU-s",
        wall.elapsed().as_secs_f64(),
        append_cpu + read_cpu,
    );
}

async fn append(log: &Arc<EmbeddedLog>, appenders: usize, likeness: Likeness) {
    let (batches, queue) = tokio::sync::mpsc::channel::<Vec<Record>>(appenders);
    let queue = Arc::new(tokio::sync::Mutex::new(queue));
    let tasks: Vec<_> = (0..appenders)
        .map(|_| {
            let (log, queue) = (Arc::clone(log), Arc::clone(&queue));
            tokio::spawn(async move {
                loop {
                    let Some(batch) = queue.lock().await.recv().await else { return };
                    for result in log.append(TOPIC, batch).await {
                        result.expect("appended");
                    }
                }
            })
        })
        .collect();
    let producer = tokio::task::spawn_blocking(move || {
        generate(likeness, |batch| batches.blocking_send(batch).expect("appenders live"));
    });
    producer.await.expect("all produced");
    for task in tasks {
        task.await.expect("an appender");
    }
}

async fn read(log: &Arc<EmbeddedLog>) {
    let mut consumer = log.join("bench", TOPIC).await.expect("joined");
    let mut tasks = Vec::new();
    for _ in 0..PARTITIONS {
        let mut reader = consumer.next_assignment().await.expect("assigned").reader;
        tasks.push(tokio::spawn(async move {
            let limits =
                FetchLimits { max_records: 20_000, max_bytes: 8 << 20, max_wait: Duration::from_millis(1) };
            let mut count = 0;
            loop {
                let records = reader.fetch(limits).await.expect("fetched");
                if records.is_empty() {
                    return count;
                }
                count += records.len();
            }
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await.expect("a reader");
    }
    assert_eq!(count, RECORDS);
}

/// Makes batches of records, each record of 300 bytes.
fn generate(likeness: Likeness, mut each: impl FnMut(Vec<Record>)) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for batch in 0..RECORDS / BATCH {
        let record = |index| {
            let mut value = Vec::with_capacity(300);
            match likeness {
                Likeness::Noise => (0..37).for_each(|_| value.extend_from_slice(&random().to_le_bytes())),
                Likeness::Events => {
                    value.extend_from_slice(&random().to_le_bytes());
                    value.extend_from_slice(&random().to_le_bytes());
                    value.extend_from_slice(format!("click_button_{}", random() % 40).as_bytes());
                    let ids = format!("user {} project {}", random() % 100_000, random() % 10_000);
                    value.extend_from_slice(ids.as_bytes());
                    value.extend_from_slice(br#"{"label":"merge_request_widget","property":"#);
                    value.extend_from_slice(format!("\"{:x}\"", random()).as_bytes());
                    let rest = br#","value":12,"lang":"ruby","plan":"premium","env":"production","source":"web","page":"#;
                    value.extend_from_slice(rest);
                }
            }
            value.resize(300, b'.');
            Record { key: None, value: Bytes::from(value), timestamp: (batch * BATCH + index) as i64 }
        };
        each((0..BATCH).map(record).collect());
    }
}

/// User and system time of this process, in seconds.
struct CpuTime(f64);

impl CpuTime {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
        // Behind the process name, which may hold anything, in clock ticks of a hundredth of a second.
        let fields = stat.rsplit(')').next().expect("a name").split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
        Self(ticks as f64 / 100.0)
    }

    fn elapsed(&self) -> f64 {
        Self::now().0 - self.0
    }
}
