//! The implementations under test, and how each is opened.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::kafka::{KafkaConfig, KafkaLog};
use tally_eventlog::{EventLog, TopicSpec};
use tempfile::TempDir;

pub const MAX_RECORD_BYTES: usize = 2000;
/// How long a reader may take to let go of its partition.
pub const DRAIN: Duration = Duration::from_secs(3);

/// One implementation, with room for one test.
pub enum Subject {
    Embedded(TempDir),
    Mock(MockCluster<'static, DefaultProducerContext>),
    Kafka(String),
}

impl Subject {
    pub fn embedded() -> Self {
        Self::Embedded(tempfile::tempdir().expect("a directory"))
    }

    pub fn mock_kafka() -> Self {
        Self::Mock(MockCluster::new(1).expect("a mock cluster"))
    }

    /// `None`, with the reason printed, when there is no broker to be had.
    pub fn apache_kafka(case: &str) -> Option<Self> {
        static BROKER: OnceLock<Result<Broker, String>> = OnceLock::new();
        match BROKER.get_or_init(Broker::find) {
            Ok(broker) => Some(Self::Kafka(broker.address.clone())),
            Err(reason) => {
                leave_out(case, reason);
                None
            }
        }
    }

    /// Opens the log, or another client of it. The embedded log can be open once only.
    pub fn open(&self) -> Arc<dyn EventLog> {
        let brokers = match self {
            Self::Embedded(directory) => {
                let mut config = EmbeddedConfig::new(directory.path());
                config.retention_interval = Duration::from_millis(50);
                config.drain_timeout = DRAIN;
                return Arc::new(EmbeddedLog::open(config).expect("a log"));
            }
            Self::Mock(cluster) => cluster.bootstrap_servers(),
            Self::Kafka(brokers) => brokers.clone(),
        };
        let mut config = kafka_config(brokers);
        if matches!(self, Self::Mock(_)) {
            // The mock never answers what it does not know, such as a question for a topic's settings.
            config.request_timeout = Duration::from_secs(2);
        }
        Arc::new(KafkaLog::connect(config).expect("a log"))
    }

    /// A topic of its own for one test, which is returned by name.
    pub async fn topic(&self, log: &Arc<dyn EventLog>, partitions: u32) -> String {
        self.topic_with(log, partitions, None).await
    }

    /// A compacted topic of one partition.
    pub async fn compacted_topic(&self, log: &Arc<dyn EventLog>) -> String {
        let name = self.topic(log, 1).await;
        let spec = TopicSpec { compacted: true, ..spec(&name, 1) };
        log.ensure_topic(&spec).await.expect("a compacted topic");
        name
    }

    pub async fn topic_with(
        &self,
        log: &Arc<dyn EventLog>,
        partitions: u32,
        retention: Option<Duration>,
    ) -> String {
        let name = unique("topic");
        if let Self::Mock(cluster) = self {
            cluster.create_topic(&name, partitions as i32, 1).expect("a topic");
        }
        let spec = TopicSpec { retention, ..spec(&name, partitions) };
        log.ensure_topic(&spec).await.expect("a topic");
        name
    }
}

pub fn kafka_config(brokers: String) -> KafkaConfig {
    let mut config = KafkaConfig::new(brokers);
    config.session_timeout = Duration::from_secs(6);
    config.drain_timeout = DRAIN;
    // Rebalances are noticed with a heartbeat.
    config.settings.insert("consumer.heartbeat.interval.ms".to_owned(), "200".to_owned());
    config
}

pub fn spec(name: &str, partitions: u32) -> TopicSpec {
    let name = name.to_owned();
    TopicSpec { name, partitions, retention: None, compacted: false, max_record_bytes: MAX_RECORD_BYTES }
}

/// A name that no other test has, on brokers that outlive the tests, too.
pub fn unique(kind: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{kind}-{}-{}-{number}", started.as_millis(), std::process::id())
}

/// Says that something is not tested here, past the test runner's capturing, or fails if everything has to be.
pub fn leave_out(what: &str, why: &str) {
    let line = format!("left out: {what}: {why}\n");
    assert!(std::env::var("TALLY_REQUIRE").as_deref() != Ok("all"), "{line}");
    std::io::stdout().write_all(line.as_bytes()).expect("standard output");
}

/// A Kafka broker, stopped when this process ends.
pub struct Broker {
    pub address: String,
    /// Waits for its standard input to close, which happens however this process ends.
    _stopper: Option<Child>,
}

impl Broker {
    fn find() -> Result<Self, String> {
        if let Ok(address) = std::env::var("TALLY_KAFKA") {
            return Ok(Self { address, _stopper: None });
        }
        Self::start(&[])
    }

    /// One of its own, with further variables for `deploy/kafka/up`.
    pub fn start(environment: &[(&str, String)]) -> Result<Self, String> {
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
        let scripts = format!("{package}/../../deploy/kafka");
        let mut up = Command::new(format!("{scripts}/up"));
        up.envs(environment.iter().map(|(name, value)| (name, value)));
        let up = up.output().map_err(|error| error.to_string())?;
        if !up.status.success() {
            return Err(String::from_utf8_lossy(&up.stderr).trim().replace('\n', "; "));
        }
        let address = String::from_utf8_lossy(&up.stdout).trim().to_owned();
        let stopper = Command::new("sh")
            .args([
                "-c",
                "trap '' INT TERM HUP; cat; exec \"$0\" \"$1\"",
                &format!("{scripts}/down"),
                &address,
            ])
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        Ok(Self { address, _stopper: Some(stopper) })
    }
}
