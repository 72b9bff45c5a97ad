//! Runs a ping's statements and gathers what the tables answered, by counter and by union.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::compile::Statements;
use crate::statement::Statement;
use crate::warehouse::{Warehouse, WarehouseError};

/// Label of the ping's queries in the metrics.
const PURPOSE: &str = "service_ping";

/// What the tables hold: per counter the numbers of the last week, the last four weeks, and all time.
#[derive(Debug, Default)]
pub struct Readings {
    pub(super) counts: HashMap<String, [u64; 3]>,
    /// In billionths, so that adding them up is exact.
    pub(super) sums: HashMap<String, [i128; 3]>,
    /// By counter: the estimates for the last week and the last four weeks.
    pub(super) uniques: HashMap<String, [u64; 2]>,
    /// By union: the same.
    pub(super) unions: HashMap<usize, [u64; 2]>,
    /// By counter: each value and how often it occurred.
    pub(super) unique_totals: HashMap<String, Vec<(String, [u64; 3])>>,
}

#[derive(Row, Deserialize)]
struct CounterRow {
    counter: String,
    count_week: u64,
    count_month: u64,
    count_all: u64,
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
pub(super) async fn execute(
    warehouse: &Warehouse,
    statements: &Statements,
) -> Result<Readings, WarehouseError> {
    let (counters, unique_totals, uniques, unions) = tokio::try_join!(
        warehouse.rows::<CounterRow>(PURPOSE, &statements.counters),
        totals(warehouse, statements.unique_totals.as_ref()),
        warehouse.rows::<UniqueRow>(PURPOSE, &statements.uniques),
        unions(warehouse, &statements.unions),
    )?;
    let mut readings = Readings::default();
    for row in counters {
        let sums = [&row.sum_week, &row.sum_month, &row.sum_all].map(|text| billionths(text));
        readings.counts.insert(row.counter.clone(), [row.count_week, row.count_month, row.count_all]);
        readings.sums.insert(row.counter, sums);
    }
    for row in unique_totals {
        let counts = [row.week, row.month, row.all];
        readings.unique_totals.entry(row.counter).or_default().push((row.value, counts));
    }
    readings.uniques = uniques.into_iter().map(|row| (row.counter, [row.week, row.month])).collect();
    readings.unions = unions.into_iter().map(|row| (row.number as usize, [row.week, row.month])).collect();
    Ok(readings)
}

async fn totals(
    warehouse: &Warehouse,
    statement: Option<&Statement>,
) -> Result<Vec<TotalsRow>, WarehouseError> {
    match statement {
        Some(statement) => warehouse.rows(PURPOSE, statement).await,
        None => Ok(Vec::new()),
    }
}

async fn unions(warehouse: &Warehouse, statements: &[Statement]) -> Result<Vec<UnionRow>, WarehouseError> {
    let mut rows = Vec::new();
    for statement in statements {
        rows.append(&mut warehouse.rows(PURPOSE, statement).await?);
    }
    Ok(rows)
}

/// ClickHouse's text of a `Decimal(38, 9)`, which leaves out trailing zeros, in billionths.
fn billionths(text: &str) -> i128 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<9}");
    digits
        .parse()
        .expect("ClickHouse prints a decimal as digits with an optional sign and at most nine places")
}
