//! Runs what a ping needs, at once: the statements about counters, one for all SQL, and Prometheus. What fails, fails for
//! the metrics that needed it, and says why.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clickhouse::Row;
use serde::Deserialize;

use super::compile::Statements;
use crate::warehouse::{Warehouse, WarehouseError};
use tally_store::Statement;

/// Label of the ping's queries in the metrics.
pub(super) const PURPOSE: &str = "service_ping";

/// What was read, or the text of why not, and how long it took.
#[derive(Clone, Debug)]
pub(super) struct Reading<T> {
    pub rows: Result<T, String>,
    pub elapsed: Duration,
}

impl<T: Default> Default for Reading<T> {
    fn default() -> Self {
        Self { rows: Ok(T::default()), elapsed: Duration::ZERO }
    }
}

impl<T> Reading<T> {
    /// Waits for `read` and takes the time.
    pub async fn of(read: impl Future<Output = Result<T, WarehouseError>>) -> Self {
        let started = Instant::now();
        let rows = read.await.map_err(|error| error.to_string());
        Self { rows, elapsed: started.elapsed() }
    }
}

/// A value of a counted property, and how often it occurred in each window.
pub(super) type ValueCounts = (String, [u64; 3]);

/// What the tables hold about counters.
#[derive(Debug, Default)]
pub(super) struct CounterReadings {
    /// By counter: the counts of the last week, the last four weeks, and all time.
    pub counts: Reading<HashMap<String, [u64; 3]>>,
    /// By counter: the sums, in billionths, so that adding them up is exact.
    pub sums: Reading<HashMap<String, [i128; 3]>>,
    /// By counter: the estimates for the last week and the last four weeks.
    pub uniques: Reading<HashMap<String, [u64; 2]>>,
    /// By union: the same.
    pub unions: Reading<HashMap<usize, [u64; 2]>>,
    /// By counter: each value and how often it occurred.
    pub unique_totals: Reading<HashMap<String, Vec<ValueCounts>>>,
}

#[derive(Row, Deserialize)]
struct CounterRow {
    counter: String,
    count_week: u64,
    count_month: u64,
    count_all: u64,
}

#[derive(Row, Deserialize)]
struct SumRow {
    counter: String,
    sum_week: String,
    sum_month: String,
    sum_all: String,
}

#[derive(Row, Deserialize)]
struct TotalsRow {
    counter: String,
    value: String,
    week: u64,
    month: u64,
    all: u64,
}

#[derive(Row, Deserialize)]
struct UniqueRow {
    counter: String,
    week: u64,
    month: u64,
}

#[derive(Row, Deserialize)]
struct UnionRow {
    number: i64,
    week: u64,
    month: u64,
}

/// Runs the statements at once: each keeps about one core busy.
pub(super) async fn execute(warehouse: &Warehouse, statements: &Statements) -> CounterReadings {
    let (counts, sums, unique_totals, uniques, unions) = tokio::join!(
        Reading::of(counts(warehouse, &statements.counters)),
        Reading::of(sums(warehouse, statements.sums.as_ref())),
        Reading::of(totals(warehouse, statements.unique_totals.as_ref())),
        Reading::of(uniques(warehouse, &statements.uniques)),
        Reading::of(unions(warehouse, &statements.unions)),
    );
    CounterReadings { counts, sums, uniques, unions, unique_totals }
}

async fn counts(
    warehouse: &Warehouse,
    statement: &Statement,
) -> Result<HashMap<String, [u64; 3]>, WarehouseError> {
    let rows = warehouse.rows::<CounterRow>(PURPOSE, statement).await?;
    let counts = |row: CounterRow| (row.counter, [row.count_week, row.count_month, row.count_all]);
    Ok(rows.into_iter().map(counts).collect())
}

async fn sums(
    warehouse: &Warehouse,
    statement: Option<&Statement>,
) -> Result<HashMap<String, [i128; 3]>, WarehouseError> {
    let Some(statement) = statement else { return Ok(HashMap::new()) };
    let rows = warehouse.rows::<SumRow>(PURPOSE, statement).await?;
    let sums = |row: SumRow| {
        (row.counter, [&row.sum_week, &row.sum_month, &row.sum_all].map(|text| billionths(text)))
    };
    Ok(rows.into_iter().map(sums).collect())
}

async fn totals(
    warehouse: &Warehouse,
    statement: Option<&Statement>,
) -> Result<HashMap<String, Vec<ValueCounts>>, WarehouseError> {
    let mut totals: HashMap<String, Vec<ValueCounts>> = HashMap::new();
    let Some(statement) = statement else { return Ok(totals) };
    for row in warehouse.rows::<TotalsRow>(PURPOSE, statement).await? {
        totals.entry(row.counter).or_default().push((row.value, [row.week, row.month, row.all]));
    }
    Ok(totals)
}

async fn uniques(
    warehouse: &Warehouse,
    statement: &Statement,
) -> Result<HashMap<String, [u64; 2]>, WarehouseError> {
    let rows = warehouse.rows::<UniqueRow>(PURPOSE, statement).await?;
    Ok(rows.into_iter().map(|row| (row.counter, [row.week, row.month])).collect())
}

async fn unions(
    warehouse: &Warehouse,
    statements: &[Statement],
) -> Result<HashMap<usize, [u64; 2]>, WarehouseError> {
    let mut unions = HashMap::new();
    for statement in statements {
        let rows = warehouse.rows::<UnionRow>(PURPOSE, statement).await?;
        unions.extend(rows.into_iter().map(|row| (row.number as usize, [row.week, row.month])));
    }
    Ok(unions)
}

/// ClickHouse's text of a `Decimal(38, 9)`, which leaves out trailing zeros, in billionths.
fn billionths(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<9}");
    digits
        .parse()
        .expect("ClickHouse prints a decimal as digits with an optional sign and at most nine places")
}
