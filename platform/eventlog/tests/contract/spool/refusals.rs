//! Limits of the spool, and records that nobody can take.

use std::time::Duration;

use tally_eventlog::spool::{SpoolConfig, SpoolError, SpoolingLog, State};
use tally_eventlog::{AppendError, Intake};

use super::fake::{Fault, FaultyLog};
use super::{Running, TOPIC, config, wait_until};
use crate::cases::record;

/// An append of one record.
async fn accept(running: &Running, value: &str) -> Result<(), AppendError> {
    running.spool.accept(TOPIC, vec![record(None, value.to_owned())]).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_refuses_until_it_is_drained_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Down);
    let running = Running::start(&SpoolConfig { max_bytes: 3000, ..config(folder.path()) }, &log);
    let mut taken = Vec::new();
    let refused = loop {
        let value = format!("{} {}", taken.len(), "x".repeat(100));
        match accept(&running, &value).await {
            Ok(()) => taken.push(value),
            Err(error) => break error,
        }
        assert!(taken.len() < 30);
    };
    assert!(taken.len() > 15, "{}", taken.len());
    assert!(matches!(&refused, AppendError::Unavailable(reason) if reason.contains("full")), "{refused}");
    assert_eq!(running.spool.state(), State::Spooling);
    let not_ready = running.spool.readiness().await.expect_err("full");
    assert!(not_ready.contains("down") && not_ready.contains("full"), "{not_ready}");
    assert_eq!(running.metric("tally_spool_refused_total"), 1);
    assert_eq!(running.metric("tally_spool_records"), taken.len() as u64);

    log.set(Fault::None);
    running.wait_until_drained().await;
    assert_eq!(running.spool.readiness().await.as_deref(), Ok("ok"));
    assert_eq!(log.values(), [taken], "in order");
    assert_eq!(running.metric("tally_spool_bytes"), 0);
    assert_eq!(running.metric("tally_spool_oldest_timestamp_seconds"), 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_the_log_is_known_to_be_down_nobody_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Frozen);
    // Longer than a write to a busy disk takes.
    let limit = Duration::from_secs(3);
    let patient = SpoolConfig { append_timeout: limit, ..config(folder.path()) };
    let running = Running::start(&patient, &log);
    let asked = std::time::Instant::now();
    accept(&running, "first").await.expect("spooled");
    assert!(asked.elapsed() >= limit, "{:?}", asked.elapsed());
    let asked = std::time::Instant::now();
    accept(&running, "second").await.expect("spooled");
    assert!(asked.elapsed() < limit, "{:?}", asked.elapsed());
    let ready = running.spool.readiness().await.expect("room");
    assert!(ready.starts_with("down, spooling: 2 records"), "{ready}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_does_not_wait_for_the_answer_leaves_the_spool_at_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Frozen);
    let running = Running::start(&config(folder.path()), &log);
    let gone = tokio::time::timeout(Duration::from_millis(10), accept(&running, "abandoned")).await;
    assert!(gone.is_err(), "it was answered before its caller left");
    wait_until("it is spooling", || running.spool.state() == State::Spooling).await;
    wait_until("the record is on disk", || running.spool.waiting_records() == 1).await;
    log.set(Fault::None);
    running.wait_until_drained().await;
    assert_eq!(log.values(), [["abandoned"]]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_log_refuses_for_good_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Down);
    let running = Running::start(&config(folder.path()), &log);
    for value in ["one", "poison", "two"] {
        accept(&running, value).await.expect("spooled");
    }
    *log.poison.lock() = Some("poison");
    log.set(Fault::None);
    running.wait_until_drained().await;
    assert_eq!(log.values(), [["one", "two"]]);
    assert_eq!(running.metric("tally_spool_set_aside_total"), 1);
    let kept = std::fs::read(folder.path().join("refused")).expect("kept");
    assert!(kept.windows(6).any(|bytes| bytes == b"poison"));
    // One that comes when the log answers is refused by the log itself.
    let refused = accept(&running, "poison again").await.expect_err("refused");
    assert!(!refused.is_retriable());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_long_is_refused_while_the_log_is_down_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Down);
    let running = Running::start(&SpoolConfig { max_record_bytes: 10, ..config(folder.path()) }, &log);
    accept(&running, "0").await.expect("spooled");
    wait_until("it is down", || running.spool.state() == State::Spooling).await;
    let records = vec![record(None, "0123456789"), record(None, "0123456789+"), record(None, "1")];
    let too_large = AppendError::TooLarge { bytes: 11, limit: 10 };
    assert_eq!(running.spool.accept(TOPIC, records).await, [Ok(()), Err(too_large), Ok(())]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_share_a_spool() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = FaultyLog::new(1, 1);
    let running = Running::start(&config(folder.path()), &log);
    let second = SpoolingLog::open(config(folder.path()), log, &prometheus::Registry::new());
    let Err(error) = second else { panic!("opened twice") };
    assert!(matches!(error, SpoolError::InUse(_)));
    assert!(error.to_string().contains("spool.directory"), "{error}");
    running.stop().await;
}
