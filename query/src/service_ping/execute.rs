//! Runs a ping's statements and gathers what the tables answered, by counter and by union.

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;

use super::compile::Statements;
use crate::warehouse::{Warehouse, WarehouseError};

/// Label of the ping's queries in the metrics.
const PURPOSE: &str = "service_ping";

/// What the tables hold: per counter the numbers of the last week, the last four weeks, and all time.
#[derive(Debug, Default)]
pub struct Readings {
    pub(super) counts: HashMap<String, [u64; 3]>,
    pub(super) sums: HashMap<String, [f64; 3]>,
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

pub(super) async fn execute(
    warehouse: &Warehouse,
    statements: &Statements,
) -> Result<Readings, WarehouseError> {
    let mut readings = Readings::default();
    for row in warehouse.rows::<CounterRow>(PURPOSE, &statements.counters).await? {
        let sums = [&row.sum_week, &row.sum_month, &row.sum_all].map(|text| decimal(text));
        readings.counts.insert(row.counter.clone(), [row.count_week, row.count_month, row.count_all]);
        readings.sums.insert(row.counter, sums);
    }
    if let Some(statement) = &statements.unique_totals {
        for row in warehouse.rows::<TotalsRow>(PURPOSE, statement).await? {
            let counts = [row.week, row.month, row.all];
            readings.unique_totals.entry(row.counter).or_default().push((row.value, counts));
        }
    }
    for row in warehouse.rows::<UniqueRow>(PURPOSE, &statements.uniques).await? {
        readings.uniques.insert(row.counter, [row.week, row.month]);
    }
    for statement in &statements.unions {
        for row in warehouse.rows::<UnionRow>(PURPOSE, statement).await? {
            readings.unions.insert(row.number as usize, [row.week, row.month]);
        }
    }
    Ok(readings)
}

/// The nearest double to a `Decimal(38, 9)`: what every JSON reader makes of the number.
fn decimal(text: &str) -> f64 {
    text.parse().expect("ClickHouse prints a decimal as digits with an optional sign and point")
}
