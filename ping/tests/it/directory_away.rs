//! The directory that is away at the wrong moment, and a schedule in it that can't be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use serde_json::json;
use tally_directory::Directory;
use tally_directory::log::ReplicaConfig;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_ping::{Outcome, PingConfig, PingError, Tick};
use tokio_util::sync::CancellationToken;

use crate::world::{RECEIVER, STEP, World, hours, start};

/// The directory's log, which refuses so many records before it takes one again.
struct RefusingLog {
    inner: EmbeddedLog,
    refusals: AtomicUsize,
}

#[async_trait]
impl EventLog for RefusingLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.ensure_topic(spec).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return records.iter().map(|_| Err(AppendError::Rejected("refused".to_owned()))).collect();
        }
        self.inner.append(topic, records).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, LogError> {
        self.inner.watermarks(topic).await
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.inner.join(group, topic).await
    }

    async fn tail(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        self.inner.tail(topic, partition, from).await
    }

    async fn check(&self) -> Result<(), LogError> {
        self.inner.check().await
    }
}

#[tokio::test]
async fn a_success_is_noted_once_the_directory_is_back_and_not_sent_again() {
    // Back at the second try to note it; and only at a later look at the schedule.
    for (refusals, is_noted_at_once) in [(2, true), (4, false)] {
        let folder = tempfile::tempdir().unwrap();
        let inner = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
        inner.ensure_topic(&tally_directory::log::topic("directory")).await.unwrap();
        let log = Arc::new(RefusingLog { inner, refusals: AtomicUsize::new(0) });
        let shutdown = CancellationToken::new();
        let config = ReplicaConfig::new("directory");
        let directory = Directory::open(config, Arc::clone(&log) as _, shutdown.clone()).await.unwrap();
        let config = PingConfig { base_url: RECEIVER.to_owned(), splay_s: 0, ..PingConfig::default() };
        let world = World::over(directory, config, 1, start());
        let ping = &world.instances[0];
        ping.tick().await.unwrap();
        let slot = World::slot().after(start());
        world.clock.set(slot);
        let refusing = Arc::clone(&log);
        *world.receiver.on_taken.lock().unwrap() =
            Some(Box::new(move || refusing.refusals.store(refusals, Ordering::Relaxed)));
        let tick = ping.tick().await;
        assert_eq!(matches!(tick, Ok(Tick::Sent(_))), is_noted_at_once, "{tick:?}");
        assert_eq!(matches!(tick, Err(PingError::Directory(_))), !is_noted_at_once, "{tick:?}");
        for hour in 0..30 {
            world.clock.set(slot + hours(hour));
            assert_eq!(ping.tick().await.unwrap(), Tick::Idle, "{refusals} refusals");
        }
        assert_eq!(world.receiver.at("/usage_data").len(), 1);
        let status = ping.status().await.unwrap();
        assert_eq!(status.cycle.unwrap().outcome, Outcome::Sent);
        assert_eq!(status.submissions.len(), 1);
        shutdown.cancel();
        world.directory.stopped().await;
    }
}

#[tokio::test]
async fn a_schedule_that_can_not_be_read_begins_anew_and_that_is_told() {
    let mut world = World::new(1, start());
    let slot = World::slot().after(start());
    world.run_until(slot + hours(1), STEP).await;
    for value in [json!("monday"), json!({"since": 7})] {
        world.set("service_ping_schedule", value).await;
        world.run_until(slot + hours(5), STEP).await;
    }
    assert_eq!(world.receiver.at("/usage_data").len(), 1, "the slot that is over is not begun again");
    let metrics = tally_service::metrics::render(&world.registries.lock().unwrap()[0]);
    assert!(metrics.contains("tally_ping_failures_total{reason=\"unreadable_schedule\"} 2\n"), "{metrics}");
    // Nothing of it is wrong where there was no schedule yet.
    let fresh = World::new(1, start());
    fresh.instances[0].tick().await.unwrap();
    let metrics = tally_service::metrics::render(&fresh.registries.lock().unwrap()[0]);
    assert!(!metrics.contains("unreadable_schedule"), "{metrics}");
}
