//! `Store`: the one way Tally talks to ClickHouse, whether embedded or a server. `insert` is about exactly-once inserts,
//! `errors` about what ClickHouse's errors mean.

mod errors;
mod insert;

use std::time::Duration;

use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use self::insert::quoted;
pub use self::{
    errors::StoreError,
    insert::{Insert, InsertError, LARGEST_BODY},
};

/// Shorter than any keep-alive of ClickHouse, so that a pooled connection is never one that it is just closing.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const TCP_KEEPALIVE: Duration = Duration::from_mins(1);

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
    /// How long one request may take, from its first byte to the server's final answer.
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

/// A ClickHouse database.
#[derive(Clone)]
pub struct Store {
    client: clickhouse::Client,
    config: StoreConfig,
}

impl Store {
    /// A store that connects when it is first used.
    pub fn new(config: StoreConfig) -> Self {
        let mut client = connecting_within(config.connect_timeout)
            .with_url(&config.url)
            .with_database(&config.database)
            .with_product_info("tally", env!("CARGO_PKG_VERSION"))
            .with_compression(match config.compression {
                Compression::Lz4 => clickhouse::Compression::Lz4,
                Compression::None => clickhouse::Compression::None,
            });
        if let Some(user) = &config.user {
            client = client.with_user(user);
        }
        if let Some(password) = &config.password {
            client = client.with_password(password);
        }
        Self { client, config }
    }

    /// The client, with database, user and compression set: for queries.
    pub fn client(&self) -> &clickhouse::Client {
        &self.client
    }

    pub fn config(&self) -> &StoreConfig {
        &self.config
    }

    /// Whether ClickHouse answers a query within the connect timeout; for readiness.
    pub async fn check(&self) -> Result<(), StoreError> {
        let answer = self.client.query("SELECT 1").fetch_one::<u8>();
        let answer = tokio::time::timeout(self.config.connect_timeout, answer).await;
        answer.map_err(|_| StoreError::timeout())?.map(drop).map_err(StoreError::from)
    }

    /// Runs a statement as it is, without placeholders, and waits for its end.
    pub async fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.execute(&self.client, sql).await
    }

    /// What a statement that creates, changes or drops a table says after the table's name, so that all servers of the cluster
    /// do; nothing for a single node.
    pub fn on_cluster(&self) -> String {
        self.config
            .cluster
            .as_ref()
            .map_or_else(String::new, |cluster| format!(" ON CLUSTER {}", quoted(cluster)))
    }

    /// Runs a statement as it is, without placeholders.
    pub(crate) async fn execute(&self, client: &clickhouse::Client, sql: &str) -> Result<(), StoreError> {
        let answer = client.query_raw(sql).execute();
        let answer = tokio::time::timeout(self.config.request_timeout, answer).await;
        answer.map_err(|_| StoreError::timeout())?.map_err(StoreError::from)
    }
}

fn connecting_within(connect_timeout: Duration) -> clickhouse::Client {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect_timeout));
    connector.set_keepalive(Some(TCP_KEEPALIVE));
    connector.set_nodelay(true);
    let http = HttpClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build(connector);
    clickhouse::Client::with_http_client(http)
}
