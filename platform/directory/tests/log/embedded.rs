//! The embedded log under a directory: what was acknowledged is there after a restart.

use std::sync::Arc;

use tally_directory::log::topic;
use tally_eventlog::EventLog;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};

use super::commands::{TOPIC, create_user, open, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_survives_a_restart_on_the_embedded_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = || Arc::new(EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap());
    let first = log();
    first.ensure_topic(&topic(TOPIC)).await.unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let config = tally_directory::log::ReplicaConfig::new(TOPIC);
    let directory =
        tally_directory::Directory::open(config, Arc::clone(&first) as _, shutdown.clone()).await.unwrap();
    for number in 0..20 {
        assert_eq!(create_user(&directory, &format!("user-{number}")).await, Ok(number + 1));
    }
    directory.compact().await.unwrap();
    let before = state(&directory);
    shutdown.cancel();
    directory.stopped().await;
    drop((directory, first));
    assert!(state(&open(&log()).await) == before);
}
