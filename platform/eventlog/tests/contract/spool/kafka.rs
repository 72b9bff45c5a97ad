//! The spool before a real broker that is killed and frozen under load.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tally_eventlog::kafka::KafkaLog;
use tally_eventlog::spool::{SpoolConfig, SpoolingLog, State};
use tally_eventlog::{EventLog, Intake, Record, TopicSpec};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Running, value_of, wait_until};
use crate::cases::{LIMITS, now};
use crate::subject::{kafka_config, leave_out, spec};

const TOPIC: &str = "spooled";
const PARTITIONS: u32 = 3;

/// A broker of this test's own.
struct Broker {
    scripts: PathBuf,
    port: String,
}

impl Broker {
    fn start() -> Result<Self, String> {
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
        let scripts = PathBuf::from(package).join("../../deploy/kafka");
        let up = Command::new(scripts.join("up")).output().map_err(|error| error.to_string())?;
        if !up.status.success() {
            return Err(String::from_utf8_lossy(&up.stderr).trim().replace('\n', "; "));
        }
        let address = String::from_utf8_lossy(&up.stdout).trim().to_owned();
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        Ok(Self { scripts, port })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn run(&self, script: &str, arguments: &[&str]) {
        let mut command = tokio::process::Command::new(self.scripts.join(script));
        let done = command.args(arguments).env("TALLY_KAFKA_PORT", &self.port).output().await;
        let done = done.expect("a script");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    async fn kill(&self) {
        self.run("down", &["--keep", "--kill", &self.port]).await;
    }

    async fn restart(&self) {
        self.run("up", &[]).await;
    }

    fn signal(&self, signal: &str) {
        let folder = self.scripts.join("../../.cache/kafka").join(format!("broker-{}", self.port));
        let pid = std::fs::read_to_string(folder.join("pid")).expect("a broker");
        assert!(Command::new("kill").args([signal, pid.trim()]).status().expect("kill").success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let down = Command::new(self.scripts.join("down")).args(["--kill", &self.port]).status();
        if !down.is_ok_and(|status| status.success()) {
            eprintln!("the broker on port {} was not stopped", self.port);
        }
    }
}

/// Appends until it is aborted. Everything must be acknowledged.
async fn write(spool: Arc<SpoolingLog>, acknowledged: Arc<Mutex<BTreeSet<String>>>, writer: u32) {
    for call in 0.. {
        let record = |index: u32| Record {
            key: (index.is_multiple_of(2)).then(|| Bytes::from(format!("key {index}"))),
            value: Bytes::from(format!("{writer}-{call}-{index}")),
            timestamp: now(),
        };
        let records: Vec<_> = (0..10).map(record).collect();
        let values: Vec<_> = records.iter().map(value_of).collect();
        for (value, result) in values.into_iter().zip(spool.accept(TOPIC, records).await) {
            result.expect("taken");
            acknowledged.lock().insert(value);
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// How often each value is in the topic.
async fn read_all(log: &Arc<dyn EventLog>) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for (partition, reach) in log.watermarks(TOPIC).await.expect("watermarks").into_iter().enumerate() {
        let mut tail = log.tail(TOPIC, partition as u32, reach.low).await.expect("a tail");
        while tail.next_offset() < reach.high {
            for record in tail.fetch(LIMITS).await.expect("fetched") {
                *copies.entry(String::from_utf8(record.value.to_vec()).expect("text")).or_default() += 1;
            }
        }
    }
    copies
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_or_frozen_under_load_costs_no_record_and_doubles_none() {
    let broker = match tokio::task::spawn_blocking(Broker::start).await.expect("a thread") {
        Ok(broker) => broker,
        Err(reason) => return leave_out("the spool before a broker that is killed", &reason),
    };
    let folder = tempfile::tempdir().expect("a folder");
    let append_timeout = Duration::from_secs(1);
    let mut config = kafka_config(broker.address());
    config.append_timeout = append_timeout;
    config.settings.insert("reconnect.backoff.max.ms".to_owned(), "200".to_owned());
    let log = Arc::new(KafkaLog::connect(config).expect("a log"));
    log.ensure_topic(&TopicSpec { max_record_bytes: 1 << 20, ..spec(TOPIC, PARTITIONS) })
        .await
        .expect("a topic");
    let spool = SpoolConfig {
        append_timeout,
        settle: Duration::from_secs(1),
        ..SpoolConfig::new(folder.path(), [TOPIC])
    };
    let running = Running::start(&spool, &log);

    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        writers.spawn(write(Arc::clone(&running.spool), Arc::clone(&acknowledged), writer));
    }
    let taken = || acknowledged.lock().len();
    wait_until("records flow", || taken() > 1000).await;
    assert_eq!(running.spool.state(), State::Direct);

    broker.kill().await;
    wait_until("it spools", || running.spool.state() == State::Spooling).await;
    let (before, spooled) = (taken(), running.spool.waiting_records());
    wait_until("records go on being taken", || taken() > before + 2000).await;
    assert!(running.spool.waiting_records() > spooled);
    let ready = running.spool.readiness().await.expect("ready");
    assert!(ready.starts_with("down, spooling"), "{ready}");
    broker.restart().await;
    running.wait_until_drained().await;

    broker.signal("-STOP");
    wait_until("it spools again", || running.spool.state() == State::Spooling).await;
    let before = taken();
    wait_until("records go on being taken", || taken() > before + 2000).await;
    broker.signal("-CONT");
    running.wait_until_drained().await;

    writers.shutdown().await;
    running.wait_until_drained().await;
    let log: Arc<dyn EventLog> = log;
    let copies = read_all(&log).await;
    let acknowledged = acknowledged.lock().clone();
    let missing: Vec<_> = acknowledged.iter().filter(|value| !copies.contains_key(*value)).collect();
    let double: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
    assert!(missing.is_empty() && double.is_empty(), "missing: {missing:?}, double: {double:?}");
    println!(
        "{} records, {} of them spooled, {} in doubt and found",
        acknowledged.len(),
        running.metric("tally_spool_spooled_total"),
        running.metric("tally_spool_found_again_total")
    );
    running.stop().await;
}
