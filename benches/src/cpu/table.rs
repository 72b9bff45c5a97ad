//! The printed table of CPU costs, with the machine they come from.

use std::fmt;
use std::fs;
use std::time::Duration;

/// One measurement.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// How many events went through.
    pub events: u64,
    /// CPU time, user and system.
    pub cpu: Duration,
    /// Wall-clock time.
    pub elapsed: Duration,
    /// Most resident memory, in bytes.
    pub peak_memory: u64,
    /// CPU-seconds per million events that the design allows.
    pub at_most: f64,
}

impl Row {
    /// CPU-seconds per million events.
    pub fn cpu_per_million(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.events as f64
    }

    /// Events per second of wall-clock time.
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }
}

/// All measurements so far.
#[derive(Clone, Debug)]
pub struct Table {
    machine: String,
    rows: Vec<Row>,
}

impl Table {
    /// A table without rows for this machine.
    pub fn new() -> Self {
        Self { machine: machine(), rows: Vec::new() }
    }

    /// Adds a row at the end.
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}\n", self.machine)?;
        writeln!(
            formatter,
            "| {:<22} | {:>9} | {:>7} | {:>15} | {:>7} | {:>13} | {:>9} | {:>8} |",
            "what", "events", "CPU-s", "CPU-s/1M events", "at most", "events/s/core", "events/s", "peak MiB"
        )?;
        writeln!(formatter, "| --- | --: | --: | --: | --: | --: | --: | --: |")?;
        for row in &self.rows {
            writeln!(
                formatter,
                "| {:<22} | {:>9} | {:>7.2} | {:>15.2} | {:>7.1} | {:>13.0} | {:>9.0} | {:>8} |",
                row.what,
                row.events,
                row.cpu.as_secs_f64(),
                row.cpu_per_million(),
                row.at_most,
                1e6 / row.cpu_per_million(),
                row.rate(),
                row.peak_memory >> 20,
            )?;
        }
        Ok(())
    }
}

/// The processor's name and how many of it there are.
pub(crate) fn machine() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu_info.lines().find(|line| line.starts_with("model name"));
    let name = model.and_then(|line| line.split_once(": ")).map_or("unknown processor", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{name}, {cores} cores")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_per_million_events() {
        let row = Row {
            what: "ingest",
            events: 500_000,
            cpu: Duration::from_millis(2_250),
            elapsed: Duration::from_secs(4),
            peak_memory: 64 << 20,
            at_most: 5.0,
        };
        assert!((row.cpu_per_million() - 4.5).abs() < 1e-9 && (row.rate() - 125_000.0).abs() < 1e-9);
        let printed = Table { machine: "a machine".to_owned(), rows: vec![row] }.to_string();
        let expected =
            "|    500000 |    2.25 |            4.50 |     5.0 |        222222 |    125000 |       64 |";
        assert!(printed.contains(expected), "{printed}");
    }
}
