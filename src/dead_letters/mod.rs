//! What `tally dead-letters` stands on, in the process that has the log and the tables or in one of its own: letters are
//! listed and shown as the API does it, and replayed here.

mod note;
mod prepare;
mod replay;

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tally_capture::Capture;
use tally_eventlog::EventLog;
use tally_ingest::Ingest;
use tally_query::dead_letters::{Filter, Letter, Readable, Wanted, find, list};
use tally_query::metrics::QueryMetrics;
use tally_query::warehouse::Warehouse;
use tally_store::Store;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::administer::Request;
use crate::cli::ConfigArgs;
use crate::commands::standalone::open_store;
use crate::config::Config;
use crate::services::Process;
use crate::{control, open};
pub use replay::{Outcome, State};

/// Letters that are read at once.
const PAGE: u64 = 100;

/// What is asked about letters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LettersRequest {
    /// The newest of the selected letters, at most so many; the answer is a list of [`Letter`]s without payloads.
    List { selected: Selected, limit: u64 },
    /// One letter with its payload.
    Show { id: Uuid },
    /// Replays these letters, or all that are selected; the answer is a list of [`Outcome`]s.
    Replay { ids: Vec<Uuid>, selected: Selected, options: ReplayOptions },
}

/// Which letters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Selected {
    /// The name of a drop reason.
    pub reason: Option<String>,
    /// From then on, in milliseconds since the epoch.
    pub since_ms: Option<i64>,
    /// Before.
    pub until_ms: Option<i64>,
    pub topic: Option<String>,
    pub project_id: Option<i64>,
}

/// How letters are replayed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReplayOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Append even what an earlier replay may have appended.
    pub again: bool,
    /// Whose doing it is.
    pub by: String,
}

impl Selected {
    fn filter(&self) -> Result<Filter> {
        Ok(Filter {
            reason: self.reason.as_deref().map(str::parse).transpose()?,
            since_ms: self.since_ms,
            until_ms: self.until_ms,
            topic: self.topic.clone(),
        })
    }

    fn readable(&self) -> Readable {
        self.project_id.map_or(Readable::All, |id| Readable::Projects(vec![id]))
    }
}

/// The parts that letters are listed and replayed with.
pub struct DeadLetters {
    store: Store,
    warehouse: Warehouse,
    /// Only where the log is at hand.
    replaying: Option<Replaying>,
}

/// What letters go back into the log by.
pub struct Replaying {
    pub log: Arc<dyn EventLog>,
    pub ingest: Ingest,
    pub capture: Capture,
}

impl DeadLetters {
    /// Reads within the query service's limits.
    pub fn new(config: &Config, store: Store, replaying: Option<Replaying>) -> Self {
        let metrics = QueryMetrics::register(&prometheus::Registry::new());
        let warehouse = Warehouse::new(&store, &config.query.limits, metrics);
        Self { store, warehouse, replaying }
    }

    /// Does what is asked; the answer as JSON.
    pub async fn perform(&self, request: LettersRequest) -> Result<String> {
        match request {
            LettersRequest::List { selected, limit } => {
                let letters = self.newest(&selected, limit).await?;
                Ok(serde_json::to_string(&letters)?)
            }
            LettersRequest::Show { id } => {
                let letter = find(&self.warehouse, &Readable::All, &[id]).await?.pop();
                Ok(serde_json::to_string(&letter.with_context(|| format!("there is no letter {id}"))?)?)
            }
            LettersRequest::Replay { ids, selected, options } => {
                let ids = if ids.is_empty() { self.oldest_first(&selected).await? } else { ids };
                Ok(serde_json::to_string(&self.replay(&ids, &options).await?)?)
            }
        }
    }

    async fn newest(&self, selected: &Selected, limit: u64) -> Result<Vec<Letter>> {
        let mut letters: Vec<Letter> = Vec::new();
        self.each_page(selected, limit, |page| letters.extend(page)).await?;
        Ok(letters)
    }

    /// The ids of all that are selected and not replayed yet, in the order in which they were set aside.
    async fn oldest_first(&self, selected: &Selected) -> Result<Vec<Uuid>> {
        let mut ids = Vec::new();
        let is_waiting = |letter: &&Letter| letter.replay_state() != Some("done");
        let take = |page: Vec<Letter>| ids.extend(page.iter().filter(is_waiting).map(|letter| letter.id));
        self.each_page(selected, u64::MAX, take).await?;
        ids.reverse();
        Ok(ids)
    }

    /// Reads the newest of the selected letters, a page at a time: there may be millions.
    async fn each_page(
        &self,
        selected: &Selected,
        limit: u64,
        mut take: impl FnMut(Vec<Letter>),
    ) -> Result<()> {
        let (readable, filter) = (selected.readable(), selected.filter()?);
        let (mut left, mut after) = (limit, None);
        while left > 0 {
            let at_most = PAGE.min(left);
            let wanted = Wanted { after, limit: at_most, with_payload: false };
            let page = list(&self.warehouse, &readable, &filter, wanted).await?;
            if (page.len() as u64) < at_most {
                take(page);
                break;
            }
            left -= at_most;
            after = page.last().map(Letter::position);
            take(page);
        }
        Ok(())
    }
}

/// Has the request performed: by the running `tally standalone` whose data folder this is, else here.
pub async fn send(args: &ConfigArgs, request: LettersRequest) -> Result<String> {
    let mut config = open::load_config(args, &[])?;
    let request = Request::DeadLetters { task: request };
    if let Some(answer) = control::ask_running(&config, &request).await? {
        return Ok(answer);
    }
    let Request::DeadLetters { task } = request else { bail!("that is not about dead letters") };
    let (engine, store) = open_store(&mut config).await.context("can't open the tables")?;
    let outcome = perform_here(config, store, task).await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    outcome
}

async fn perform_here(config: Config, store: Store, request: LettersRequest) -> Result<String> {
    if !matches!(request, LettersRequest::Replay { .. }) {
        return DeadLetters::new(&config, store, None).perform(request).await;
    }
    let process = Process::new(config, CancellationToken::new()).await?;
    let log = open::log(&process.config).await?;
    let directory = open::directory(&process.config, Arc::clone(&log), &process.shutdown).await?;
    let definitions = open::definitions(&process.config)?;
    let replaying = process.replaying(log, &directory, &definitions)?;
    let outcome = DeadLetters::new(&process.config, store, Some(replaying)).perform(request).await;
    process.shutdown.cancel();
    directory.stopped().await;
    outcome
}
