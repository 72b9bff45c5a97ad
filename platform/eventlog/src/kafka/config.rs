//! How to reach Kafka, and the librdkafka settings that follow from what the log promises.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::error::LogError;

/// Settings of a log on Apache Kafka.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// Name under which the brokers know this process.
    pub client_id: String,
    /// Replicas of a new topic; -1 leaves it to the brokers.
    pub replication_factor: i32,
    /// Makes the members static: one that comes back within the session timeout gets its partitions without a
    /// rebalance, after a crash and after [`EventLog::keep_places_after`](crate::EventLog::keep_places_after). Must differ
    /// between processes. Topic and number of the member are added to it.
    pub group_instance_id: Option<String>,
    /// A member that is not heard of for so long loses its partitions.
    pub session_timeout: Duration,
    /// How long a partition that is being taken away waits for its reader to be dropped, before it is cut off. Stays
    /// well below the session timeout.
    pub drain_timeout: Duration,
    /// Records waiting for their acknowledgement, in bytes. Appends past it wait, and are refused after
    /// `append_timeout`.
    pub max_waiting_bytes: usize,
    /// How long one append may take, retries included, before it is answered with a retriable error.
    pub append_timeout: Duration,
    /// Records fetched ahead for each partition, in bytes.
    pub prefetch_bytes: usize,
    /// The longest request for metadata, offsets and the like.
    pub request_timeout: Duration,
    /// Further librdkafka settings, such as TLS and SASL. A name that begins with `producer.` or `consumer.` goes to
    /// that kind of client alone. Settings that carry the log's promises are refused.
    pub settings: BTreeMap<String, String>,
}

/// Settings that can't be overruled: durability, exactly-once and the handling of positions rest on them.
const FIXED: &[&str] = &[
    "acks",
    "request.required.acks",
    "enable.idempotence",
    "transactional.id",
    // Two names of one setting, which is `append_timeout`: past it the spool may send a record again.
    "message.timeout.ms",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "group.id",
    "group.protocol",
    "group.instance.id",
    "enable.partition.eof",
    "partition.assignment.strategy",
];

/// Bytes that one waiting record takes beyond its key and value.
pub(super) const RECORD_OVERHEAD: usize = 256;

impl KafkaConfig {
    /// The defaults, for the given brokers.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            client_id: "tally".to_owned(),
            replication_factor: -1,
            group_instance_id: None,
            session_timeout: Duration::from_secs(45),
            drain_timeout: Duration::from_secs(10),
            max_waiting_bytes: 64 << 20,
            append_timeout: Duration::from_secs(5),
            prefetch_bytes: 8 << 20,
            request_timeout: Duration::from_secs(10),
            settings: BTreeMap::new(),
        }
    }

    /// Refuses settings that would break a promise.
    pub(super) fn check(&self) -> Result<(), LogError> {
        if self.append_timeout.as_millis() == 0 {
            // librdkafka would try for ever.
            return Err(LogError::Configuration("an append needs a time limit".to_owned()));
        }
        let plain = |name: &str| {
            let name =
                name.strip_prefix("producer.").or_else(|| name.strip_prefix("consumer.")).unwrap_or(name);
            name.to_owned()
        };
        match self.settings.keys().find(|name| FIXED.contains(&plain(name).as_str())) {
            Some(name) => {
                Err(LogError::Configuration(format!("the Kafka setting {name:?} can't be changed")))
            }
            None => Ok(()),
        }
    }

    /// For metadata and watermarks: never creates a topic by asking for it.
    pub(super) fn lookup(&self) -> ClientConfig {
        let mut client = self.client("consumer.");
        client.set("allow.auto.create.topics", "false");
        client
    }

    pub(super) fn admin(&self) -> ClientConfig {
        self.client("admin.")
    }

    pub(super) fn producer(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("message.max.bytes", (16 << 20).to_string())
            .set("queue.buffering.max.messages", "0")
            // The log counts its waiting bytes by itself; librdkafka's limit is never to be met.
            .set("queue.buffering.max.kbytes", (self.max_waiting_bytes / 512).max(32 << 10).to_string());
        self.apply("producer.", &mut client);
        client
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("delivery.timeout.ms", self.append_timeout.as_millis().to_string());
        client
    }

    /// A member with a name is a static one.
    pub(super) fn consumer(&self, group: &str, name: Option<&str>) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("heartbeat.interval.ms", (self.session_timeout.as_millis() / 10).to_string())
            .set("statistics.interval.ms", "1000");
        self.apply_reading(&mut client);
        client.set("group.id", group).set("session.timeout.ms", self.session_timeout.as_millis().to_string());
        if let Some(name) = name {
            client.set("group.instance.id", name);
        }
        client
    }

    /// For a reader without a group.
    pub(super) fn tail(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        self.apply_reading(&mut client);
        client
            // librdkafka assigns no partitions without one. Nothing joins this group, nothing is committed for it.
            .set("group.id", format!("{}-tail", self.client_id))
            .set("enable.partition.eof", "true");
        client
    }

    /// Sets what all readers of records share.
    fn apply_reading(&self, client: &mut ClientConfig) {
        client
            .set("fetch.wait.max.ms", "250")
            .set("fetch.queue.backoff.ms", "100")
            .set("fetch.message.max.bytes", (2 << 20).to_string());
        self.apply("consumer.", client);
        client
            .set("queued.max.messages.kbytes", (self.prefetch_bytes / 1024).max(1).to_string())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false");
    }

    fn client(&self, kind: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        self.apply(kind, &mut client);
        client
    }

    /// Sets what all clients share, and the further settings meant for this kind.
    fn apply(&self, kind: &str, client: &mut ClientConfig) {
        client.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        for (name, value) in &self.settings {
            let other_kind =
                ["producer.", "consumer."].iter().any(|other| *other != kind && name.starts_with(other));
            if !other_kind {
                client.set(name.strip_prefix(kind).unwrap_or(name), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> KafkaConfig {
        let settings = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        KafkaConfig { settings, ..KafkaConfig::new("broker:9092") }
    }

    #[test]
    fn settings_that_carry_promises_are_refused() {
        for name in [
            "acks",
            "producer.acks",
            "consumer.enable.auto.commit",
            "enable.idempotence",
            "message.timeout.ms",
            "producer.delivery.timeout.ms",
            "transactional.id",
        ] {
            assert!(matches!(with(name, "0").check(), Err(LogError::Configuration(_))), "{name}");
        }
        assert_eq!(with("sasl.mechanism", "PLAIN").check(), Ok(()));
        let endless = KafkaConfig { append_timeout: Duration::ZERO, ..KafkaConfig::new("broker:9092") };
        assert!(matches!(endless.check(), Err(LogError::Configuration(_))));
    }

    #[test]
    fn a_prefixed_setting_goes_to_its_kind_of_client() {
        let config = with("producer.linger.ms", "50");
        assert_eq!(config.producer().get("linger.ms"), Some("50"));
        assert_eq!(config.consumer("group", None).get("linger.ms"), None);
        assert_eq!(config.consumer("group", None).get("producer.linger.ms"), None);
        assert_eq!(
            with("security.protocol", "ssl").consumer("group", None).get("security.protocol"),
            Some("ssl")
        );
    }
}
