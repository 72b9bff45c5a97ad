//! Runs the SQL of metrics: all of it as one query; where that fails, each piece alone, so that one bad definition costs no
//! more than its own value.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::execute::PURPOSE;
use super::sql::{self, Framed};
use crate::warehouse::Warehouse;

/// Seconds that a query of metrics may take.
const MAX_SECONDS: u32 = 10;

/// What was read for the pieces.
#[derive(Debug, Default)]
pub(super) struct SqlReadings {
    /// For each piece its value as a text, null, or the text of why it could not be read.
    pub values: Vec<Result<Option<String>, String>>,
    /// How long one piece took; of a joint query its share.
    pub elapsed: Duration,
    /// How many queries it took.
    pub queries: usize,
    /// How many rows ClickHouse read, where it says so.
    pub rows_read: Option<u64>,
}

/// Reads the pieces as of `now`.
pub(super) async fn execute(warehouse: &Warehouse, pieces: &[Framed<'_>], now: Timestamp) -> SqlReadings {
    if pieces.is_empty() {
        return SqlReadings::default();
    }
    let warehouse = warehouse.read_only(MAX_SECONDS);
    let started = Instant::now();
    let mut readings = match run(&warehouse, pieces, now).await {
        Ok((values, rows_read)) => SqlReadings {
            values: values.into_iter().map(Ok).collect(),
            queries: 1,
            rows_read,
            ..SqlReadings::default()
        },
        Err(error) if pieces.len() == 1 => {
            SqlReadings { values: vec![Err(error)], queries: 1, ..SqlReadings::default() }
        }
        Err(error) => {
            tracing::warn!(error, "the metrics' joint query failed, each is tried alone");
            one_by_one(&warehouse, pieces, now).await
        }
    };
    readings.elapsed = started.elapsed() / u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    readings
}

async fn one_by_one(warehouse: &Warehouse, pieces: &[Framed<'_>], now: Timestamp) -> SqlReadings {
    let mut readings = SqlReadings { queries: 1 + pieces.len(), ..SqlReadings::default() };
    for piece in pieces {
        let value = run(warehouse, std::slice::from_ref(piece), now).await;
        readings.values.push(value.map(|(mut values, _)| values.pop().flatten()));
    }
    readings
}

type Row = (Vec<Option<String>>, Option<u64>);

/// One value a piece. The engine's own limit ends a slow query; the deadline here is for an engine that doesn't answer.
async fn run(warehouse: &Warehouse, pieces: &[Framed<'_>], now: Timestamp) -> Result<Row, String> {
    let statement = sql::joint(pieces, now);
    let deadline = Duration::from_secs(u64::from(MAX_SECONDS) + 5);
    let row = tokio::time::timeout(deadline, warehouse.row(PURPOSE, &statement)).await;
    let (values, rows_read) =
        row.map_err(|_| "clickhouse did not answer".to_owned())?.map_err(|error| error.to_string())?;
    if values.len() == pieces.len() {
        Ok((values, rows_read))
    } else {
        Err(format!("{} values were asked for, {} came", pieces.len(), values.len()))
    }
}
