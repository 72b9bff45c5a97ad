//! `system.query_log`, which the embedded engine doesn't have: the requests that this server has run, in a bounded
//! in-memory table with the columns that people look at.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

use super::{
    exception::Exception,
    execute::{Engine, Request, Work},
    ffi::{Connection, Counts},
};

/// Rows that the table keeps, and that wait to be written to it.
const KEPT: usize = 100_000;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS system.query_log (\
    type Enum8('QueryFinish' = 2, 'ExceptionWhileProcessing' = 4), event_date Date, event_time DateTime, \
    event_time_microseconds DateTime64(6), query_start_time DateTime, query_start_time_microseconds DateTime64(6), \
    query_duration_ms UInt64, read_rows UInt64, read_bytes UInt64, written_rows UInt64, written_bytes UInt64, \
    result_rows UInt64, result_bytes UInt64, current_database String, query String, query_kind LowCardinality(String), \
    exception_code Int32, exception String, user String, query_id String, Settings Map(LowCardinality(String), String)) \
    ENGINE = Memory SETTINGS min_rows_to_keep = 10000, max_rows_to_keep = 100000";

/// One row of the table.
#[derive(Debug, Serialize)]
pub struct LogEntry {
    r#type: i8,
    event_date: u64,
    event_time: u64,
    event_time_microseconds: String,
    query_start_time: u64,
    query_start_time_microseconds: String,
    query_duration_ms: u64,
    read_rows: u64,
    read_bytes: u64,
    written_rows: u64,
    written_bytes: u64,
    result_rows: u64,
    result_bytes: u64,
    current_database: String,
    query: String,
    query_kind: String,
    exception_code: u32,
    exception: String,
    user: &'static str,
    query_id: String,
    #[serde(rename = "Settings")]
    settings: serde_json::Map<String, serde_json::Value>,
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// As `DateTime64(6)` reads it.
fn microseconds(time: Duration) -> String {
    format!("{}.{:06}", time.as_secs(), time.subsec_micros())
}

impl LogEntry {
    /// The entry of a request that begins now.
    pub fn new(request: &Request) -> Self {
        let query = match &request.work {
            Work::Statement { sql, .. } => String::from_utf8_lossy(sql).into_owned(),
            Work::Insert { sql, format, .. } => format!("{sql}FORMAT {format}"),
        };
        let query_kind = query.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let query_kind = query_kind
            .chars()
            .filter(char::is_ascii_alphabetic)
            .map(|c| c.to_ascii_lowercase())
            .collect::<String>();
        let mut letters = query_kind.chars();
        let query_kind = letters.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(letters).collect();
        let start = now();
        Self {
            r#type: 2,
            event_date: 0,
            event_time: 0,
            event_time_microseconds: String::new(),
            query_start_time: start.as_secs(),
            query_start_time_microseconds: microseconds(start),
            query_duration_ms: 0,
            read_rows: 0,
            read_bytes: 0,
            written_rows: 0,
            written_bytes: 0,
            result_rows: 0,
            result_bytes: 0,
            current_database: request.database.clone().unwrap_or_else(|| "default".to_owned()),
            query,
            query_kind,
            exception_code: 0,
            exception: String::new(),
            user: "default",
            query_id: request.query_id.clone(),
            settings: request
                .settings
                .iter()
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect(),
        }
    }

    /// The entry of the request, now that it has ended.
    pub fn finished(mut self, took: Duration, counts: Counts, exception: Option<Exception>) -> Self {
        let end = now();
        self.event_date = end.as_secs() / 86_400;
        self.event_time = end.as_secs();
        self.event_time_microseconds = microseconds(end);
        self.query_duration_ms = took.as_millis() as u64;
        self.read_rows = counts.read_rows;
        self.read_bytes = counts.read_bytes;
        self.written_rows = counts.written_rows;
        self.written_bytes = counts.written_bytes;
        self.result_rows = counts.result_rows;
        self.result_bytes = counts.result_bytes;
        if let Some(exception) = exception {
            self.r#type = 4;
            self.exception_code = exception.code;
            self.exception = exception.message;
        }
        self
    }
}

/// Entries on their way to the table.
#[derive(Default)]
pub struct QueryLog {
    waiting: Mutex<Vec<LogEntry>>,
}

impl QueryLog {
    /// Creates the table.
    pub fn create(connection: &mut Connection) -> Result<Self, Exception> {
        connection.query(CREATE.as_bytes(), "Null", &[]).map_err(Exception::from_engine)?;
        Ok(Self::default())
    }

    /// Keeps an entry for the next flush.
    pub fn add(&self, entry: LogEntry) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < KEPT {
            waiting.push(entry);
        }
    }

    /// Whether a flush would write anything.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Writes what waits to the table.
    pub fn flush(&self, engine: &Engine) -> Result<(), Exception> {
        let entries = std::mem::take(&mut *self.waiting.lock());
        if entries.is_empty() {
            return Ok(());
        }
        let rows: Vec<String> = entries
            .iter()
            .map(|entry| serde_json::to_string(entry).expect("an entry has string keys and finite numbers"))
            .collect();
        let mut connection = engine.connect()?;
        let mut insert = connection
            .stream_insert(b"INSERT INTO system.query_log", "JSONEachRow", &[])
            .map_err(Exception::from_engine)?;
        insert.append(rows.join("\n").as_bytes());
        insert.finish().map(drop).map_err(Exception::from_engine)
    }
}
