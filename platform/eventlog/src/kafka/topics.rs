//! Topics as the brokers have them: made or adjusted by `ensure`, looked up otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::config::KafkaConfig;
use super::failure::unavailable;
use super::lookup;
use crate::error::LogError;
use crate::partition::RoundRobin;
use crate::topic::{TopicSpec, Watermarks};

/// A batch is at least allowed to be as long as producers make them by default.
const BATCH_BYTES: usize = 1 << 20;
/// How long a compacted topic may keep what newer records have superseded.
const COMPACTION_LAG: Duration = Duration::from_hours(24);
/// What a batch of one record takes beyond key and value.
const BATCH_OVERHEAD: usize = 512;

/// Partitions asked about side by side, a thread each.
const QUESTIONS_AT_ONCE: usize = 16;

/// What appending needs to know of a topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) partitions: u32,
    pub(super) spread: RoundRobin,
    /// The longest record taken, as far as known here; the brokers have the last word.
    pub(super) max_record_bytes: usize,
}

/// The topics known so far, and clients to ask for more.
pub(super) struct Topics {
    admin: AdminClient<DefaultClientContext>,
    lookup: Arc<BaseConsumer>,
    known: Mutex<BTreeMap<String, Arc<Topic>>>,
    replication_factor: i32,
    request_timeout: Duration,
}

impl Topics {
    pub(super) fn new(config: &KafkaConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            admin: config.admin().create()?,
            lookup: Arc::new(config.lookup().create()?),
            known: Mutex::default(),
            replication_factor: config.replication_factor,
            request_timeout: config.request_timeout,
        })
    }

    /// The topic, from the brokers when it is not known yet.
    pub(super) async fn get(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        if let Some(topic) = self.known.lock().get(name) {
            return Ok(Arc::clone(topic));
        }
        let partitions = self.partitions(name).await?;
        let partitions = partitions.ok_or_else(|| LogError::UnknownTopic(name.to_owned()))?;
        Ok(self.learn(name, partitions, usize::MAX))
    }

    fn learn(&self, name: &str, partitions: u32, max_record_bytes: usize) -> Arc<Topic> {
        let topic = Arc::new(Topic { partitions, spread: RoundRobin::default(), max_record_bytes });
        self.known.lock().insert(name.to_owned(), Arc::clone(&topic));
        topic
    }

    pub(super) async fn ensure(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let found = match self.partitions(&spec.name).await? {
            Some(found) => found,
            None => self.create(spec).await?,
        };
        if found != spec.partitions {
            let reason = format!("it has {found} partitions, not {}", spec.partitions);
            return Err(LogError::TopicMismatch { topic: spec.name.clone(), reason });
        }
        if let Err(error) = self.adjust(spec).await {
            // Whoever runs the brokers may reserve this for himself.
            tracing::warn!(
                topic = spec.name,
                %error,
                compacted = spec.compacted,
                "could not compare or change the topic's settings; see to it that a compacted topic is not cut by age"
            );
        }
        self.learn(&spec.name, found, spec.max_record_bytes);
        Ok(())
    }

    /// Returns the number of partitions, which is another one than wanted if somebody else was faster.
    async fn create(&self, spec: &TopicSpec) -> Result<u32, LogError> {
        let settings = settings(spec);
        let replication = TopicReplication::Fixed(self.replication_factor);
        let topic = NewTopic::new(&spec.name, spec.partitions as i32, replication);
        let topic = settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        let mismatch = |reason: String| LogError::TopicMismatch { topic: spec.name.clone(), reason };
        let results =
            self.admin.create_topics([&topic], &self.options()).await.map_err(|error| unavailable(&error))?;
        match results.into_iter().next() {
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
            Some(Err((_, code @ (RDKafkaErrorCode::RequestTimedOut | RDKafkaErrorCode::NotController)))) => {
                return Err(LogError::Unavailable(code.to_string()));
            }
            Some(Err((_, code))) => return Err(mismatch(code.to_string())),
            Some(Ok(_)) | None => {
                tracing::info!(topic = spec.name, partitions = spec.partitions, "created kafka topic");
            }
        }
        self.wait_for(&spec.name).await
    }

    /// A new topic takes a moment until every broker knows of it.
    async fn wait_for(&self, name: &str) -> Result<u32, LogError> {
        let deadline = tokio::time::Instant::now() + self.request_timeout;
        loop {
            if let Some(partitions) = self.partitions(name).await? {
                return Ok(partitions);
            }
            if tokio::time::Instant::now() > deadline {
                return Err(LogError::Unavailable(format!("new topic {name:?} does not show up")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Changes the settings that differ. The request replaces all settings of the topic, so those that somebody else
    /// has made are sent along.
    async fn adjust(&self, spec: &TopicSpec) -> Result<(), KafkaError> {
        let resource = ResourceSpecifier::Topic(&spec.name);
        let described = self.admin.describe_configs([&resource], &self.options()).await?;
        let Some(described) = described.into_iter().next() else { return Ok(()) };
        let described = described.map_err(KafkaError::AdminOp)?;
        let wanted = settings(spec);
        let present = |name: &str| described.get(name).and_then(|entry| entry.value.as_deref());
        if wanted.iter().all(|(name, value)| present(name) == Some(value)) {
            return Ok(());
        }
        let mut altered = AlterConfig::new(resource);
        for entry in &described.entries {
            let is_own = wanted.iter().any(|(name, _)| *name == entry.name);
            if let (ConfigSource::DynamicTopic, false, Some(value)) = (&entry.source, is_own, &entry.value) {
                altered = altered.set(&entry.name, value);
            }
        }
        let altered = wanted.iter().fold(altered, |altered, (name, value)| altered.set(name, value));
        let results = self.admin.alter_configs([&altered], &self.options()).await?;
        results
            .into_iter()
            .try_for_each(|result| result.map(drop).map_err(|(_, code)| KafkaError::AdminOp(code)))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.request_timeout))
            .operation_timeout(Some(self.request_timeout))
    }

    /// How many partitions the brokers say the topic has.
    async fn partitions(&self, name: &str) -> Result<Option<u32>, LogError> {
        let name = name.to_owned();
        self.ask(move |lookup, timeout| {
            let metadata = lookup.fetch_metadata(Some(&name), timeout)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            Ok(topic.map(|topic| topic.partitions().len() as u32).filter(|partitions| *partitions > 0))
        })
        .await
    }

    pub(super) async fn watermarks(&self, name: &str) -> Result<Vec<Watermarks>, LogError> {
        let partitions = self.get(name).await?.partitions;
        let reach = |partition| {
            let name = name.to_owned();
            self.ask(move |consumer, timeout| lookup::watermarks(consumer, &name, partition, timeout))
        };
        stream::iter((0..partitions).map(reach)).buffered(QUESTIONS_AT_ONCE).try_collect().await
    }

    /// The offset of the partition's first record that is as young as the timestamp; its end when there is none.
    pub(super) async fn offset_at(
        &self,
        name: &str,
        partition: u32,
        timestamp: i64,
    ) -> Result<u64, LogError> {
        let name = name.to_owned();
        self.ask(move |consumer, timeout| lookup::offset_at(consumer, &name, partition, timestamp, timeout))
            .await
    }

    /// Whether a broker answers.
    pub(super) async fn check(&self) -> Result<(), LogError> {
        self.ask(|lookup, timeout| {
            let metadata = lookup.client().fetch_metadata(None, timeout)?;
            match metadata.brokers() {
                [] => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// librdkafka blocks, so questions to the brokers go to a thread that may.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer, Duration) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (lookup, timeout) = (Arc::clone(&self.lookup), self.request_timeout);
        let asking = move || {
            question(&lookup, timeout).map_err(|error| match complaint(&lookup) {
                Some(complaint) => LogError::Unavailable(format!("{error}: {complaint}")),
                None => unavailable(&error),
            })
        };
        let answer = tokio::task::spawn_blocking(asking).await;
        answer.map_err(|error| LogError::Unavailable(error.to_string()))?
    }
}

/// Long enough to find what is waiting to be told.
const COMPLAINT_WAIT: Duration = Duration::from_millis(20);

/// What librdkafka has complained about since a question failed last: the answer to a question says that no broker was reached,
/// not that one refused the password or has a certificate that is not trusted.
fn complaint(lookup: &BaseConsumer) -> Option<KafkaError> {
    let complaints = std::iter::from_fn(|| lookup.poll(COMPLAINT_WAIT)).filter_map(Result::err);
    let tells_little = |error: &KafkaError| {
        matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure)
        )
    };
    complaints.filter(|error| !tells_little(error)).last()
}

/// The broker-side settings of a topic.
fn settings(spec: &TopicSpec) -> Vec<(&'static str, String)> {
    let retention = spec.retention.map_or(-1, |retention| retention.as_millis() as i64);
    let batch = BATCH_BYTES.max(spec.max_record_bytes + BATCH_OVERHEAD);
    let mut settings = vec![
        ("retention.ms", retention.to_string()),
        ("cleanup.policy", if spec.compacted { "compact" } else { "delete" }.to_owned()),
        // As the producers sent it: no broker has to compress again.
        ("compression.type", "producer".to_owned()),
        ("max.message.bytes", batch.to_string()),
    ];
    if spec.compacted {
        // Whoever folds the topic reads all of it: what is superseded goes within a day, however little it is.
        settings.push(("max.compaction.lag.ms", COMPACTION_LAG.as_millis().to_string()));
    }
    settings
}
