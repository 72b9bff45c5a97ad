//! The configuration of a Tally process: one section a component, with the defaults of `deploy/tally.toml`. What a section
//! means is documented there and at the component's own configuration struct.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use tally_capture::CaptureConfig;
use tally_collect::CollectConfig;
use tally_eventlog::embedded::EmbeddedConfig;
use tally_eventlog::kafka::KafkaConfig;
use tally_eventlog::spool::SpoolConfig;
use tally_ingest::IngestConfig;
use tally_internal::InternalConfig;
use tally_ping::PingConfig;
use tally_processor::ProcessorConfig;
use tally_query::QueryConfig;
use tally_service::api::GuardConfig;
use tally_service::http::HttpConfig;
use tally_service::logging::LogConfig;
use tally_store::{Compression, EngineConfig, StoreConfig};

/// The annotated file that holds every setting's default.
pub const DEFAULTS: &str = include_str!("../deploy/tally.toml");
/// The tables keep the ids of clients for a day more.
const MAX_RETENTION_DAYS: u64 = 14;

/// Everything a Tally process can be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub log: LogConfig,
    pub http: HttpConfig,
    pub guard: GuardConfig,
    pub standalone: StandaloneSection,
    pub services: ServicesSection,
    pub log_storage: LogStorageSection,
    pub kafka: KafkaSection,
    pub spool: SpoolSection,
    pub store: StoreSection,
    pub engine: EngineSection,
    pub directory: DirectorySection,
    pub definitions: DefinitionsSection,
    pub schema_registry: SchemaRegistrySection,
    pub ingest: IngestConfig,
    pub capture: CaptureConfig,
    pub processor: ProcessorConfig,
    pub query: QueryConfig,
    pub internal: InternalConfig,
    pub ping: PingConfig,
    pub collect: CollectConfig,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandaloneSection {
    pub listen: String,
    pub data_dir: PathBuf,
    pub services: Vec<Service>,
}

/// A service that standalone can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    Ingest,
    Capture,
    Processor,
    Query,
    Internal,
    Ping,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServicesSection {
    pub ingest: String,
    pub capture: String,
    pub query: String,
    pub processor: String,
    pub internal: String,
    pub ping: String,
    pub collect: String,
}

/// Which implementation of the event log a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    Embedded,
    Kafka,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogStorageSection {
    pub kind: LogKind,
    pub directory: PathBuf,
    pub partitions: u32,
    pub retention_days: u64,
    pub max_record_bytes: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSection {
    pub bootstrap_servers: String,
    pub replication_factor: i32,
    pub session_timeout_s: u64,
    pub group_instance_id: String,
    pub append_timeout_s: u64,
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolSection {
    pub directory: PathBuf,
    pub max_bytes: u64,
    pub settle_s: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    pub url: String,
    pub database: String,
    pub user: String,
    pub password: String,
    pub compression: CompressionName,
    pub connect_timeout_s: u64,
    pub request_timeout_s: u64,
    pub tries: u32,
    pub cluster: String,
}

/// How bodies travel to ClickHouse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionName {
    None,
    Lz4,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSection {
    pub library: PathBuf,
    pub directory: PathBuf,
    pub listen: SocketAddr,
    pub connections: usize,
    pub threads_per_query: usize,
    pub memory_limit_bytes: u64,
    pub query_log: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySection {
    pub file: PathBuf,
    pub snapshot: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefinitionsSection {
    pub paths: Vec<String>,
    pub legacy_names: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SchemaRegistrySection {
    pub url: String,
}

impl Config {
    /// The defaults, then `file`, then the environment, then `flags`.
    pub fn load(file: Option<&Path>, flags: &[String]) -> Result<Self> {
        let config: Self = tally_service::config::load(DEFAULTS, file, flags)?;
        config.check()?;
        Ok(config)
    }

    /// Refuses values that are each fine and can't work together, or can't work at all.
    fn check(&self) -> Result<()> {
        let (ttl, session) = (self.processor.announcement_ttl_s, self.kafka.session_timeout_s);
        if ttl > session {
            bail!(
                "processor.announcement_ttl_s is {ttl}, longer than kafka.session_timeout_s, {session}: a batch could \
                 be inserted after its partition belongs to another processor"
            );
        }
        let (stall, tries) =
            (self.processor.stall_timeout_s, self.store.request_timeout_s * u64::from(self.store.tries));
        if stall <= tries {
            bail!(
                "processor.stall_timeout_s is {stall}; the {} tries of an insert alone may take {tries} s \
                 (store.request_timeout_s)",
                self.store.tries
            );
        }
        let days = self.log_storage.retention_days;
        if days > MAX_RETENTION_DAYS {
            bail!(
                "log_storage.retention_days is {days}; the ids by which repetitions are told are kept for \
                 {MAX_RETENTION_DAYS} days: in an older backlog they would count again"
            );
        }
        self.processor.check()?;
        self.check_append_timeouts()?;
        if self.capture.forward.group == self.processor.group {
            bail!(
                "capture.forward.group and processor.group are both {:?}: of each event one of them would know nothing",
                self.processor.group
            );
        }
        Ok(())
    }

    /// Whoever appends has to outwait the log and, where there is one, the spool behind it.
    fn check_append_timeouts(&self) -> Result<()> {
        if self.log_storage.kind != LogKind::Kafka {
            return Ok(());
        }
        if self.kafka.append_timeout_s == 0 {
            bail!("kafka.append_timeout_s is 0: Kafka would be tried for ever");
        }
        let append = Duration::from_secs(self.kafka.append_timeout_s);
        let longest = self.spool("", []).map_or(append * 2, |spool| spool.longest_accept()).as_secs();
        for (name, limit) in [
            ("ingest.append_timeout_s", self.ingest.append_timeout_s),
            ("capture.append_timeout_s", self.capture.append_timeout_s),
            ("internal.call_timeout_s", self.internal.call_timeout_s),
        ] {
            if limit <= longest {
                bail!(
                    "{name} is {limit}; with kafka.append_timeout_s = {} an append may take {longest} s until it is spooled \
                     or refused",
                    self.kafka.append_timeout_s
                );
            }
        }
        Ok(())
    }

    /// The embedded log's settings.
    pub fn embedded_log(&self) -> EmbeddedConfig {
        EmbeddedConfig::new(self.in_data_dir(&self.log_storage.directory, "log"))
    }

    /// The log on Kafka.
    pub fn kafka_log(&self) -> KafkaConfig {
        let section = &self.kafka;
        KafkaConfig {
            replication_factor: section.replication_factor,
            session_timeout: Duration::from_secs(section.session_timeout_s),
            group_instance_id: non_empty(&section.group_instance_id),
            append_timeout: Duration::from_secs(section.append_timeout_s),
            settings: section.settings.clone(),
            ..KafkaConfig::new(&section.bootstrap_servers)
        }
    }

    /// The spool of a process that runs `service`, for what it writes to `topics`; `None` where there is to be none.
    pub fn spool(
        &self,
        service: &str,
        topics: impl IntoIterator<Item = &'static str>,
    ) -> Option<SpoolConfig> {
        let section = &self.spool;
        let own = format!("spool/{service}-{}", self.ingest.node);
        let is_on = section.max_bytes > 0 && self.log_storage.kind == LogKind::Kafka;
        is_on.then(|| SpoolConfig {
            max_bytes: section.max_bytes,
            settle: Duration::from_secs(section.settle_s),
            max_record_bytes: self.log_storage.max_record_bytes,
            append_timeout: Duration::from_secs(self.kafka.append_timeout_s),
            ..SpoolConfig::new(self.in_data_dir(&section.directory, &own), topics)
        })
    }

    /// The embedded engine's settings.
    pub fn engine(&self) -> EngineConfig {
        let section = &self.engine;
        EngineConfig {
            library: non_empty(section.library.to_string_lossy()).map(PathBuf::from),
            listen: section.listen,
            connections: section.connections,
            threads_per_query: section.threads_per_query,
            memory_limit: section.memory_limit_bytes,
            query_log: section.query_log,
            user: non_empty(&self.store.user),
            password: non_empty(&self.store.password),
            ..EngineConfig::new(self.in_data_dir(&section.directory, "store"))
        }
    }

    /// How to talk to ClickHouse at `url`.
    pub fn store(&self, url: &str) -> StoreConfig {
        let section = &self.store;
        StoreConfig {
            database: section.database.clone(),
            user: non_empty(&section.user),
            password: non_empty(&section.password),
            compression: match section.compression {
                CompressionName::None => Compression::None,
                CompressionName::Lz4 => Compression::Lz4,
            },
            connect_timeout: Duration::from_secs(section.connect_timeout_s),
            request_timeout: Duration::from_secs(section.request_timeout_s),
            tries: section.tries,
            cluster: non_empty(&section.cluster),
            ..StoreConfig::new(url)
        }
    }

    /// The file that is imported into the directory, if it is there.
    pub fn directory_file(&self) -> PathBuf {
        self.in_data_dir(&self.directory.file, "directory.yml")
    }

    /// Where this process keeps its snapshot of the directory.
    pub fn directory_snapshot(&self) -> PathBuf {
        self.in_data_dir(&self.directory.snapshot, "directory.snapshot")
    }

    fn in_data_dir(&self, configured: &Path, name: &str) -> PathBuf {
        if configured.as_os_str().is_empty() {
            self.standalone.data_dir.join(name)
        } else {
            configured.to_owned()
        }
    }
}

fn non_empty(text: impl AsRef<str>) -> Option<String> {
    Some(text.as_ref().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_file_holds_every_setting_with_its_default() {
        let config = Config::load(None, &[]).unwrap();
        assert_eq!(config.ingest, IngestConfig::default());
        assert_eq!(config.capture, CaptureConfig::default());
        assert_eq!(config.guard, GuardConfig::default());
        assert_eq!(config.internal, InternalConfig::default());
        assert_eq!(config.ping, PingConfig::default());
        assert_eq!(config.collect, CollectConfig::default());
        assert_eq!(config.query.license, QueryConfig::default().license);
        assert_eq!(config.query.limits.max_seconds, QueryConfig::default().limits.max_seconds);
        assert_eq!(config.query.body, QueryConfig::default().body);
        assert_eq!(config.store("http://x").request_timeout, StoreConfig::new("http://x").request_timeout);
        assert_eq!(config.engine().connections, EngineConfig::new("x").connections);
        assert_eq!(config.kafka_log().session_timeout, KafkaConfig::new("x").session_timeout);
        assert_eq!(config.kafka_log().append_timeout, KafkaConfig::new("x").append_timeout);
        let on_kafka = Config::load(None, &["log_storage.kind=kafka".to_owned()]).unwrap();
        let (spool, default) = (on_kafka.spool("ingest", []).unwrap(), SpoolConfig::new("x", [""; 0]));
        assert_eq!((spool.max_bytes, spool.settle), (default.max_bytes, default.settle));
        assert_eq!(spool.append_timeout, default.append_timeout);
        assert_eq!(spool.directory, Path::new("data/spool/ingest-0"));
        assert!(config.spool("standalone", []).is_none(), "the embedded log needs none");
    }

    #[test]
    fn what_is_printed_as_the_settings_in_force_loads_again() {
        let config = Config::load(None, &["ingest.max_events=7".to_owned()]).unwrap();
        let dumped = tally_service::config::dump(&config).unwrap();
        let again: Config = tally_service::config::load(&dumped, None, &[]).unwrap();
        assert_eq!(again.ingest.max_events, 7);
    }

    #[test]
    fn batches_of_nothing_and_of_more_than_a_block_are_refused() {
        for flag in [
            "processor.batch_max_records=0",
            "processor.batch_max_bytes=0",
            "processor.batch_max_records=200001",
        ] {
            let refused = Config::load(None, &[flag.to_owned()]).unwrap_err().to_string();
            assert!(refused.contains("batch_max"), "{flag}: {refused}");
        }
    }

    #[test]
    fn a_log_does_not_outlast_the_ids_by_which_repetitions_are_told() {
        assert!(Config::load(None, &["log_storage.retention_days=14".to_owned()]).is_ok());
        let refused = Config::load(None, &["log_storage.retention_days=15".to_owned()]).unwrap_err();
        assert!(refused.to_string().contains("ids"), "{refused}");
    }

    #[test]
    fn whoever_forwards_events_is_not_in_the_group_that_counts_them() {
        let refused = Config::load(None, &["capture.forward.group=tally-processor".to_owned()])
            .unwrap_err()
            .to_string();
        assert!(refused.contains("capture.forward.group"), "{refused}");
    }

    #[test]
    fn nobody_gives_an_append_up_before_it_is_spooled() {
        let load = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            Config::load(None, &flags)
        };
        for (flag, named) in [
            ("kafka.append_timeout_s=0", "kafka.append_timeout_s"),
            ("kafka.append_timeout_s=10", "ingest.append_timeout_s"),
            ("capture.append_timeout_s=22", "capture.append_timeout_s"),
            ("internal.call_timeout_s=22", "internal.call_timeout_s"),
        ] {
            let refused = load(&["log_storage.kind=kafka", flag]).unwrap_err().to_string();
            assert!(refused.contains(named), "{flag}: {refused}");
            load(&[flag]).unwrap();
        }
        load(&["log_storage.kind=kafka", "capture.append_timeout_s=23"]).unwrap();
    }

    #[test]
    fn an_announcement_never_outlives_the_session() {
        let refused =
            Config::load(None, &["processor.announcement_ttl_s=60".to_owned()]).unwrap_err().to_string();
        assert!(refused.contains("announcement_ttl_s"), "{refused}");
    }
}
