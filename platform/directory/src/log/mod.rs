//! The directory as a fold of one partition of the event log: every process that follows it holds the same state.
//!
//! Commands are decided on the state and appended as transactions (`writer`). A transaction is valid if it lies at the
//! offset that it names, which is the one that its writer had folded up to (`transaction`, `fold`): so of two commands that
//! were decided on the same state all processes take the one that reached the log first, and the other writer decides
//! again. A process begins with a snapshot of its own (`snapshot`) and reads the rest of the log before it serves
//! (`replica`). What is superseded leaves the log when the state was written again (`compact`).

mod compact;
mod fold;
mod replica;
mod snapshot;
mod transaction;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tally_eventlog::{EventLog, TopicSpec};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backend::Backend;
use crate::{Change, Directory, DirectoryError, Unavailable};

pub use compact::Compacted;
pub(crate) use replica::Replica;
pub use transaction::{Malformed, Valid, read_record};

/// The longest transaction, in bytes.
const MAX_TRANSACTION_BYTES: usize = 4 << 20;

/// The topic of a directory: one partition, compacted, kept for good.
pub fn topic(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        retention: None,
        compacted: true,
        max_record_bytes: MAX_TRANSACTION_BYTES,
    }
}

/// How a process keeps its copy of the directory.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// The topic, which has to be there.
    pub topic: String,
    /// Where this process keeps its snapshot; `None` reads the whole log at every start.
    pub snapshot_file: Option<PathBuf>,
    /// Changes between two snapshots; one is also taken at shutdown.
    pub snapshot_interval: u64,
    /// How long a command may take until it is unavailable, competition with other writers included.
    pub write_timeout: Duration,
}

impl ReplicaConfig {
    /// The defaults, without a snapshot.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            snapshot_file: None,
            snapshot_interval: 1_000_000,
            write_timeout: Duration::from_secs(10),
        }
    }
}

impl Directory {
    /// Opens this process's copy of the directory: its snapshot and the log to its end. The copy follows the log until
    /// `shutdown`. A log without a directory gets one.
    pub async fn open(
        config: ReplicaConfig,
        log: Arc<dyn EventLog>,
        shutdown: CancellationToken,
    ) -> Result<Self, DirectoryError> {
        let mut directory = Self::in_memory();
        let replica = Replica::open(config, log, Arc::clone(&directory.state), shutdown).await;
        let replica = replica.map_err(|error| DirectoryError::Unavailable(error.to_string()))?;
        let mut name = |state: &crate::State| match state.identity() {
            Some(_) => Vec::new(),
            None => vec![Change::Identity { id: Uuid::new_v4() }],
        };
        let named = replica.transact(Timestamp::now(), &mut name).await;
        named.map_err(|Unavailable(reason)| DirectoryError::Unavailable(reason))?;
        directory.backend = Backend::Log(replica);
        Ok(directory)
    }

    /// Writes the state again at the log's end, without expired reference counts, and takes out what came before. Commands
    /// go on meanwhile.
    pub async fn compact(&self) -> Result<Compacted, Unavailable> {
        match &self.backend {
            Backend::Log(replica) => {
                self.forget_expired_references(Timestamp::now()).await?;
                replica.compact().await
            }
            Backend::Memory(_) => Ok(Compacted::default()),
        }
    }

    /// Writes this process's snapshot now, where it keeps one. The error says why it could not.
    pub async fn snapshot(&self) -> Result<(), String> {
        match &self.backend {
            Backend::Log(replica) => replica.snapshot().await,
            Backend::Memory(_) => Ok(()),
        }
    }

    /// The offset up to which the log is folded into this copy.
    pub fn position(&self) -> u64 {
        match &self.backend {
            Backend::Log(replica) => replica.position(),
            Backend::Memory(_) => 0,
        }
    }

    /// Whether this copy follows its log to the end; the error says why it doesn't.
    pub async fn check(&self) -> Result<(), String> {
        match &self.backend {
            Backend::Log(replica) => replica.check().await,
            Backend::Memory(_) => Ok(()),
        }
    }

    /// Returns once the copy has stopped after `shutdown` and its snapshot is written.
    pub async fn stopped(&self) {
        if let Backend::Log(replica) = &self.backend {
            replica.stopped().await;
        }
    }
}
