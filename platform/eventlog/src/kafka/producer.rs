//! Appending: a librdkafka producer whose delivery reports are gathered for each append call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::failure;
use crate::error::AppendError;
use crate::record::{Appended, Record};

pub(super) type Results = Vec<Result<Appended, AppendError>>;
type NativeProducer = ThreadedProducer<DeliveryReports>;

/// Takes librdkafka's delivery reports to the calls that wait for them.
pub(super) struct DeliveryReports;

/// One record on its way.
pub(super) struct Delivery {
    call: Arc<Call>,
    index: usize,
}

/// One append call.
struct Call {
    topic: String,
    results: Mutex<Results>,
    /// Records without a result, and one more while they are still being handed over.
    open: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<Results>>>,
    /// Room in the buffer, given back with the last result.
    room: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Call {
    fn settle(&self, index: usize, result: Result<Appended, AppendError>) {
        self.results.lock()[index] = result;
        self.close_one();
    }

    fn close_one(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) > 1 {
            return;
        }
        drop(self.room.lock().take());
        if let Some(done) = self.done.lock().take() {
            // The caller may have gone away.
            let _ = done.send(std::mem::take(&mut self.results.lock()));
        }
    }
}

impl ClientContext for DeliveryReports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let result = match result {
            Ok(message) => {
                Ok(Appended { partition: message.partition() as u32, offset: message.offset() as u64 })
            }
            Err((error, message)) => Err(failure::delivery_error(
                error,
                &delivery.call.topic,
                message.partition(),
                message.payload_len() + message.key_len(),
            )),
        };
        delivery.call.settle(delivery.index, result);
    }
}

/// A producer that is replaced once librdkafka gives it up for good.
pub(super) struct RecordProducer {
    config: rdkafka::ClientConfig,
    native: Mutex<Arc<NativeProducer>>,
}

impl RecordProducer {
    pub(super) fn new(config: rdkafka::ClientConfig) -> Result<Self, KafkaError> {
        let native = Mutex::new(Arc::new(NativeProducer::from_config_and_context(&config, DeliveryReports)?));
        Ok(Self { config, native })
    }

    /// Sends the records that are no longer than the limit to the given partitions, and returns the results of all once all
    /// are there.
    pub(super) async fn send(
        &self,
        topic: &str,
        records: &[Record],
        partitions: &[u32],
        limit: usize,
        room: OwnedSemaphorePermit,
    ) -> Results {
        let (done, results) = oneshot::channel();
        let reason = "the delivery was not reported".to_owned();
        let unreported = Err(AppendError::InDoubt { partition: None, reason });
        let call = Arc::new(Call {
            topic: topic.to_owned(),
            results: Mutex::new(vec![unreported.clone(); records.len()]),
            open: AtomicUsize::new(records.len() + 1),
            done: Mutex::new(Some(done)),
            room: Mutex::new(Some(room)),
        });
        let native = Arc::clone(&self.native.lock());
        for (index, (record, partition)) in records.iter().zip(partitions).enumerate() {
            match record.size() {
                bytes if bytes > limit => call.settle(index, Err(AppendError::TooLarge { bytes, limit })),
                _ => hand_over(&native, &call, index, record, *partition),
            }
        }
        call.close_one();
        let results = results.await.unwrap_or_else(|_| vec![unreported; records.len()]);
        if results.iter().any(Result::is_err) {
            self.replace_if_dead(&native);
        }
        results
    }

    /// An idempotent producer that can't keep its promise any more refuses everything from then on.
    fn replace_if_dead(&self, dead: &Arc<NativeProducer>) {
        let Some((code, reason)) = dead.client().fatal_error() else { return };
        let mut native = self.native.lock();
        if !Arc::ptr_eq(&native, dead) {
            return;
        }
        tracing::error!(%code, reason, "kafka producer failed for good; starting another");
        match NativeProducer::from_config_and_context(&self.config, DeliveryReports) {
            Ok(another) => *native = Arc::new(another),
            Err(error) => tracing::error!(%error, "no new kafka producer"),
        }
    }
}

fn hand_over(native: &NativeProducer, call: &Arc<Call>, index: usize, record: &Record, partition: u32) {
    let delivery = Box::new(Delivery { call: Arc::clone(call), index });
    let message = BaseRecord::<[u8], [u8], _>::with_opaque_to(&call.topic, delivery)
        .partition(partition as i32)
        .timestamp(record.timestamp);
    let message = match &record.key {
        // Without a payload it is a tombstone. Read back, the two can't be told apart.
        Some(key) if record.value.is_empty() => message.key(key),
        Some(key) => message.key(key).payload(&record.value),
        None => message.payload(&record.value),
    };
    if let Err((error, refused)) = native.send(message) {
        let delivery = refused.delivery_opaque;
        delivery.call.settle(index, Err(failure::append_error(&error, &delivery.call.topic, record.size())));
    }
}
