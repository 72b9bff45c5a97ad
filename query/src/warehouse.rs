//! Runs statements on ClickHouse under the configured limits, and says why one failed. The only place of this crate that
//! talks to ClickHouse.

use std::time::Instant;

use clickhouse::error::Error as ClientError;
use clickhouse::query::Query;
use clickhouse::{Client, QuerySummary, RowOwned, RowRead};
use tally_service::api::ApiError;
use tally_store::Store;

use crate::config::QueryLimits;
use crate::metrics::QueryMetrics;
use tally_store::{Parameter, Statement};

/// Seconds that a client is asked to wait while ClickHouse does not answer.
const RETRY_AFTER_S: u64 = 5;

/// Bytes that one row may take: many times a whole Service Ping's.
const MAX_ROW_BYTES: usize = 1 << 20;

/// Why a statement gave no rows.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// ClickHouse did not answer; the same query may work later.
    #[error("clickhouse did not answer: {0}")]
    Unavailable(String),
    /// The query went past a limit on time, memory or rows.
    #[error("{0}")]
    OverLimit(String),
    /// ClickHouse refused the query; the text is its own.
    #[error("{0}")]
    Refused(String),
    /// The answer was not what the query asked for.
    #[error("clickhouse's answer can't be read: {0}")]
    Undecodable(String),
}

impl WarehouseError {
    /// Whether ClickHouse says that the database or the table isn't there (codes 81 and 60).
    pub fn is_missing_table(&self) -> bool {
        matches!(self, Self::Refused(text) if matches!(exception_code(text), Some(81 | 60)))
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::OverLimit(_) => "over_limit",
            Self::Refused(_) => "refused",
            Self::Undecodable(_) => "undecodable",
        }
    }
}

/// A ClickHouse database, read within limits.
#[derive(Clone)]
pub struct Warehouse {
    client: Client,
    metrics: QueryMetrics,
    max_seconds: u32,
}

impl Warehouse {
    /// Reads from `store`, every query within `limits`.
    pub fn new(store: &Store, limits: &QueryLimits, metrics: QueryMetrics) -> Self {
        let client = store
            .client()
            .clone()
            .with_setting("max_execution_time", limits.max_seconds.to_string())
            .with_setting("max_memory_usage", limits.max_memory_bytes.to_string())
            .with_setting("max_rows_to_read", limits.max_rows_read.to_string())
            .with_setting("max_result_rows", limits.max_rows_returned.to_string());
        Self { client, metrics, max_seconds: limits.max_seconds }
    }

    /// The rows of a statement whose columns are known. `purpose` labels the metrics.
    pub async fn rows<T: RowOwned + RowRead>(
        &self,
        purpose: &'static str,
        statement: &Statement,
    ) -> Result<Vec<T>, WarehouseError> {
        let read = async { self.prepare(statement).fetch_all::<T>().await.map_err(WarehouseError::from) };
        self.measured(purpose, read).await
    }

    /// The rows of a statement whose columns are all strings or null, in the statement's column order.
    pub async fn texts(
        &self,
        purpose: &'static str,
        statement: &Statement,
    ) -> Result<Vec<Vec<Option<String>>>, WarehouseError> {
        let read = async {
            let mut cursor = self.prepare(statement).fetch_bytes("JSONCompactEachRow")?;
            read_texts(&cursor.collect().await?)
        };
        self.measured(purpose, read).await
    }

    /// The rows of a statement whose columns are all strings or null as ClickHouse writes them: one JSON list a line, valid
    /// UTF-8 whatever the columns hold. An answer of more than `max_bytes` is over the limit.
    pub async fn lines(
        &self,
        purpose: &'static str,
        statement: &Statement,
        max_bytes: usize,
    ) -> Result<Vec<u8>, WarehouseError> {
        let read = async {
            let query = self
                .prepare(statement)
                // Reads only; a server ends such a query when nobody waits for its answer any more.
                .with_setting("readonly", "2")
                .with_setting("cancel_http_readonly_queries_on_client_close", "1")
                .with_setting("output_format_json_validate_utf8", "1")
                .with_setting("output_format_json_quote_64bit_integers", "1");
            let mut cursor = query.fetch_bytes("JSONCompactEachRow")?;
            let mut lines = Vec::new();
            while let Some(bytes) = cursor.next().await? {
                if lines.len() + bytes.len() > max_bytes {
                    return Err(WarehouseError::OverLimit(format!(
                        "an answer of more than {max_bytes} bytes"
                    )));
                }
                lines.extend_from_slice(&bytes);
            }
            Ok(lines)
        };
        self.measured(purpose, read).await
    }

    /// The first row of a statement whose columns are all strings or null, and how many rows ClickHouse read for it, where
    /// it says so. ClickHouse limits the bytes of an answer between rows only, so that this one is limited here.
    pub async fn row(
        &self,
        purpose: &'static str,
        statement: &Statement,
    ) -> Result<(Vec<Option<String>>, Option<u64>), WarehouseError> {
        let read = async {
            let mut cursor = self.prepare(statement).fetch_bytes("JSONCompactEachRow")?;
            let mut body = Vec::new();
            while let Some(bytes) = cursor.next().await? {
                body.extend_from_slice(&bytes);
                if body.len() > MAX_ROW_BYTES {
                    return Err(WarehouseError::OverLimit(format!(
                        "a row of more than {MAX_ROW_BYTES} bytes"
                    )));
                }
            }
            let rows = read_texts(&body)?;
            let rows_read = cursor.summary().and_then(QuerySummary::read_rows);
            let row = rows.into_iter().next();
            Ok((row.ok_or_else(|| WarehouseError::Undecodable("no row".to_owned()))?, rows_read))
        };
        self.measured(purpose, read).await
    }

    /// The same database for SQL that isn't Tally's own: nothing can be written by it, and a query ends after
    /// `max_seconds`, or earlier where the limits say so.
    #[must_use]
    pub fn read_only(&self, max_seconds: u32) -> Self {
        let max_seconds = max_seconds.min(self.max_seconds);
        let client = self
            .client
            .clone()
            .with_setting("readonly", "1")
            .with_setting("max_execution_time", max_seconds.to_string());
        Self { client, metrics: self.metrics.clone(), max_seconds }
    }

    fn prepare(&self, statement: &Statement) -> Query {
        let mut query = self.client.query_raw(&statement.sql);
        for (number, value) in statement.parameters.iter().enumerate() {
            let name = Statement::parameter_name(number);
            query = match value {
                Parameter::Text(text) => query.param(&name, text),
                Parameter::Texts(texts) => query.param(&name, texts),
                Parameter::Integer(integer) => query.param(&name, integer),
                Parameter::Integers(integers) => query.param(&name, integers),
                Parameter::Unsigned(unsigned) => query.param(&name, unsigned),
                Parameter::Float(float) => query.param(&name, float),
                Parameter::Floats(floats) => query.param(&name, floats),
            };
        }
        query
    }

    async fn measured<T>(
        &self,
        purpose: &'static str,
        read: impl Future<Output = Result<T, WarehouseError>>,
    ) -> Result<T, WarehouseError> {
        let started = Instant::now();
        let result = read.await;
        let outcome = result.as_ref().map_or_else(WarehouseError::outcome, |_| "ok");
        self.metrics.clickhouse_queries.with_label_values(&[purpose, outcome]).inc();
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.clickhouse_query_seconds.with_label_values(&[purpose]).observe(seconds);
        result
    }
}

fn read_texts(body: &[u8]) -> Result<Vec<Vec<Option<String>>>, WarehouseError> {
    serde_json::Deserializer::from_slice(body)
        .into_iter::<Vec<Option<String>>>()
        .collect::<Result<_, _>>()
        .map_err(|error| WarehouseError::Undecodable(error.to_string()))
}

impl From<ClientError> for WarehouseError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::BadResponse(text) => {
                tracing::warn!(%text, "clickhouse refused a query");
                let told = without_sql(&text);
                match exception_code(&text) {
                    Some(158 | 159 | 160 | 241 | 307 | 396) => Self::OverLimit(told),
                    Some(_) => Self::Refused(told),
                    None => Self::Unavailable(told),
                }
            }
            ClientError::Network(source) => Self::Unavailable(source.to_string()),
            ClientError::TimedOut => Self::Unavailable("timed out".to_owned()),
            other => Self::Undecodable(other.to_string()),
        }
    }
}

/// What a client is told when its answer needed this query. The cause goes to the log.
impl From<WarehouseError> for ApiError {
    fn from(error: WarehouseError) -> Self {
        tracing::warn!(%error, "a query has no answer");
        match error {
            WarehouseError::Unavailable(_) => {
                Self::Unavailable { reason: "the database does not answer", retry_after_s: RETRY_AFTER_S }
            }
            _ => Self::Internal,
        }
    }
}

/// What stands in ClickHouse's texts before a piece of the query or of its plan.
const BEFORE_SQL: [&str; 9] = [
    ": In scope ",
    ": in scope ",
    " in scope ",
    ": While executing ",
    ": while executing ",
    ": While processing ",
    ": while processing ",
    ": failed at position ",
    "(in query: ",
];

/// An exception's text up to where it begins to repeat the query, which is ours and not the client's.
fn without_sql(text: &str) -> String {
    let cut = BEFORE_SQL.iter().filter_map(|marker| text.find(marker)).min();
    text[..cut.unwrap_or(text.len())].trim_end().to_owned()
}

/// The number in ClickHouse's `Code: 81. DB::Exception: …`.
fn exception_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split('.').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_classed_by_its_code() {
        let class = |text: &str| WarehouseError::from(ClientError::BadResponse(text.to_owned()));
        assert!(class("Code: 60. DB::Exception: Unknown table (UNKNOWN_TABLE)").is_missing_table());
        assert!(class("Code: 81. DB::Exception: Database x does not exist").is_missing_table());
        assert!(matches!(class("Code: 159. DB::Exception: Timeout"), WarehouseError::OverLimit(_)));
        assert!(matches!(class("Code: 241. DB::Exception: Memory"), WarehouseError::OverLimit(_)));
        assert!(matches!(class("Code: 62. DB::Exception: Syntax error"), WarehouseError::Refused(_)));
        assert!(!class("Code: 62. DB::Exception: Syntax error").is_missing_table());
        assert!(matches!(class("502 Bad Gateway"), WarehouseError::Unavailable(_)));
    }

    #[test]
    fn an_exceptions_text_ends_before_the_query() {
        let prefix = "Code: 36. DB::Exception: Bad time zone";
        for rest in [
            ": In scope SELECT secret FROM t. (BAD_ARGUMENTS)",
            " in scope (SELECT secret FROM t). (UNKNOWN_IDENTIFIER)",
            ": while executing 'FUNCTION f(secret)': While processing x",
            ": While processing toTimeZone(secret)",
            ": failed at position 8 (secret): SELECT secret",
            " (in query: SELECT secret)",
        ] {
            let error = WarehouseError::from(ClientError::BadResponse(format!("{prefix}{rest}")));
            assert!(matches!(&error, WarehouseError::Refused(text) if text == prefix), "{error}");
        }
    }

    #[test]
    fn rows_of_texts_keep_nulls() {
        let rows = read_texts(b"[\"a\", null]\n[\"b\\n\", \"1\"]\n").unwrap();
        assert_eq!(rows, [vec![Some("a".into()), None], vec![Some("b\n".into()), Some("1".into())]]);
        assert!(matches!(read_texts(b"[\"a\"]\nCode: 1"), Err(WarehouseError::Undecodable(_))));
    }
}
