//! The printed table of latencies.

use std::fmt;
use std::time::Duration;

use crate::cpu::table::machine;

/// One query, and how long it took each way.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: &'static str,
    /// Whether a pre-aggregation answers it.
    pub rollups: bool,
    /// The engine, asked for the same SQL.
    pub engine: Vec<Duration>,
    /// Tally, told not to answer from its cache.
    pub fresh: Vec<Duration>,
    /// Tally as a dashboard asks it.
    pub cached: Vec<Duration>,
}

/// The queries over one number of events.
#[derive(Clone, Debug)]
pub struct Table {
    page_events: u64,
    times: usize,
    rows: Vec<Row>,
}

impl Table {
    pub fn new(page_events: u64, times: usize) -> Self {
        Self { page_events, times, rows: Vec::new() }
    }

    /// Adds a row at the end.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

/// So many per cent of the samples are no larger, in milliseconds.
fn percentile(samples: &[Duration], per_cent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * per_cent).div_ceil(100).saturating_sub(1);
    sorted.get(place).map_or(0.0, |sample| sample.as_secs_f64() * 1e3)
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { page_events, times, rows } = self;
        writeln!(formatter, "{}; {page_events} page events; milliseconds, {times} times each\n", machine())?;
        writeln!(
            formatter,
            "| {:<24} | rollup | {:>10} | {:>10} | {:>9} | {:>9} | {:>9} | {:>10} | {:>10} |",
            "query",
            "engine p50",
            "engine p95",
            "ours p50",
            "ours p95",
            "more, p50",
            "cached p50",
            "cached p95"
        )?;
        writeln!(formatter, "| --- | --- | --: | --: | --: | --: | --: | --: | --: |")?;
        for Row { name, rollups, engine, fresh, cached } in rows {
            let (engine_p50, fresh_p50) = (percentile(engine, 50), percentile(fresh, 50));
            writeln!(
                formatter,
                "| {name:<24} | {:<6} | {engine_p50:>10.1} | {:>10.1} | {fresh_p50:>9.1} | {:>9.1} | {:>9.1} | {:>10.1} | {:>10.1} |",
                if *rollups { "yes" } else { "" },
                percentile(engine, 95),
                percentile(fresh, 95),
                fresh_p50 - engine_p50,
                percentile(cached, 50),
                percentile(cached, 95),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert!((percentile(&samples, 50) - 50.0).abs() < 1e-9);
        assert!((percentile(&samples, 95) - 95.0).abs() < 1e-9);
        assert!((percentile(&samples[..1], 95) - 100.0).abs() < 1e-9);
        assert!(percentile(&[], 50).abs() < 1e-9);
    }

    #[test]
    fn what_tally_adds_is_shown() {
        let mut table = Table::new(100_000, 1);
        let [engine, fresh, cached] = [4, 5, 1].map(|milliseconds| vec![Duration::from_millis(milliseconds)]);
        table.add(Row { name: "total_events", rollups: true, engine, fresh, cached });
        let printed = table.to_string();
        assert!(printed.contains("100000 page events"), "{printed}");
        let expected = "| yes    |        4.0 |        4.0 |       5.0 |       5.0 |       1.0 |        1.0 |        1.0 |";
        assert!(printed.contains(expected), "{printed}");
    }
}
