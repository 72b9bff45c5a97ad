//! What the spool promises: whatever it has acknowledged is in the log exactly once, and what it has refused at most once.

mod crash;
mod disk;
mod fake;
mod kafka;
mod laws;
mod refusals;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tally_eventlog::Record;
use tally_eventlog::spool::{SpoolConfig, SpoolError, SpoolingLog, State, Upstream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cases::DEADLINE;

const TOPIC: &str = "spooled";

/// A spool that waits for nothing longer than a test wants to.
fn config(folder: &Path) -> SpoolConfig {
    SpoolConfig {
        append_timeout: Duration::from_millis(20),
        settle: Duration::from_millis(60),
        probe_interval: Duration::from_millis(5),
        probe_timeout: Duration::from_millis(100),
        chunk_bytes: 2000,
        segment_bytes: 4000,
        ..SpoolConfig::new(folder, [TOPIC])
    }
}

/// A spool at work.
struct Running {
    spool: Arc<SpoolingLog>,
    registry: Registry,
    shutdown: CancellationToken,
    draining: JoinHandle<()>,
}

impl Running {
    fn start(config: &SpoolConfig, log: &Arc<impl Upstream + 'static>) -> Self {
        let log: Arc<dyn Upstream> = Arc::clone(log) as _;
        let (spool, registry) = open(config, &log);
        let shutdown = CancellationToken::new();
        let (drained, until) = (Arc::clone(&spool), shutdown.clone());
        let draining = tokio::spawn(async move { drained.run(until).await });
        Self { spool, registry, shutdown, draining }
    }

    async fn wait_until_drained(&self) {
        wait_until("the spool is drained", || self.spool.state() == State::Direct).await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.draining.await.expect("a clean end");
    }

    fn metric(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("a metric");
        let metric = &family.get_metric()[0];
        (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64
    }
}

/// Opens the spool, once whatever is left of the one before it has let go of the folder.
fn open(config: &SpoolConfig, log: &Arc<dyn Upstream>) -> (Arc<SpoolingLog>, Registry) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let registry = Registry::new();
        match SpoolingLog::open(config.clone(), Arc::clone(log), &registry) {
            Ok(spool) => return (Arc::new(spool), registry),
            Err(SpoolError::InUse(_)) if Instant::now() < deadline => {
                tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(1)));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn value_of(record: &Record) -> String {
    String::from_utf8(record.value.to_vec()).expect("text")
}
