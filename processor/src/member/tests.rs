//! A member with readers that hang: what hears nothing is begun again, and its series go with it.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use prometheus::{Encoder, Registry, TextEncoder};
use tally_eventlog::{CommitError, FetchLimits, LogRecord, PartitionReader, Position};
use tally_service::clock::system_clock;
use tally_store::{Store, StoreConfig};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::ProcessorConfig;
use crate::fold::refused::RefusedFolder;
use crate::metrics::Metrics;
use crate::partition::test_config;

const TIMEOUT: Duration = Duration::from_secs(1);

/// Gives the partition again whenever its reader is dropped; the first reader hangs.
struct FakeConsumer {
    offers: mpsc::UnboundedReceiver<()>,
    again: mpsc::UnboundedSender<()>,
    readers: Arc<AtomicU32>,
}

#[async_trait]
impl GroupConsumer for FakeConsumer {
    async fn next_assignment(&mut self) -> Result<Assignment, LogError> {
        self.offers.recv().await.expect("the sender is kept here");
        let number = self.readers.fetch_add(1, Ordering::Relaxed);
        let reader =
            FakeReader { hangs: number == 0, again: self.again.clone(), revoked: CancellationToken::new() };
        Ok(Assignment { partition: 3, position: Position::at(0), reader: Box::new(reader) })
    }
}

/// No records ever, and no answer either if it hangs.
struct FakeReader {
    hangs: bool,
    again: mpsc::UnboundedSender<()>,
    revoked: CancellationToken,
}

#[async_trait]
impl PartitionReader for FakeReader {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        if self.hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(limits.max_wait).await;
        Ok(Vec::new())
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
        Some(0)
    }
}

impl Drop for FakeReader {
    fn drop(&mut self) {
        // Nobody takes offers any more once the test is over.
        let _ = self.again.send(());
    }
}

fn shown(registry: &Registry) -> String {
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn work_that_hears_nothing_is_begun_again_and_what_is_lost_is_measured_no_more() {
    let registry = Registry::new();
    let (again, offers) = mpsc::unbounded_channel();
    let readers = Arc::new(AtomicU32::new(0));
    again.send(()).unwrap();
    let consumer = FakeConsumer { offers, again, readers: Arc::clone(&readers) };
    let context = TopicContext {
        config: ProcessorConfig { stall_timeout_s: TIMEOUT.as_secs(), ..test_config() },
        folder: Arc::new(RefusedFolder),
        store: Store::new(StoreConfig::new("http://127.0.0.1:1")),
        metrics: Metrics::register(&registry).unwrap(),
        clock: system_clock(),
        shutdown: CancellationToken::new(),
    };
    let (metrics, shutdown) = (context.metrics.clone(), context.shutdown.clone());
    let working = tokio::spawn(async move { work_as_member(Box::new(consumer), &context).await });

    let stalls = || metrics.stalls.with_label_values(&["tally.dead_letters"]).get();
    let deadline = Instant::now() + Duration::from_secs(10);
    while readers.load(Ordering::Relaxed) < 2 {
        assert!(Instant::now() < deadline, "not begun again within 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stalls(), 1);
    // The second one has nothing to do, which is no stall.
    tokio::time::sleep(TIMEOUT + TIMEOUT / 2).await;
    assert_eq!((readers.load(Ordering::Relaxed), stalls()), (2, 1));
    assert!(
        shown(&registry)
            .contains(r#"tally_processor_partition_stalled{partition="3",topic="tally.dead_letters"} 0"#)
    );
    shutdown.cancel();
    working.await.unwrap().unwrap();
    assert!(!shown(&registry).contains(r#"partition="3""#), "{}", shown(&registry));
}
