//! A member of a Kafka group that freezes for longer than the session timeout and then goes on as if nothing had been.

use std::io::{BufRead, Write};
use std::process::Command;
use std::sync::Arc;

use tally_eventlog::kafka::KafkaLog;
use tally_eventlog::{EventLog, Position};

use super::cases::{DEADLINE, append};
use super::crash::{lines_with, say, spawn_child};
use super::subject::{Subject, kafka_config, unique};

/// The other process of `a_frozen_member_is_fenced_by_the_brokers`; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn joins_and_commits_late() {
    let Ok(place) = std::env::var("TALLY_TEST_FROZEN") else { return };
    let [brokers, group, topic] = place.split(' ').collect::<Vec<_>>()[..] else { panic!("{place}") };
    let log = KafkaLog::connect(kafka_config(brokers.to_owned())).expect("a log");
    let mut consumer = log.join(group, topic).await.expect("joined");
    let mut reader = consumer.next_assignment().await.expect("assigned").reader;
    reader.commit(&Position::pending(0, 0..1)).await.expect("committed");
    say("state assigned");
    // Blocks on purpose: the commit follows right after the thaw, before anything else could be noticed.
    std::io::stdin().lock().read_line(&mut String::new()).expect("a word");
    match reader.commit(&Position::at(1)).await {
        Ok(()) => say("state committed"),
        Err(error) => say(&format!("state refused: {error:?}")),
    }
}

fn signal(name: &str, id: u32) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().expect("kill").success());
}

pub async fn a_frozen_member_is_fenced_by_the_brokers(subject: &Subject) {
    let Subject::Kafka(brokers) = subject else { panic!("not on Kafka") };
    let log: Arc<dyn EventLog> = subject.open();
    let topic = subject.topic(&log, 1).await;
    let group = unique("group");
    append(&log, &topic, ["a".to_owned()]).await;

    let place = format!("{brokers} {group} {topic}");
    let mut child = spawn_child("frozen::joins_and_commits_late", "TALLY_TEST_FROZEN", &place);
    let mut states = lines_with(&mut child, "state ");
    assert_eq!(states.next().as_deref(), Some("assigned"));
    signal("-STOP", child.id());

    let mut consumer = log.join(&group, &topic).await.expect("joined");
    let taken = tokio::time::timeout(DEADLINE, consumer.next_assignment()).await.expect("in time");
    let mut taken = taken.expect("assigned");
    let pending = Position::pending(0, 0..1);
    assert_eq!(taken.position, pending);
    // The word is there before the thaw, so that the commit is the first thing to happen.
    child.stdin.take().expect("piped").write_all(b"go\n").expect("told");
    signal("-CONT", child.id());
    let state = states.next().expect("a state");
    assert!(state.starts_with("refused: Fenced") || state.starts_with("refused: Revoked"), "{state}");
    child.kill().expect("killed");
    child.wait().expect("gone");
    taken.reader.commit(&pending).await.expect("the new owner commits");
}
