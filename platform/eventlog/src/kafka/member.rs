//! One member of a consumer group: the partitions it has, whom they are lent to, and the thread that serves librdkafka.
//!
//! The thread polls, which runs the rebalance callbacks; records don't pass through it, as every partition has a queue
//! of its own. A partition that is given away is answered for only after its reader is gone or was cut off.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;

use super::config::KafkaConfig;
use super::context::{GroupContext, HighWatermarks, NativeConsumer};
use super::failure::unavailable;
use super::lease::{Lease, RecordQueue};
use super::lookup;
use crate::error::LogError;
use crate::position::Position;

/// How long one poll of librdkafka takes at most when nothing happens, and so how soon a stop is noticed.
const POLL: Duration = Duration::from_millis(50);
/// Between attempts to find out a partition's position.
const RETRY: Duration = Duration::from_millis(500);

/// How long librdkafka is given to tell the brokers that a member with a name leaves. Else they find out by its silence.
const GOOD_BYE: Duration = Duration::from_millis(500);

/// What the thread, the callbacks, the consumer and the readers share.
pub(super) struct Member {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) high_watermarks: HighWatermarks,
    drain_timeout: Duration,
    request_timeout: Duration,
    state: Mutex<State>,
    pub(super) offered: Notify,
    stop: AtomicBool,
    /// Once it has fired, this member keeps its place in the group. One without a name never does.
    keeps_place: Option<Arc<OnceLock<CancellationToken>>>,
}

#[derive(Default)]
struct State {
    partitions: BTreeMap<u32, Held>,
    /// Partitions to hand to whoever waits for an assignment.
    offers: VecDeque<Offer>,
    errors: VecDeque<LogError>,
}

/// An assigned partition.
struct Held {
    queue: Arc<RecordQueue>,
    commits: Arc<AsyncMutex<()>>,
    /// Whom it is lent to; `None` while its position has to be found out.
    lease: Option<Arc<Lease>>,
}

/// A partition with the position to begin at.
#[derive(Clone)]
pub(super) struct Offer {
    pub(super) lease: Arc<Lease>,
    pub(super) position: Position,
}

impl Member {
    pub(super) fn new(
        config: &KafkaConfig,
        group: &str,
        topic: &str,
        keeps_place: Option<Arc<OnceLock<CancellationToken>>>,
    ) -> Self {
        Self {
            group: group.to_owned(),
            topic: topic.to_owned(),
            high_watermarks: HighWatermarks::default(),
            drain_timeout: config.drain_timeout,
            request_timeout: config.request_timeout,
            state: Mutex::default(),
            offered: Notify::new(),
            stop: AtomicBool::new(false),
            keeps_place,
        }
    }

    /// The next partition for whoever waits for one, or an error that he should know of.
    pub(super) fn take_offer(&self) -> Option<Result<Offer, LogError>> {
        let mut state = self.state.lock();
        let offer = state.offers.pop_front().map(Ok);
        offer.or_else(|| state.errors.pop_front().map(Err))
    }

    /// Asks the thread to leave the group.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        let leases =
            self.state.lock().partitions.values().filter_map(|held| held.lease.clone()).collect::<Vec<_>>();
        for lease in leases {
            lease.revoked.cancel();
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn keeps_place(&self) -> bool {
        let shutdown = self.keeps_place.as_ref().and_then(|known| known.get());
        shutdown.is_some_and(CancellationToken::is_cancelled)
    }

    /// A reader was dropped. Unless the partition is being taken away, its position is found out again and the
    /// partition is offered again.
    pub(super) fn returned(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        lease.release();
        if lease.revoked.is_cancelled() {
            return;
        }
        lease.revoked.cancel();
        if let Some(held) = state.partitions.get_mut(&lease.partition) {
            held.lease = None;
        }
    }

    /// Takes partitions that the group gives to this member: gives each a queue, and sets where to begin.
    pub(super) fn prepare(&self, consumer: &Arc<NativeConsumer>, partitions: &mut TopicPartitionList) {
        let numbers: Vec<u32> =
            partitions.elements().iter().map(|element| element.partition() as u32).collect();
        let positions = self.positions(consumer, &numbers);
        if let Err(error) = &positions {
            tracing::warn!(group = self.group, topic = self.topic, %error, "positions not found out; trying again");
        }
        let positions = positions.unwrap_or_default();
        let mut state = self.state.lock();
        for number in numbers {
            let Some(native) = consumer.split_partition_queue(&self.topic, number as i32) else { continue };
            let held = Held { queue: RecordQueue::new(native), commits: Arc::default(), lease: None };
            state.partitions.insert(number, held);
            // Without a position it begins anywhere; the thread seeks to the right place before it is lent.
            let position = positions.get(&number).cloned();
            let offset = position
                .as_ref()
                .map_or(Offset::Beginning, |position| Offset::Offset(position.next_offset as i64));
            if let Err(error) = partitions.set_partition_offset(&self.topic, number as i32, offset) {
                tracing::error!(partition = number, %error, "could not set where to begin");
            } else if let Some(position) = position {
                self.offer(&mut state, number, position);
            }
        }
    }

    fn offer(&self, state: &mut State, partition: u32, position: Position) {
        let Some(held) = state.partitions.get_mut(&partition) else { return };
        let lease = Lease::new(partition, Arc::clone(&held.queue), Arc::clone(&held.commits));
        held.lease = Some(Arc::clone(&lease));
        state.offers.push_back(Offer { lease, position });
        self.offered.notify_one();
    }

    /// Where the group is in each partition; at the oldest record where it has never been.
    fn positions(
        &self,
        consumer: &NativeConsumer,
        partitions: &[u32],
    ) -> KafkaResult<BTreeMap<u32, Position>> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&self.topic, *partition as i32);
        }
        let committed = consumer.committed_offsets(list, self.request_timeout)?;
        let mut positions = BTreeMap::new();
        for element in committed.elements() {
            element.error()?;
            let position = if let Offset::Offset(offset) = element.offset() {
                self.committed(offset as u64, element.metadata())
            } else {
                let partition = element.partition() as u32;
                let reach = lookup::watermarks(consumer, &self.topic, partition, self.request_timeout)?;
                Some(Position::at(reach.low))
            };
            positions.extend(position.map(|position| (element.partition() as u32, position)));
        }
        Ok(positions)
    }

    /// `None`, and an error for whoever waits, when a later version has committed what can't be read here.
    fn committed(&self, offset: u64, metadata: &str) -> Option<Position> {
        let position = Position::from_metadata(offset, metadata);
        let corrupt = |error: &dyn std::error::Error| LogError::Corrupt(error.to_string());
        position.inspect_err(|error| self.report(corrupt(error))).ok()
    }

    fn report(&self, error: LogError) {
        let mut state = self.state.lock();
        // One that nobody fetches need not be kept twice.
        if state.errors.back() != Some(&error) {
            state.errors.push_back(error);
            self.offered.notify_one();
        }
    }

    /// Takes partitions back that go elsewhere; returns when nobody works on them any more.
    pub(super) fn take_back(&self, partitions: &TopicPartitionList) {
        self.take_back_numbers(partitions.elements().iter().map(|element| element.partition() as u32));
    }

    fn take_back_all(&self) {
        let numbers: Vec<u32> = self.state.lock().partitions.keys().copied().collect();
        self.take_back_numbers(numbers.into_iter());
    }

    fn take_back_numbers(&self, numbers: impl Iterator<Item = u32>) {
        let taken: Vec<Held> = {
            let mut state = self.state.lock();
            let taken: Vec<Held> = numbers.filter_map(|number| state.partitions.remove(&number)).collect();
            let leases = || taken.iter().filter_map(|held| held.lease.as_ref());
            leases().for_each(|lease| lease.revoked.cancel());
            // Not fetched by anybody yet.
            let withdrawn = |offer: &Offer| leases().any(|lease| Arc::ptr_eq(lease, &offer.lease));
            state.offers.iter().filter(|offer| withdrawn(offer)).for_each(|offer| offer.lease.release());
            state.offers.retain(|offer| !withdrawn(offer));
            taken
        };
        let deadline = Instant::now() + self.drain_timeout;
        for held in taken {
            self.wait_for_reader(&held, deadline.saturating_duration_since(Instant::now()));
        }
    }

    fn wait_for_reader(&self, held: &Held, timeout: Duration) {
        if let Some(lease) = &held.lease
            && !lease.wait_released(timeout)
        {
            tracing::warn!(
                group = self.group,
                topic = self.topic,
                partition = lease.partition,
                "reader did not let go of its partition in time; it is cut off"
            );
        }
        // A commit that has begun is let finish: the next owner must see it, and it must not be sent under a
        // generation that this member joins later. librdkafka gives it up after the session timeout.
        drop(held.commits.blocking_lock());
        drop(held.queue.native.lock().take());
    }
}

/// Starts the member's consumer and thread.
pub(super) fn start(
    config: &KafkaConfig,
    member: &Arc<Member>,
    name: Option<&str>,
) -> Result<(Weak<NativeConsumer>, std::thread::JoinHandle<()>), LogError> {
    let context = GroupContext { member: Arc::clone(member), consumer: OnceLock::new() };
    let native = config.consumer(&member.group, name);
    let consumer =
        NativeConsumer::from_config_and_context(&native, context).map_err(|error| configuration(&error))?;
    let consumer = Arc::new(consumer);
    let weak = Arc::downgrade(&consumer);
    consumer.context().consumer.set(weak.clone()).expect("the consumer is set once, here");
    consumer.subscribe(&[&member.topic]).map_err(|error| unavailable(&error))?;
    let member = Arc::clone(member);
    let thread = std::thread::Builder::new()
        .name("eventlog-group".to_owned())
        .spawn(move || serve(&member, &consumer));
    Ok((weak, thread.map_err(|error| LogError::Unavailable(error.to_string()))?))
}

fn configuration(error: &KafkaError) -> LogError {
    LogError::Configuration(error.to_string())
}

/// The thread: until the member is to leave, then until it has left.
fn serve(member: &Arc<Member>, consumer: &Arc<NativeConsumer>) {
    let mut next_attempt = Instant::now();
    while !member.is_stopping() {
        poll(member, consumer);
        if Instant::now() >= next_attempt && !member.lend_again(consumer) {
            next_attempt = Instant::now() + RETRY;
        }
    }
    if member.keeps_place() {
        // Closing the consumer, unlike unsubscribing, tells the brokers nothing of a member with a name.
        return member.take_back_all();
    }
    consumer.unsubscribe();
    let deadline = Instant::now() + member.drain_timeout + member.request_timeout;
    while !member.state.lock().partitions.is_empty() && Instant::now() < deadline {
        poll(member, consumer);
    }
    if member.keeps_place.is_some() {
        // librdkafka does not tell when it has said good-bye, and closed before, it does not for a member with a name.
        let said = Instant::now() + GOOD_BYE;
        while Instant::now() < said {
            poll(member, consumer);
        }
    }
    // Whatever is left holds the consumer through its queue.
    for held in std::mem::take(&mut member.state.lock().partitions).into_values() {
        drop(held.queue.native.lock().take());
    }
}

fn poll(member: &Member, consumer: &NativeConsumer) {
    match consumer.poll(POLL) {
        None => {}
        // Every partition has a queue of its own, set before librdkafka fetches from it.
        Some(Ok(_)) => tracing::error!(
            group = member.group,
            topic = member.topic,
            "record outside of its partition's queue"
        ),
        Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => member.report(unavailable(&error)),
        Some(Err(error)) => {
            tracing::warn!(group = member.group, topic = member.topic, %error, "kafka consumer");
        }
    }
}

impl Member {
    /// Offers partitions whose reader was dropped, at the position that was committed last. `false`: some of them have
    /// to wait.
    fn lend_again(&self, consumer: &Arc<NativeConsumer>) -> bool {
        let idle: Vec<u32> = {
            let state = self.state.lock();
            state
                .partitions
                .iter()
                .filter(|(_, held)| held.lease.is_none())
                .map(|(number, _)| *number)
                .collect()
        };
        if idle.is_empty() {
            return true;
        }
        let lent = self.positions(consumer, &idle).and_then(|positions| {
            let complete = positions.len() == idle.len();
            for (partition, position) in positions {
                self.go_to(consumer, partition, position.next_offset)?;
                self.offer(&mut self.state.lock(), partition, position);
            }
            Ok(complete)
        });
        lent.unwrap_or_else(|error| {
            tracing::warn!(group = self.group, topic = self.topic, %error, "can't offer a returned partition yet");
            false
        })
    }

    /// Only on the thread that polls, so that no rebalance gets between.
    fn go_to(&self, consumer: &Arc<NativeConsumer>, partition: u32, offset: u64) -> KafkaResult<()> {
        // One that has stopped reading, or not begun, refuses to seek.
        lookup::seek(consumer, &self.topic, partition, offset, RETRY)
            .or_else(|_| lookup::restart(consumer, &self.topic, partition, offset))
    }
}
