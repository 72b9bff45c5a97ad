//! Compares what the tables say with what the producer recorded: everything acknowledged is there once, everything else
//! at most once, and every number follows from what is there.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::ledger::{Fate, Kind, Ledger};
use super::workload::{NUMBER, Workload};
use crate::process::{ADMIN_TOKEN, binary, clickhouse, service_ping};
use crate::reference::Expected;

/// The id of the first user in a new directory, whose token sends everything.
const TOKEN_USER: i64 = 1;
/// Rows read at a time.
const SLICE: u64 = 250_000;
/// Of a hundred that were sent, those that are acknowledged at least; a client that sends once loses what a dying process had.
const LEAST_PERCENT: u64 = 70;
/// Differences that are shown.
const SHOWN: usize = 20;

/// What a judgement stands on.
pub struct Judge<'j> {
    pub workload: &'j Workload,
    pub ledger: &'j Ledger,
    pub folder: &'j Path,
    pub definitions: &'j [String],
    pub python: PathBuf,
    pub store: String,
    pub query: String,
    /// Settings under which the product's own commands work.
    pub settings: Vec<String>,
}

/// One thing that is not as it should be.
#[derive(Debug)]
struct Difference {
    kind: Kind,
    number: u64,
    what: &'static str,
}

/// How much was judged.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Events, page events and contributions: sent, acknowledged, in the table.
    counts: BTreeMap<&'static str, [u64; 3]>,
    repeated: u64,
    answers: BTreeMap<String, u64>,
    metrics: String,
}

impl Judge<'_> {
    /// Fails with all that is wrong.
    pub async fn judge(&self) -> Result<Verdict> {
        let mut verdict = Verdict {
            repeated: self.ledger.repeated.load(std::sync::atomic::Ordering::Relaxed),
            answers: self.ledger.answers().clone(),
            ..Verdict::default()
        };
        let mut differences = Vec::new();
        let mut stored = Vec::new();
        for kind in [Kind::Event, Kind::Page, Kind::Contribution] {
            let times = self.times(kind).await?;
            differences.extend(self.differences(kind, &times));
            let there = times.iter().filter(|times| **times > 0).count() as u64;
            let reached = |fate| self.ledger.reached(kind, fate);
            verdict.counts.insert(table(kind), [reached(Fate::Sent), reached(Fate::Acknowledged), there]);
            if kind == Kind::Event {
                stored = times;
            }
        }
        for [sent, acknowledged, _] in verdict.counts.values() {
            ensure!(acknowledged * 100 >= sent * LEAST_PERCENT, "too little was taken:\n{verdict}");
        }
        if !differences.is_empty() {
            return Err(anyhow::anyhow!(self.describe(&differences).await?).context(verdict.to_string()));
        }
        self.check_events().await?;
        self.check_dead_letters().await?;
        verdict.metrics = self.compare_metrics(&stored).await.context(verdict.to_string())?;
        self.check_derived().await?;
        Ok(verdict)
    }

    /// How often each number is in its table.
    async fn times(&self, kind: Kind) -> Result<Vec<u8>> {
        let count = self.ledger.count(kind);
        let mut times = vec![0_u8; count as usize];
        let (number, table, source) = (number_of(kind), table(kind), source_of(kind));
        let strange = format!(
            "SELECT count() FROM {table} WHERE {source} AND NOT ({number} BETWEEN 0 AND {count} - 1)"
        );
        let strange = clickhouse(&self.store, &strange).await?;
        ensure!(strange == "0", "{strange} rows of {table} that nobody sent");
        for from in (0..count).step_by(SLICE as usize) {
            let to = from + SLICE;
            let sql = format!(
                "SELECT {number} AS number, count() FROM {table} WHERE {source} AND number >= {from} AND number < {to} GROUP BY number"
            );
            for line in clickhouse(&self.store, &sql).await?.lines() {
                let (number, rows) = line.split_once('\t').context("two columns")?;
                times[number.parse::<usize>()?] = rows.parse::<u64>()?.min(255) as u8;
            }
        }
        Ok(times)
    }

    fn differences(&self, kind: Kind, times: &[u8]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (number, times) in (0..).zip(times) {
            let what = match (self.ledger.fate(kind, number), times) {
                (Fate::Acknowledged, 0) => "acknowledged and lost",
                (Fate::Unsent, 1..) => "there without having been sent",
                (Fate::Refused, 1..) => "refused and there",
                (_, 2..) => "there more than once",
                _ => continue,
            };
            differences.push(Difference { kind, number, what });
        }
        differences
    }

    /// The differences, and all rows of the first.
    async fn describe(&self, differences: &[Difference]) -> Result<String> {
        let mut lines = vec![format!("{} differences", differences.len())];
        for Difference { kind, number, what } in differences.iter().take(SHOWN) {
            let fate = self.ledger.fate(*kind, *number);
            let has_id = *kind != Kind::Event || self.workload.has_id(*number);
            let id = if has_id { "with an id" } else { "without an id" };
            lines.push(format!("{kind:?} {number} ({id}, {fate:?}): {what}"));
            let sql = format!(
                "SELECT * FROM {} WHERE {} AND {} = {number} FORMAT JSONEachRow",
                table(*kind),
                source_of(*kind),
                number_of(*kind)
            );
            let rows = clickhouse(&self.store, &sql).await?;
            lines.extend(rows.lines().map(|row| format!("    {row}")));
        }
        Ok(lines.join("\n"))
    }

    /// Rows are what was sent, and each of them lies at an offset of its own.
    async fn check_events(&self) -> Result<()> {
        let shared = "SELECT count() - uniqExact(partition, offset) FROM events";
        let shared = clickhouse(&self.store, shared).await?;
        ensure!(shared == "0", "{shared} events share an offset with another");
        let number = number_of(Kind::Event);
        let mut originals = self.workload.originals().zip(0_u64..);
        for from in (0..self.workload.events()).step_by(SLICE as usize) {
            let to = from + SLICE;
            let sql = format!(
                "SELECT {number} AS number, name, toUnixTimestamp64Milli(timestamp), client_event_id, event_id FROM events \
                 WHERE number >= {from} AND number < {to} ORDER BY number"
            );
            for line in clickhouse(&self.store, &sql).await?.lines() {
                let columns: Vec<&str> = line.split('\t').collect();
                let row: u64 = columns[0].parse()?;
                let (event, _) = originals.find(|(_, number)| *number == row).context("rows are in order")?;
                let milliseconds = event.moment.microseconds.div_euclid(1000).to_string();
                let has_id = self.workload.has_id(row);
                let is_same = columns[1] == event.name
                    && columns[2] == milliseconds
                    && columns[3] == has_id.to_string()
                    && (!has_id || columns[4] == event.event_id.to_string());
                ensure!(is_same, "event {row} was {event:?} and is {line}");
            }
        }
        self.check_copies().await
    }

    /// What is made of an event besides its counters is there as often as the event.
    async fn check_copies(&self) -> Result<()> {
        let equal = [
            (
                "SELECT count() FROM events WHERE send_to_snowplow AND project_id > 0",
                "SELECT count() FROM page_events WHERE source = 'tracked_event'",
            ),
            ("SELECT count() FROM contributions", "SELECT count() FROM project_contributions"),
        ];
        for (one, other) in equal {
            let answers = (clickhouse(&self.store, one).await?, clickhouse(&self.store, other).await?);
            ensure!(answers.0 == answers.1, "{one}: {}\n{other}: {}", answers.0, answers.1);
        }
        Ok(())
    }

    async fn check_dead_letters(&self) -> Result<()> {
        let sql = "SELECT reason, detail, endpoint, topic, partition, offset FROM dead_letters LIMIT 20";
        let letters = clickhouse(&self.store, sql).await?;
        ensure!(letters.is_empty(), "dead letters that nobody expects:\n{letters}");
        Ok(())
    }

    /// Every metric of the Service Ping equals what the reference program makes of the events that are there.
    async fn compare_metrics(&self, stored: &[u8]) -> Result<String> {
        let stream = self.folder.join("stored.ndjson");
        let mut file = BufWriter::new(File::create(&stream)?);
        for (line, _) in self.workload.reference_lines().zip(stored).filter(|(_, times)| **times > 0) {
            writeln!(file, "{line}")?;
        }
        file.flush()?;
        let (python, definitions) = (self.python.clone(), self.definitions.to_vec());
        let ping = service_ping(&self.query, ADMIN_TOKEN).await?;
        let today = ping["recorded_at"].as_str().and_then(|at| at.get(..10)).context("its date")?.to_owned();
        let shown = self.folder.join("ping.json");
        std::fs::write(&shown, ping.to_string())?;
        tokio::task::spawn_blocking(move || {
            Expected::compute(&python, &definitions, &stream, TOKEN_USER, &today)?.compare(&shown)
        })
        .await?
    }

    /// The product's own recounts find nothing either.
    async fn check_derived(&self) -> Result<()> {
        for question in [["verify", "--log"], ["sessions", "verify"]] {
            let said = self.ask(question).await?;
            ensure!(said == "0 differences\n", "{question:?}: {said}");
        }
        Ok(())
    }

    /// What a command says on standard output, however it ends.
    pub async fn ask(&self, question: [&'static str; 2]) -> Result<String> {
        let mut command = tokio::process::Command::new(binary());
        command.args(question).args(self.settings.iter().flat_map(|setting| ["--set", setting]));
        let output = command.output().await?;
        let (said, complaint) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
        ensure!(!said.is_empty(), "tally {question:?} ended with {}:\n{complaint}", output.status);
        Ok(said)
    }
}

fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "events",
        Kind::Page => "page_events",
        Kind::Contribution => "contributions",
    }
}

/// The rows that the producer's own requests made.
fn source_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Page => "source = 'tracker'",
        Kind::Event | Kind::Contribution => "true",
    }
}

/// Where a row says which one it is.
fn number_of(kind: Kind) -> String {
    match kind {
        Kind::Event => format!("JSONExtractInt(additional_properties, '{NUMBER}')"),
        Kind::Page => "toInt64OrDefault(splitByChar('/', page_url_path)[3], -1::Int64)".to_owned(),
        Kind::Contribution => "target_iid - 1".to_owned(),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (table, [sent, acknowledged, there]) in &self.counts {
            writeln!(formatter, "{table}: {sent} sent, {acknowledged} acknowledged, {there} there")?;
        }
        writeln!(formatter, "{} requests were repeated after their acknowledgement", self.repeated)?;
        let answers: Vec<String> =
            self.answers.iter().map(|(answer, times)| format!("{answer}: {times}")).collect();
        writeln!(formatter, "answers: {}", answers.join(", "))?;
        formatter.write_str(&self.metrics)
    }
}
