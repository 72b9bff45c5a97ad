//! `cargo run --release -p tally-directory --example replica [USERS] [MEMBERSHIPS]`: fills a directory on an embedded log, and
//! prints how long its snapshot takes to write, a process to start with it and without it, and a command to be done.
#![expect(clippy::unwrap_used, reason = "a measurement that can't be set up is to stop")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tally_directory::log::{ReplicaConfig, topic};
use tally_directory::{AccessLevel, Change, Directory, Member, MemberSource, State, User};
use tally_eventlog::EventLog;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "tally.directory";
const CHUNK: i64 = 1000;
const COMMANDS: i64 = 1000;

#[tokio::main]
async fn main() {
    let mut counts = std::env::args().skip(1).map(|count| count.parse().unwrap());
    let (users, members) = (counts.next().unwrap_or(100_000), counts.next().unwrap_or(1_000_000));
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(EmbeddedConfig::new(folder.path().join("log"))).unwrap());
    log.ensure_topic(&topic(TOPIC)).await.unwrap();
    let snapshot = folder.path().join("snapshot");

    let started = Instant::now();
    let directory = open(&log, &snapshot).await;
    fill(&directory, users, members).await;
    println!("filled with {users} users and {members} memberships in {:.1?}", started.elapsed());

    let started = Instant::now();
    for number in 0..COMMANDS {
        let decide = |state: &State| Ok::<_, ()>(((), vec![user(state.next_user_id(), number)]));
        directory.transact(Timestamp::UNIX_EPOCH, decide).await.unwrap();
    }
    println!("{:.0} commands/s", COMMANDS as f64 / started.elapsed().as_secs_f64());

    let started = Instant::now();
    directory.snapshot().await.unwrap();
    let bytes = std::fs::metadata(&snapshot).unwrap().len();
    println!("snapshot of {} MB written in {:.1?}", bytes >> 20, started.elapsed());
    drop(directory);

    let started = Instant::now();
    let with_it = open(&log, &snapshot).await;
    println!("a start with the snapshot takes {:.1?}", started.elapsed());
    let started = Instant::now();
    let without_it = open(&log, &folder.path().join("none")).await;
    println!("a start with the log alone takes {:.1?}", started.elapsed());
    assert!(*with_it.read() == *without_it.read(), "the two differ");
}

async fn open(log: &Arc<EmbeddedLog>, snapshot: &Path) -> Directory {
    let config = ReplicaConfig { snapshot_file: Some(snapshot.to_owned()), ..ReplicaConfig::new(TOPIC) };
    let config = ReplicaConfig { snapshot_interval: u64::MAX, ..config };
    Directory::open(config, Arc::clone(log) as Arc<dyn EventLog>, CancellationToken::new()).await.unwrap()
}

async fn fill(directory: &Directory, users: i64, members: i64) {
    for first in (1..=users).step_by(CHUNK as usize) {
        let changes: Vec<Change> = (first..(first + CHUNK).min(users + 1)).map(|id| user(id, id)).collect();
        write(directory, &changes).await;
    }
    for first in (0..members).step_by(CHUNK as usize) {
        let changes: Vec<Change> =
            (first..(first + CHUNK).min(members)).map(|number| member(number, users)).collect();
        write(directory, &changes).await;
    }
}

async fn write(directory: &Directory, changes: &[Change]) {
    let decide = |_: &State| Ok::<_, ()>(((), changes.to_vec()));
    directory.transact(Timestamp::UNIX_EPOCH, decide).await.unwrap();
}

fn user(id: i64, number: i64) -> Change {
    let (username, name) = (format!("user-{id}-{number}"), format!("User Number {number}"));
    Change::User(User { id, username, name, ..User::default() })
}

fn member(number: i64, users: i64) -> Change {
    let source = MemberSource::Project(number / users + 1);
    let user_id = number % users + 1;
    Change::Member(Member { user_id, source, access_level: AccessLevel::Developer, expires_at: None })
}
