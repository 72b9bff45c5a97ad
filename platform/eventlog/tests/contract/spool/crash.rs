//! What the spool of a killed process keeps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tally_eventlog::Intake;

use super::fake::{Fault, FaultyLog};
use super::{Running, TOPIC, config};
use crate::cases::record;
use crate::crash::{lines_with, say, spawn_child};

/// The other process of `whatever_a_killed_process_has_acknowledged_is_drained_by_the_next_one`; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn spools_until_killed() {
    let Ok(folder) = std::env::var("TALLY_TEST_SPOOL_KILLED") else { return };
    let log = FaultyLog::new(1, 1);
    log.set(Fault::Down);
    let running = Running::start(&config(Path::new(&folder)), &log);
    let appending = (0..8).map(|task| {
        let spool = Arc::clone(&running.spool);
        tokio::spawn(async move {
            for call in 0.. {
                let value = format!("{} {task} {call}", std::process::id());
                for result in spool.accept(TOPIC, vec![record(None, value.clone())]).await {
                    result.expect("spooled");
                    say(&format!("acknowledged {value}"));
                }
            }
        })
    });
    for task in appending.collect::<Vec<_>>() {
        task.await.expect("until killed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_killed_process_has_acknowledged_is_drained_by_the_next_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = Vec::new();
    for _ in 0..2 {
        let path = folder.path().to_str().expect("text");
        let mut child = spawn_child("spool::crash::spools_until_killed", "TALLY_TEST_SPOOL_KILLED", path);
        let mut lines = lines_with(&mut child, "acknowledged ");
        acknowledged.extend(lines.by_ref().take(300));
        child.kill().expect("killed");
        acknowledged.extend(lines);
        child.wait().expect("ended");
    }
    let log = FaultyLog::new(1, 1);
    let running = Running::start(&config(folder.path()), &log);
    running.wait_until_drained().await;
    let mut copies = BTreeMap::<String, usize>::new();
    for value in log.values().into_iter().flatten() {
        *copies.entry(value).or_default() += 1;
    }
    assert!(acknowledged.len() >= 600);
    for value in acknowledged {
        assert_eq!(copies.get(&value), Some(&1), "{value}");
    }
    assert!(copies.values().all(|copies| *copies == 1));
    running.stop().await;
}
