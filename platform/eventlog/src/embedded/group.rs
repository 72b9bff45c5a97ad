//! Consumer groups inside one process: members share the partitions of a topic, a partition changes hands only after
//! its reader has let go or was cut off, and positions are kept beside what the disk has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::membership;
use super::reader::Reader;
use super::storage::{Changes, Storage, keys};
use super::topic::Topic;
use super::writer::Jobs;
use crate::error::{CommitError, LogError};
use crate::log::{Assignment, GroupConsumer};
use crate::position::Position;

/// One group on one topic.
pub(super) struct Group {
    name: String,
    topic: Arc<Topic>,
    jobs: Jobs,
    drain_timeout: Duration,
    state: Mutex<State>,
    slots: Vec<Slot>,
}

/// What outlives the owners of a partition.
struct Slot {
    /// The position as the disk has it, or the one that the group began with.
    position: Mutex<Option<Position>>,
    /// Held during a commit until the disk has it or has failed, even if the one who commits is gone meanwhile.
    commits: Arc<AsyncMutex<()>>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Member>,
    /// Who has each partition, or has not let go of it yet.
    owners: Vec<Option<Arc<Lease>>>,
    next_member: u64,
}

struct Member {
    /// Partitions given to the member that it has not fetched from `next_assignment`.
    offers: VecDeque<Arc<Lease>>,
    offered: Arc<Notify>,
    /// Where to wait for readers that have to let go.
    runtime: Handle,
}

/// One member's hold on one partition.
pub(super) struct Lease {
    pub(super) partition: u32,
    member: u64,
    /// Fires when the partition is being taken away; no commit begins after that.
    pub(super) revoked: CancellationToken,
    /// Fires when the reader is gone.
    pub(super) released: CancellationToken,
}

impl Lease {
    fn new(partition: u32, member: u64) -> Arc<Self> {
        let (revoked, released) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { partition, member, revoked, released })
    }
}

impl Group {
    pub(super) fn new(name: &str, topic: Arc<Topic>, jobs: Jobs, drain_timeout: Duration) -> Self {
        let slot = |_| Slot { position: Mutex::default(), commits: Arc::default() };
        let slots: Vec<Slot> = (0..topic.partition_count()).map(slot).collect();
        let owners = vec![None; slots.len()];
        let state = Mutex::new(State { owners, ..State::default() });
        Self { name: name.to_owned(), topic, jobs, drain_timeout, state, slots }
    }

    /// Takes over a position found on disk.
    pub(super) fn restore(&self, partition: u32, position: Position) {
        if let Some(slot) = self.slots.get(partition as usize) {
            *slot.position.lock() = Some(position);
        }
    }

    /// The oldest offset that the group still needs, if it ever was at this partition.
    pub(super) fn oldest_needed(&self, partition: u32) -> Option<u64> {
        self.slots[partition as usize].position.lock().as_ref().map(Position::oldest_needed)
    }

    /// Gives every partition without a position one at its oldest record, so that retention waits for the group from
    /// now on. The caller keeps retention from deleting meanwhile.
    pub(super) fn begin(&self) {
        for (slot, partition) in self.slots.iter().zip(&self.topic.partitions) {
            slot.position.lock().get_or_insert_with(|| Position::at(partition.watermarks().low));
        }
    }

    async fn store(
        self: &Arc<Self>,
        partition: u32,
        position: Position,
        commit: OwnedMutexGuard<()>,
    ) -> Result<(), LogError> {
        let key = keys::position(&self.name, &self.topic.name, partition);
        let changes = Changes { meta: vec![(key, encode_position(&position))], ..Changes::default() };
        let group = Arc::clone(self);
        let on_durable = move || {
            *group.slots[partition as usize].position.lock() = Some(position);
            drop(commit);
        };
        self.jobs.change(changes, on_durable).await
    }

    /// Commits for a lease, unless it is being taken away.
    pub(super) async fn commit(
        self: &Arc<Self>,
        lease: &Lease,
        position: &Position,
    ) -> Result<(), CommitError> {
        let commit = Arc::clone(&self.slots[lease.partition as usize].commits).lock_owned().await;
        // Whoever takes the partition away cancels first and then waits for the lock that is held here.
        if lease.revoked.is_cancelled() {
            return Err(CommitError::Revoked);
        }
        Ok(self.store(lease.partition, position.clone(), commit).await?)
    }

    /// Adds a member, which gets its share of the partitions.
    pub(super) fn join(self: &Arc<Self>, storage: &Arc<Storage>) -> Consumer {
        let mut state = self.state.lock();
        let member = state.next_member;
        state.next_member += 1;
        let offered = Arc::new(Notify::new());
        let joined =
            Member { offers: VecDeque::new(), offered: Arc::clone(&offered), runtime: Handle::current() };
        state.members.insert(member, joined);
        self.rebalance(&mut state);
        Consumer { group: Arc::clone(self), storage: Arc::clone(storage), member, offered }
    }

    fn leave(self: &Arc<Self>, member: u64) {
        let mut state = self.state.lock();
        let Some(left) = state.members.remove(&member) else { return };
        let leases: Vec<Arc<Lease>> =
            state.owners.iter().flatten().filter(|lease| lease.member == member).cloned().collect();
        for lease in leases {
            if left.offers.iter().any(|offer| Arc::ptr_eq(offer, &lease)) {
                lease.released.cancel();
            }
            self.revoke(lease, &left.runtime);
        }
        self.rebalance(&mut state);
    }

    /// Gives out what is free and takes back what is to go elsewhere.
    fn rebalance(self: &Arc<Self>, state: &mut State) {
        let members: Vec<u64> = state.members.keys().copied().collect();
        let holds = |lease: &Arc<Lease>| (!lease.revoked.is_cancelled()).then_some(lease.member);
        let present: Vec<Option<u64>> =
            state.owners.iter().map(|owner| owner.as_ref().and_then(holds)).collect();
        for (number, wanted) in membership::spread(&present, &members).into_iter().enumerate() {
            match (&state.owners[number], wanted) {
                (None, Some(member)) => state.offer(Lease::new(number as u32, member)),
                (Some(lease), _) if wanted != present[number] && present[number].is_some() => {
                    self.take_back(Arc::clone(lease), state);
                }
                _ => {}
            }
        }
    }

    fn take_back(self: &Arc<Self>, lease: Arc<Lease>, state: &mut State) {
        let Some(member) = state.members.get_mut(&lease.member) else { return };
        let before = member.offers.len();
        member.offers.retain(|offer| !Arc::ptr_eq(offer, &lease));
        if member.offers.len() < before {
            lease.released.cancel();
        }
        let runtime = member.runtime.clone();
        self.revoke(lease, &runtime);
    }

    /// Tells the reader to let go; once it has, or was cut off, the partition is free.
    fn revoke(self: &Arc<Self>, lease: Arc<Lease>, runtime: &Handle) {
        if lease.revoked.is_cancelled() {
            return;
        }
        lease.revoked.cancel();
        let group = Arc::clone(self);
        runtime.spawn(async move {
            if tokio::time::timeout(group.drain_timeout, lease.released.cancelled()).await.is_err() {
                tracing::warn!(
                    group = group.name,
                    topic = group.topic.name,
                    partition = lease.partition,
                    "reader did not let go of its partition in time; it is cut off"
                );
            }
            // A commit that has begun is let finish: the next owner must see it.
            drop(group.slots[lease.partition as usize].commits.lock().await);
            group.free(&lease);
        });
    }

    fn free(self: &Arc<Self>, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        let owner = &mut state.owners[lease.partition as usize];
        if owner.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, lease)) {
            *owner = None;
            self.rebalance(&mut state);
        }
    }

    /// A reader was dropped. Unless its partition is being taken away, the member is offered it again.
    pub(super) fn released(&self, lease: &Arc<Lease>) {
        let mut state = self.state.lock();
        lease.released.cancel();
        if !lease.revoked.is_cancelled() {
            lease.revoked.cancel();
            state.offer(Lease::new(lease.partition, lease.member));
        }
    }
}

impl State {
    fn offer(&mut self, lease: Arc<Lease>) {
        let Some(member) = self.members.get_mut(&lease.member) else { return };
        member.offers.push_back(Arc::clone(&lease));
        member.offered.notify_one();
        let partition = lease.partition as usize;
        self.owners[partition] = Some(lease);
    }
}

/// A member of a group.
pub(super) struct Consumer {
    group: Arc<Group>,
    storage: Arc<Storage>,
    member: u64,
    offered: Arc<Notify>,
}

impl Consumer {
    fn first_offer(&self) -> Option<Arc<Lease>> {
        self.group.state.lock().members.get(&self.member)?.offers.front().cloned()
    }

    /// Takes the offer, unless it was withdrawn meanwhile.
    fn take(&self, lease: &Arc<Lease>) -> bool {
        let mut state = self.group.state.lock();
        let Some(member) = state.members.get_mut(&self.member) else { return false };
        let before = member.offers.len();
        member.offers.retain(|offer| !Arc::ptr_eq(offer, lease));
        member.offers.len() < before
    }
}

#[async_trait]
impl GroupConsumer for Consumer {
    async fn next_assignment(&mut self) -> Result<Assignment, LogError> {
        loop {
            let Some(lease) = self.first_offer() else {
                self.offered.notified().await;
                continue;
            };
            let slot = &self.group.slots[lease.partition as usize];
            // A commit whose caller went away may still be on its way to the disk.
            let commits = slot.commits.lock().await;
            if !self.take(&lease) {
                continue;
            }
            let position = slot.position.lock().clone().unwrap_or_default();
            drop(commits);
            let partition = lease.partition;
            let reader = Reader::new(
                Arc::clone(&self.group),
                Arc::clone(&self.group.topic),
                Arc::clone(&self.storage),
                lease,
                position.next_offset,
            );
            return Ok(Assignment { partition, position, reader: Box::new(reader) });
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.group.leave(self.member);
    }
}

fn encode_position(position: &Position) -> Vec<u8> {
    let mut bytes = position.next_offset.to_be_bytes().to_vec();
    bytes.extend_from_slice(position.metadata().as_bytes());
    bytes
}

/// Reads a position as stored: the next offset, then the metadata string.
pub(super) fn decode_position(bytes: &[u8]) -> Result<Position, LogError> {
    let corrupt = || LogError::Corrupt(format!("group position {bytes:?}"));
    let (next_offset, metadata) = bytes.split_first_chunk::<8>().ok_or_else(corrupt)?;
    let metadata = std::str::from_utf8(metadata).map_err(|_| corrupt())?;
    Position::from_metadata(u64::from_be_bytes(*next_offset), metadata).map_err(|_| corrupt())
}
