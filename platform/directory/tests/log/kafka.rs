//! Two processes that write the directory at once through Apache Kafka. They are killed in the middle, one of them
//! compacts, and the broker takes away what it may.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tally_directory::log::{ReplicaConfig, topic};
use tally_directory::{Directory, TransactError};
use tally_eventlog::EventLog;
use tally_eventlog::kafka::{KafkaConfig, KafkaLog};
use tokio_util::sync::CancellationToken;

use super::broker;
use super::commands::{caught_up, create_user, open_with, remove_user, state, users};

const CHILD: &str = "TALLY_TEST_DIRECTORY_WRITER";
/// Nothing here takes this long unless it is broken.
const DEADLINE: Duration = Duration::from_mins(2);
/// Commands under way at once in each process.
const TASKS: u64 = 4;

/// What a writing process is told by its environment, one line each.
struct Orders {
    name: String,
    brokers: String,
    topic: String,
    folder: PathBuf,
    compacts: bool,
}

impl Orders {
    fn encode(&self) -> String {
        let Self { name, brokers, topic, folder, compacts } = self;
        format!("{name}\n{brokers}\n{topic}\n{}\n{compacts}", folder.display())
    }

    fn decode(text: &str) -> Self {
        let mut lines = text.lines().map(str::to_owned);
        let mut next = || lines.next().unwrap();
        Self {
            name: next(),
            brokers: next(),
            topic: next(),
            folder: next().into(),
            compacts: next() == "true",
        }
    }

    fn export_file(&self) -> PathBuf {
        self.folder.join(format!("{}.yml", self.name))
    }

    fn config(&self) -> ReplicaConfig {
        let snapshot_file = Some(self.folder.join(format!("{}.snapshot", self.name)));
        ReplicaConfig { snapshot_file, snapshot_interval: 200, ..ReplicaConfig::new(self.topic.clone()) }
    }
}

fn connect(brokers: &str) -> Arc<KafkaLog> {
    Arc::new(KafkaLog::connect(KafkaConfig::new(brokers)).unwrap())
}

/// Prints past the test runner's capturing, in one piece.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("\n{line}\n").as_bytes()).and_then(|()| output.flush()).unwrap();
}

/// The other process of `two_processes_write_at_once_and_are_killed`; alone it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn writes_until_told_or_killed() {
    let Ok(orders) = std::env::var(CHILD) else { return };
    let orders = Orders::decode(&orders);
    let log = connect(&orders.brokers);
    log.ensure_topic(&topic(&orders.topic)).await.unwrap();
    let shutdown = CancellationToken::new();
    let opened = Directory::open(orders.config(), log as Arc<dyn EventLog>, shutdown.clone()).await;
    let directory = Arc::new(opened.unwrap());
    say("said ready");
    let stop = Arc::new(AtomicBool::new(false));
    let number = Arc::new(AtomicU64::new(0));
    let working = (0..TASKS).map(|_| {
        tokio::spawn(write(
            Arc::clone(&directory),
            orders.name.clone(),
            Arc::clone(&number),
            Arc::clone(&stop),
        ))
    });
    let working: Vec<_> = working.collect();
    if orders.compacts {
        let (directory, stop) = (Arc::clone(&directory), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(700)).await;
                directory.compact().await.unwrap();
            }
        });
    }
    let mut orders_given = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.unwrap();
    assert_eq!(orders_given.take().unwrap().unwrap(), "stop");
    stop.store(true, Ordering::Release);
    for task in working {
        task.await.unwrap();
    }
    say("said stopped");
    let next = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.unwrap();
    assert_eq!(next.unwrap().unwrap(), "export");
    caught_up(&directory).await;
    directory.export(fs::File::create(orders.export_file()).unwrap()).unwrap();
    shutdown.cancel();
    directory.stopped().await;
    say("said exported");
}

/// Creates users, some under names that the other process wants, too, and removes some.
async fn write(directory: Arc<Directory>, name: String, number: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Acquire) {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let wanted = if number.is_multiple_of(4) {
            format!("shared-{number}")
        } else {
            format!("{name}-{}-{number}", std::process::id())
        };
        match create_user(&directory, &wanted).await {
            Ok(id) if number % 16 == 1 => {
                say(&format!("said created {id} removed-{wanted}"));
                remove_user(&directory, id).await.unwrap();
                say(&format!("said removed {id} {wanted}"));
            }
            Ok(id) => say(&format!("said created {id} {wanted}")),
            Err(TransactError::Refused(_)) => {}
            Err(TransactError::Unavailable(reason)) => panic!("{reason}"),
        }
    }
}

/// A writing process, and what it has said.
struct Writer {
    orders: Orders,
    child: Child,
    stdin: ChildStdin,
    said: Receiver<String>,
}

/// What all processes were told.
#[derive(Default)]
struct Told {
    created: BTreeMap<i64, String>,
    removed: BTreeSet<i64>,
    commands: usize,
}

impl Writer {
    fn start(orders: Orders) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kafka::writes_until_told_or_killed", "--nocapture", "--test-threads=1"])
            .env(CHILD, orders.encode())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, said) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let spoken = output.lines().map_while(Result::ok);
            for line in spoken.filter_map(|line| Some(line.strip_prefix("said ")?.to_owned())) {
                let _ = lines.send(line);
            }
        });
        let stdin = child.stdin.take().unwrap();
        let writer = Self { orders, child, stdin, said };
        writer.hear_until(&mut Told::default(), "ready");
        writer
    }

    /// Notes what is said until that word, which has to come.
    fn hear_until(&self, told: &mut Told, word: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self
                .said
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("{} says no {word}", self.orders.name));
            if line == word {
                return;
            }
            told.note(&line);
        }
    }

    /// Notes what is said for some time.
    fn hear_for(&self, told: &mut Told, time: Duration) {
        let deadline = Instant::now() + time;
        while let Ok(line) = self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            told.note(&line);
        }
    }

    fn tell(&mut self, order: &str) {
        writeln!(self.stdin, "{order}").unwrap();
    }

    /// Kills it in the middle of whatever it does, and starts it again.
    fn kill_and_restart(mut self, told: &mut Told) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Acknowledged is what was said before the end.
        while let Ok(line) = self.said.recv_timeout(Duration::from_secs(5)) {
            told.note(&line);
        }
        Self::start(self.orders)
    }
}

impl Told {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, id, name] = words[..] else { panic!("{line}") };
        let id = id.parse().unwrap();
        self.commands += 1;
        if what == "created" {
            let before = self.created.insert(id, name.to_owned());
            assert_eq!(before, None, "id {id} was handed out twice");
        } else {
            self.removed.insert(id);
        }
    }
}

fn orders(name: &str, brokers: &str, topic: &str, folder: &Path) -> Orders {
    let (brokers, topic, folder) = (brokers.to_owned(), topic.to_owned(), folder.to_owned());
    Orders { name: name.to_owned(), brokers, topic, folder, compacts: name == "one" }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_at_once_and_are_killed() {
    let Some(brokers) = broker::address("directory: two processes on Kafka") else { return };
    let topic_name = format!("directory-{}", std::process::id());
    broker::make_eagerly_compacted_topic(&brokers, &topic_name).await;
    let folder = tempfile::tempdir().unwrap();
    let mut told = Told::default();
    let told = tokio::task::block_in_place(|| {
        let mut one = Writer::start(orders("one", &brokers, &topic_name, folder.path()));
        measure("one process", &mut told, &[&one]);
        let mut two = Writer::start(orders("two", &brokers, &topic_name, folder.path()));
        measure("two processes", &mut told, &[&one, &two]);
        for milliseconds in [300, 900, 50, 1500, 700] {
            two.hear_for(&mut told, Duration::from_millis(milliseconds));
            two = two.kill_and_restart(&mut told);
        }
        for milliseconds in [400, 1100] {
            one.hear_for(&mut told, Duration::from_millis(milliseconds));
            one = one.kill_and_restart(&mut told);
        }
        for order in ["stop", "export"] {
            let done = if order == "stop" { "stopped" } else { "exported" };
            for writer in [&mut one, &mut two] {
                writer.tell(order);
            }
            for writer in [&one, &two] {
                writer.hear_until(&mut told, done);
            }
        }
        let export = |writer: &Writer| fs::read_to_string(writer.orders.export_file()).unwrap();
        assert!(export(&one) == export(&two), "the two exports differ");
        told
    });

    let log = connect(&brokers);
    log.ensure_topic(&topic(&topic_name)).await.unwrap();
    let fresh = open_with(ReplicaConfig::new(topic_name.clone()), &log).await;
    let mut exported = Vec::new();
    fresh.export(&mut exported).unwrap();
    let two = fs::read(folder.path().join("two.yml")).unwrap();
    assert!(exported == two, "a new copy differs");
    let found = users(&state(&fresh));
    assert_eq!(found.values().collect::<BTreeSet<_>>().len(), found.len(), "a name is there twice");
    for (id, name) in &told.created {
        let expected = if told.removed.contains(id) { None } else { Some(name) };
        // One whose removal was under way when its process was killed may be there or not.
        if !name.starts_with("removed-") || expected.is_none() {
            assert_eq!(found.get(id), expected, "{id} {name}");
        }
    }
    let reach = log.watermarks(&topic_name).await.unwrap()[0];
    say(&format!("{} commands, {} users, {} offsets", told.commands, found.len(), reach.high));
}

/// Prints how many commands these processes do in a second, together.
fn measure(who: &str, told: &mut Told, writers: &[&Writer]) {
    let (started, before) = (Instant::now(), told.commands);
    while started.elapsed() < Duration::from_secs(4) {
        for writer in writers {
            writer.hear_for(told, Duration::from_millis(20));
        }
    }
    let rate = (told.commands - before) as f64 / started.elapsed().as_secs_f64();
    say(&format!("directory on Kafka, {who}: {rate:.0} commands/s"));
}
