//! The collector's tables: what goes in, and what is asked of them. Every statement is bounded in time.

mod row;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use clickhouse::{Client, Row};
use jiff::Timestamp;
use serde::Deserialize;
use tally_store::{Insert, Store, StoreError};
use tokio::sync::Semaphore;
use uuid::Uuid;

pub(crate) use tables::{ErrorReport, MetadataReport, StoredPing, VersionCheck};

use crate::refusal::Refusal;
use tables::Rows;

/// The tables, read and written within a time limit.
#[derive(Clone)]
pub(crate) struct Storage {
    store: Store,
    client: Client,
    limit: Duration,
    /// Turns to read what all instances do, the only statements that read more the more instances there are.
    comparing: Arc<Semaphore>,
}

/// Statements that compare instances at the same time; further ones wait within the limit.
const MAX_COMPARING: usize = 4;

/// What other instances do, as far as one instance may know.
#[derive(Debug, Default, Row, Deserialize)]
pub(crate) struct Leaders {
    /// Other instances that told their use lately.
    pub(crate) others: u64,
    /// For each feature asked about: how many of them use it.
    pub(crate) users: Vec<u64>,
    /// For each feature asked about: the mean of the most per active user.
    pub(crate) means: Vec<f64>,
}

impl Storage {
    /// `limit_s`: seconds that one statement may take, tries included.
    pub(crate) fn new(store: Store, limit_s: u64) -> Self {
        let client = store.client().clone().with_setting("max_execution_time", limit_s.to_string());
        let comparing = Arc::new(Semaphore::new(MAX_COMPARING));
        Self { store, client, limit: Duration::from_secs(limit_s), comparing }
    }

    /// Whether the payload of this instance and time is there already.
    pub(crate) async fn has_ping(&self, uuid: Uuid, recorded_at: Timestamp) -> Result<bool, Refusal> {
        let sql = "SELECT count() FROM collected_pings \
                   WHERE uuid = {uuid:UUID} AND recorded_at = fromUnixTimestamp64Milli({recorded_at:Int64}, 'UTC')";
        let query = self.client.query_raw(sql);
        let query = query.param("uuid", uuid.to_string()).param("recorded_at", recorded_at.as_millisecond());
        let count: u64 =
            self.within_limit(async { Ok(query.fetch_one().await.map_err(StoreError::from)?) }).await?;
        Ok(count > 0)
    }

    /// What the leading instances other than `uuid` make of `features`, out of each instance's latest payload since then.
    pub(crate) async fn leaders(
        &self,
        uuid: Uuid,
        since: Timestamp,
        features: &[&'static str],
        top: usize,
    ) -> Result<Leaders, Refusal> {
        let query = self.client.query_raw(&leaders_sql(features, top));
        let query = query.param("uuid", uuid.to_string()).param("since", since.as_millisecond());
        self.within_limit(async {
            let _turn = self.comparing.acquire().await;
            Ok(query.fetch_one().await.map_err(StoreError::from)?)
        })
        .await
    }

    /// Inserts rows under a token: the same token again changes nothing.
    pub(crate) async fn insert<R: Rows>(&self, rows: &[R], token: String) -> Result<(), Refusal> {
        let insert = Insert {
            table: R::TABLE,
            columns: R::COLUMNS,
            body: tables::encode(rows),
            token,
            start_before: None,
        };
        self.within_limit(async { Ok(self.store.insert(&insert).await?) }).await
    }

    async fn within_limit<T>(&self, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
        tokio::time::timeout(self.limit, work).await.unwrap_or_else(|_| Err(Refusal::store_unavailable()))
    }
}

/// One query for all features. Their names come from this program's text. Reading in the order of the table's key, newest
/// first, is several times faster than keeping the latest of each instance with `argMax`.
fn leaders_sql(features: &[&'static str], top: usize) -> String {
    let each = |expression: &dyn Fn(&str) -> String| {
        features.iter().map(|feature| expression(feature)).collect::<Vec<_>>().join(", ")
    };
    let users = each(&|feature| format!("countIf(latest_use['{feature}'] > 0)"));
    let means = each(&|feature| format!("-arrayAvg(groupArraySorted({top})(-latest_use['{feature}']))"));
    format!(
        "SELECT count() AS others, [{users}] AS users, [{means}] AS means FROM (\
           SELECT use_per_active_user AS latest_use FROM collected_pings \
           WHERE recorded_at >= fromUnixTimestamp64Milli({{since:Int64}}, 'UTC') AND uuid != {{uuid:UUID}} \
           ORDER BY uuid DESC, recorded_at DESC LIMIT 1 BY uuid) \
         WHERE notEmpty(latest_use)"
    )
}
