//! One member's hold on one partition, shared by the group's thread and the partition's reader.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rdkafka::consumer::base_consumer::PartitionQueue;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;

use super::context::GroupContext;

/// From the assignment of a partition, or its reader's return, until the reader is dropped.
pub(super) struct Lease {
    pub(super) partition: u32,
    /// Fires when the partition is being taken away; no commit begins after that.
    pub(super) revoked: CancellationToken,
    /// Held during a commit, until the brokers have answered.
    pub(super) commits: Arc<AsyncMutex<()>>,
    pub(super) queue: Arc<RecordQueue>,
    released: Mutex<bool>,
    on_release: Condvar,
}

/// Where librdkafka puts what it has fetched of one partition.
pub(super) struct RecordQueue {
    /// Gone once the partition is.
    pub(super) native: Mutex<Option<PartitionQueue<GroupContext>>>,
    pub(super) arrived: Arc<Notify>,
}

impl RecordQueue {
    pub(super) fn new(mut native: PartitionQueue<GroupContext>) -> Arc<Self> {
        let arrived = Arc::new(Notify::new());
        let waker = Arc::clone(&arrived);
        native.set_nonempty_callback(move || waker.notify_one());
        Arc::new(Self { native: Mutex::new(Some(native)), arrived })
    }
}

impl Lease {
    pub(super) fn new(partition: u32, queue: Arc<RecordQueue>, commits: Arc<AsyncMutex<()>>) -> Arc<Self> {
        let revoked = CancellationToken::new();
        Arc::new(Self {
            partition,
            revoked,
            commits,
            queue,
            released: Mutex::new(false),
            on_release: Condvar::new(),
        })
    }

    /// The reader is gone.
    pub(super) fn release(&self) {
        *self.released.lock() = true;
        self.on_release.notify_all();
    }

    /// Waits until the reader is gone. `false`: it is still there after the given time.
    pub(super) fn wait_released(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut released = self.released.lock();
        while !*released {
            if self.on_release.wait_until(&mut released, deadline).timed_out() {
                return *released;
            }
        }
        true
    }
}
