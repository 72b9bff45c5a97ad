//! Exactly-once inserts: fixed bytes under a deduplication token, sent again until ClickHouse's final answer is known,
//! with settings that make one insert one block of each table partition.
//!
//! What a token is worth when ClickHouse is killed depends on the tables. Replicated ones commit part and token in one
//! step. Others record the token first: the embedded engine takes tokens without data out when it starts, but a server
//! of its own with tables that aren't replicated can take the replay of a lost insert for a repetition. Their log of
//! tokens is not fsynced either: after a power loss it may lag the parts, and a replay may count twice.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;

use super::{
    Store,
    errors::{Meaning, describe, meaning},
};

/// What goes to the socket at once.
const PIECE: usize = 1 << 20;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);

/// The largest body of an insert, in bytes: more might not be one block.
pub const LARGEST_BODY: usize = 64 << 20;

/// A block is cut at a number of rows; no body has as many, as a row takes a byte at least. Smaller blocks are put
/// together up to both minima. A token covers one block of a partition: a second one would not be recognised.
const ONE_BLOCK: [(&str, &str); 9] = [
    ("max_insert_block_size", "67108865"),
    ("min_insert_block_size_rows", "67108865"),
    ("min_insert_block_size_bytes", "1073741824"),
    ("input_format_parallel_parsing", "0"),
    ("max_insert_threads", "1"),
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // No header before the end: a status of 200 is the final answer.
    ("wait_end_of_query", "1"),
];

/// One insert: fixed bytes under a token, so that sending it again changes nothing.
#[derive(Debug, Clone)]
pub struct Insert<'a> {
    pub table: &'a str,
    /// The columns in the order of the body's `RowBinary` fields.
    pub columns: &'a [&'a str],
    /// Rows in `RowBinary`, of one table partition; at most 64 MiB, or the insert is rejected. 200,000 rows are a good
    /// upper bound: many more take ClickHouse's memory.
    pub body: Bytes,
    /// `insert_deduplication_token`.
    pub token: String,
    /// No try starts later: the token may leave the table's window after it.
    pub start_before: Option<Instant>,
}

/// Why an insert did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// The data aren't at fault; the same insert (same bytes, same token) may be sent later. It may have succeeded.
    #[error("insert into {table} failed {tries} times: {message}")]
    Outage { table: String, tries: u32, message: String },
    /// Not tried again, as its time was over. Announce it anew, then send it again. It may have succeeded.
    #[error(
        "insert into {table} may not start any more: announced too long ago, after {tries} tries: {message}"
    )]
    Late { table: String, tries: u32, message: String },
    /// ClickHouse refused the data; the same bytes will be refused again.
    #[error("insert into {table} was refused: {message}")]
    Rejected { table: String, message: String },
}

impl Insert<'_> {
    fn sql(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|column| quoted(column)).collect();
        format!("INSERT INTO {} ({}) FORMAT RowBinary", quoted(self.table), columns.join(", "))
    }

    fn check_size(&self) -> Result<(), InsertError> {
        let length = self.body.len();
        if length <= LARGEST_BODY {
            return Ok(());
        }
        let message =
            format!("its {length} bytes are more than the {LARGEST_BODY} that are sure to be one block");
        Err(InsertError::Rejected { table: self.table.to_owned(), message })
    }

    fn may_start(&self) -> bool {
        self.start_before.is_none_or(|start_before| Instant::now() < start_before)
    }
}

pub(super) fn quoted(identifier: &str) -> String {
    format!("`{}`", identifier.replace('\\', "\\\\").replace('`', "\\`"))
}

impl Store {
    /// Inserts fixed bytes under a token. `Ok` only after ClickHouse's final answer.
    ///
    /// A failure that passes is tried again, up to the configured number of tries with jittered exponential pauses. After
    /// an error the insert may still have succeeded (or may yet succeed): the token makes sending it again harmless.
    pub async fn insert(&self, insert: &Insert<'_>) -> Result<(), InsertError> {
        insert.check_size()?;
        let sql = insert.sql();
        let mut message = String::new();
        for tries in 0..self.config.tries.max(1) {
            if tries > 0 {
                let pause = backoff(tries, rand::rng().random_range(0.0..1.0));
                tokio::time::sleep(pause).await;
            }
            if !insert.may_start() {
                return Err(InsertError::Late { table: insert.table.to_owned(), tries, message });
            }
            let Err(error) = self.insert_once(&sql, insert).await else { return Ok(()) };
            message = describe(&error);
            match meaning(&error) {
                Meaning::Passing => {
                    tracing::warn!(
                        table = insert.table,
                        token = insert.token,
                        tries,
                        error = message,
                        "insert failed"
                    );
                }
                Meaning::Standing => {
                    let (table, tries) = (insert.table.to_owned(), tries + 1);
                    return Err(InsertError::Outage { table, tries, message });
                }
                Meaning::BadData => {
                    return Err(InsertError::Rejected { table: insert.table.to_owned(), message });
                }
            }
        }
        let (table, tries) = (insert.table.to_owned(), self.config.tries.max(1));
        Err(InsertError::Outage { table, tries, message })
    }

    async fn insert_once(&self, sql: &str, insert: &Insert<'_>) -> Result<(), clickhouse::error::Error> {
        let mut request =
            self.client.insert_formatted_with(sql).with_setting("insert_deduplication_token", &insert.token);
        for (name, value) in ONE_BLOCK {
            request = request.with_setting(name, value);
        }
        let sending = async {
            let mut body = insert.body.clone();
            while !body.is_empty() {
                request.send(body.split_to(PIECE.min(body.len()))).await?;
            }
            request.end().await
        };
        tokio::time::timeout(self.config.request_timeout, sending)
            .await
            .unwrap_or(Err(clickhouse::error::Error::TimedOut))
    }
}

/// The pause before try number `tries` (from 1): doubling, and between half of it and all of it by `random` in 0..1.
fn backoff(tries: u32, random: f64) -> Duration {
    let full = FIRST_BACKOFF.saturating_mul(1 << (tries - 1).min(16)).min(LONGEST_BACKOFF);
    full.mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_vary() {
        let milliseconds = |tries, random| backoff(tries, random).as_millis();
        assert_eq!((milliseconds(1, 0.0), milliseconds(1, 1.0)), (100, 200));
        assert_eq!((milliseconds(2, 1.0), milliseconds(3, 1.0)), (400, 800));
        assert_eq!(milliseconds(40, 1.0), 5000);
    }

    #[test]
    fn identifiers_are_quoted() {
        let insert = Insert {
            table: "t`x",
            columns: &["a", "format"],
            body: Bytes::new(),
            token: String::new(),
            start_before: None,
        };
        assert_eq!(insert.sql(), "INSERT INTO `t\\`x` (`a`, `format`) FORMAT RowBinary");
    }

    #[tokio::test]
    async fn an_insert_beyond_one_block_is_rejected_unsent() {
        let store = Store::new(super::super::StoreConfig::new("http://127.0.0.1:1"));
        let insert = |length| Insert {
            table: "t",
            columns: &["a"],
            body: Bytes::from(vec![0; length]),
            token: String::new(),
            start_before: Some(Instant::now()),
        };
        let fits = store.insert(&insert(LARGEST_BODY)).await;
        assert!(matches!(fits, Err(InsertError::Late { .. })), "{fits:?}");
        let error = store.insert(&insert(LARGEST_BODY + 1)).await.unwrap_err();
        assert!(matches!(error, InsertError::Rejected { .. }), "{error:?}");
        assert!(error.to_string().contains("67108865 bytes"), "{error}");
    }

    #[tokio::test]
    async fn an_insert_whose_time_is_over_is_not_sent() {
        let store = Store::new(super::super::StoreConfig::new("http://127.0.0.1:1"));
        let insert = Insert {
            table: "t",
            columns: &["a"],
            body: Bytes::new(),
            token: String::new(),
            start_before: Some(Instant::now()),
        };
        assert!(matches!(store.insert(&insert).await, Err(InsertError::Late { tries: 0, .. })));
    }
}
