//! Searches the log for records in doubt, so that only those are sent again that it has not.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::Shared;
use super::drain::{Failure, partition_of};
use super::entry::{Fate, Spooled, identity};
use super::files::Located;
use super::progress::{Place, Progress};
use crate::record::FetchLimits;

/// Records in doubt that are searched for at once; more are searched for later.
const MAX_SUSPECTS: usize = 1 << 20;
/// Bytes of entries read at once.
const READ_BYTES: usize = 4 << 20;
/// How far the clocks of brokers may be behind those of producers, in milliseconds. It matters where topics keep the
/// brokers' time.
const CLOCK_SKEW: i64 = 60_000;
const LIMITS: FetchLimits =
    FetchLimits { max_records: 10_000, max_bytes: 4 << 20, max_wait: Duration::from_millis(250) };

/// The outcome of a search for all records in doubt up to a place of the spool.
pub(super) struct Found {
    pub(super) until: Place,
    /// How often each was found.
    copies: HashMap<u128, u32>,
}

impl Found {
    /// Whether the log has the record. Each copy that it has stands for one record.
    pub(super) fn take(&mut self, identity: u128) -> bool {
        match self.copies.get_mut(&identity) {
            Some(copies @ 1..) => {
                *copies -= 1;
                true
            }
            _ => false,
        }
    }
}

/// What to look for in one partition.
struct Wanted {
    /// The oldest timestamp.
    since: i64,
    identities: HashSet<u128>,
}

/// By topic and partition.
type Suspects = BTreeMap<(String, u32), Wanted>;

/// Searches for the records in doubt from `progress` on: all of those that were being sent, and those that were spooled as
/// such. Waits until the log has answered for long enough, so that what it may have is there to be found.
pub(super) async fn search(shared: &Shared, progress: Progress) -> Result<Found, Failure> {
    let (suspects, until) = gather(shared, progress).await?;
    settle(shared).await?;
    let scans = suspects.iter().map(|((topic, partition), wanted)| scan(shared, topic, *partition, wanted));
    let mut copies = HashMap::new();
    for found in try_join_all(scans).await? {
        for identity in found {
            *copies.entry(identity).or_default() += 1;
        }
    }
    tracing::info!(
        partitions = suspects.len(),
        wanted = suspects.values().map(|wanted| wanted.identities.len()).sum::<usize>(),
        found = copies.len(),
        "searched the log for records in doubt"
    );
    Ok(Found { until, copies })
}

async fn gather(shared: &Shared, progress: Progress) -> Result<(Suspects, Place), Failure> {
    let (mut suspects, mut at, mut count) = (Suspects::new(), progress.at, 0);
    while count < MAX_SUSPECTS {
        let entries = shared.read(at, READ_BYTES).await?;
        let Some((_, end)) = entries.last() else { break };
        at = *end;
        for located in &entries {
            count += suspect(shared, &mut suspects, progress, located).await?;
        }
    }
    Ok((suspects, at))
}

/// Adds the records in doubt of one entry. Returns how many there are.
async fn suspect(
    shared: &Shared,
    suspects: &mut Suspects,
    progress: Progress,
    (entry, end): &Located,
) -> Result<usize, Failure> {
    let sending = progress.sending.filter(|sending| *end <= sending.to);
    let mut count = 0;
    for spooled in &entry.records {
        let in_doubt = matches!(spooled.fate, Fate::InDoubt(_));
        if sending.is_none() && !in_doubt {
            continue;
        }
        count += 1;
        let partitions = match (sending, spooled.fate) {
            (Some(sending), Fate::Unsent | Fate::InDoubt(Some(_))) => {
                let partition = partition_of(spooled, sending.partitions, sending.keyless);
                partition..partition + 1
            }
            (_, Fate::InDoubt(Some(partition))) => partition..partition + 1,
            _ => anywhere(spooled, shared.partitions(&entry.topic).await?),
        };
        for partition in partitions {
            let wanted = suspects
                .entry((entry.topic.clone(), partition))
                .or_insert_with(|| Wanted { since: i64::MAX, identities: HashSet::new() });
            wanted.since = wanted.since.min(spooled.record.timestamp);
            wanted.identities.insert(spooled.identity(&entry.topic));
        }
    }
    Ok(count)
}

/// Where a record may be of which only its key tells.
fn anywhere(spooled: &Spooled, partitions: u32) -> std::ops::Range<u32> {
    match spooled.record.key {
        Some(_) => {
            let partition = partition_of(spooled, partitions, 0);
            partition..partition + 1
        }
        None => 0..partitions,
    }
}

/// Waits until the log has answered for as long as it may hold records back, without a break.
async fn settle(shared: &Shared) -> Result<(), Failure> {
    let until = Instant::now() + shared.config.settle;
    loop {
        shared.ask().await.map_err(Failure::Log)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(shared.config.probe_interval)).await;
    }
}

/// Those of the wanted records that are in the partition, each as often as it is.
async fn scan(shared: &Shared, topic: &str, partition: u32, wanted: &Wanted) -> Result<Vec<u128>, Failure> {
    let failed = |error: crate::LogError| Failure::Log(error.to_string());
    let log = &shared.log;
    let from =
        log.offset_at(topic, partition, wanted.since.saturating_sub(CLOCK_SKEW)).await.map_err(failed)?;
    let reach = log.watermarks(topic).await.map_err(failed)?;
    let end = reach.get(partition as usize).map_or(0, |reach| reach.high);
    let mut found = Vec::new();
    if from >= end {
        return Ok(found);
    }
    let mut tail = log.tail(topic, partition, from).await.map_err(failed)?;
    let mut moved = Instant::now();
    while tail.next_offset() < end {
        let before = tail.next_offset();
        for record in tail.fetch(LIMITS).await.map_err(failed)? {
            let identity = identity(topic, record.key.as_deref(), &record.value);
            if wanted.identities.contains(&identity) {
                found.push(identity);
            }
        }
        if tail.next_offset() > before {
            moved = Instant::now();
        } else if moved.elapsed() > shared.config.append_timeout {
            return Err(Failure::Log(format!("partition {partition} of {topic} can't be read")));
        }
    }
    Ok(found)
}
