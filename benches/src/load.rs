//! `tally load`: plays a generated stream over HTTP, or writes it to a file, and says how that went.

mod pace;
mod progress;
mod sender;
mod summary;

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use tally_schemas::Definitions;

pub use pace::Pace;
pub use progress::Progress;
pub use sender::{Delivery, Sender, Target};
pub use summary::{Latencies, LoadSummary};

use crate::catalogue::Catalogue;
use crate::stream::{Stream, StreamOptions};

/// Play a reproducible stream of events, drawn from the definitions, into a running Tally.
#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    /// Where Tally listens.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub url: String,
    /// A token of an administrator with the scope `api`: the stream back-dates events and names their users.
    #[arg(long, env = "TALLY_TOKEN", hide_env_values = true, default_value = "", value_name = "TOKEN")]
    pub token: String,
    /// Files, folders and globs of event and metric definitions; none: Tally's own.
    #[arg(long, num_args = 1.., value_name = "PATH")]
    pub definitions: Vec<String>,
    /// How many events to send.
    #[arg(long, default_value_t = 1_000_000, value_name = "COUNT")]
    pub events: u64,
    /// The same seed, definitions and options give the same stream, byte for byte.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// The end of the span, RFC 3339; without it the current time, which no second run can repeat.
    #[arg(long, value_name = "TIMESTAMP")]
    pub now: Option<Timestamp>,
    /// How many weeks the span has.
    #[arg(long, default_value_t = 6, conflicts_with = "from", value_name = "COUNT")]
    pub weeks: u32,
    /// The beginning of the span, RFC 3339, instead of --weeks.
    #[arg(long, value_name = "TIMESTAMP")]
    pub from: Option<Timestamp>,
    /// The end of the span, RFC 3339, exclusive; another name for --now.
    #[arg(long, conflicts_with = "now", value_name = "TIMESTAMP")]
    pub to: Option<Timestamp>,
    /// How many distinct users there are.
    #[arg(long, default_value_t = 20_000, value_name = "COUNT")]
    pub users: u64,
    /// How many distinct projects there are.
    #[arg(long, default_value_t = 5_000, value_name = "COUNT")]
    pub projects: u64,
    /// How many distinct namespaces there are.
    #[arg(long, default_value_t = 1_000, value_name = "COUNT")]
    pub namespaces: u64,
    /// The share of deliveries that repeat an earlier event with the same `event_id`, from 0 to 1.
    #[arg(long, default_value_t = 0.0, value_name = "FRACTION")]
    pub duplicates: f64,
    /// Events per second; 0 is as fast as Tally takes them.
    #[arg(long, default_value_t = 0.0, value_name = "EVENTS")]
    pub rate: f64,
    /// Requests in flight at a time, each on a connection of its own.
    #[arg(long, default_value_t = 8, value_name = "COUNT")]
    pub connections: usize,
    /// Seconds without any answer but errors after which to give up.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub give_up_after: u64,
    /// Write the stream to this file, one `track_event` object a line, before sending it.
    #[arg(long, value_name = "FILE")]
    pub dump: Option<PathBuf>,
    /// Send nothing.
    #[arg(long)]
    pub dry_run: bool,
}

impl LoadArgs {
    /// The stream these arguments describe; `now` ends the span where no argument does.
    pub fn stream(&self, now: Timestamp) -> Result<Stream> {
        let definitions =
            Definitions::load_or_built_in(&self.definitions).context("loading the definitions")?;
        let catalogue = Catalogue::from_definitions(&definitions);
        ensure!(!catalogue.events().is_empty(), "no definition declares internal_events: true");
        Ok(Stream::new(catalogue, self.stream_options(now)?))
    }

    fn stream_options(&self, now: Timestamp) -> Result<StreamOptions> {
        let to = self.to.or(self.now).unwrap_or(now);
        let span = SignedDuration::from_hours(i64::from(self.weeks) * 7 * 24);
        let from = match self.from {
            Some(from) => from,
            None => to.checked_sub(span).context("--weeks reaches too far back")?,
        };
        ensure!(from < to, "the span is empty: it begins at {from} and ends at {to}");
        ensure!((0.0..=1.0).contains(&self.duplicates), "--duplicates must be between 0 and 1");
        Ok(StreamOptions {
            seed: self.seed,
            events: self.events,
            from,
            to,
            users: self.users,
            projects: self.projects,
            namespaces: self.namespaces,
            duplicates: self.duplicates,
        })
    }

    fn target(&self) -> Target {
        Target {
            url: self.url.clone(),
            token: self.token.clone(),
            connections: self.connections,
            give_up_after: Duration::from_secs(self.give_up_after),
        }
    }
}

/// Plays the stream; returns what was sent and how fast. Fails when a request is refused, or when Tally can't be
/// reached for longer than `--give-up-after`.
pub async fn run(args: LoadArgs) -> Result<LoadSummary> {
    let stream = Arc::new(args.stream(Timestamp::now())?);
    if let Some(path) = &args.dump {
        dump(&stream, path).with_context(|| format!("writing {}", path.display()))?;
    }
    if args.dry_run {
        return Ok(LoadSummary::unsent(stream.events()));
    }
    let sender = Sender::new(args.target())?;
    let progress = Progress::new(stream.events());
    let pace = Pace::new(args.rate);
    let summary = sender.send(Delivery::of(stream), pace, &progress).await;
    progress.finish();
    summary
}

/// Writes the stream as NDJSON.
fn dump(stream: &Stream, path: &PathBuf) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut line = Vec::with_capacity(512);
    for event in stream.iter() {
        line.clear();
        event.write_json(&mut line);
        line.push(b'\n');
        file.write_all(&line)?;
    }
    file.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests;
