//! `tally verify`, `tally rebuild` and `tally replay`, in the process that has the tables or in one of their own.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tally_eventlog::EventLog;
use tally_processor::recount::{Days, Recount, Selection, rebuild, verify};
use tally_schemas::{Definitions, Framings, Matcher, topics};
use tally_store::Store;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::cli::ConfigArgs;
use crate::commands::standalone::open_store;
use crate::holding::{check_held, hold_processors_off};
use crate::processing::Processing;
use crate::{control, open, registry};

/// The topics that raw rows come of.
const COUNTED: [&str; 3] = [topics::EVENTS, topics::PAGE_EVENTS, topics::CONTRIBUTIONS];

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Where the derived tables are not what the raw rows amount to.
    Verify { days: Days },
    /// Make derived tables anew.
    Rebuild { days: Days, what: What },
}

/// What is made anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    All,
    /// The counters that a metric stands on.
    Metric(String),
    /// The counters of an event.
    Event(String),
    /// Counters of definitions that were added later than their events.
    Missing,
}

/// What is told of a task in another process, a line each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How far it is.
    At(String),
    /// The answer, as JSON.
    Done(String),
    Failed(String),
}

/// The parts that recounts are made with.
pub struct Recounting {
    pub store: Store,
    pub log: Arc<dyn EventLog>,
    pub definitions: Arc<Definitions>,
    pub framings: Framings,
    /// The consumer group of all processors.
    pub group: String,
    /// The processor of this process.
    pub processing: Option<Processing>,
    /// One recount at a time.
    pub turn: Mutex<()>,
}

type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Recounting {
    /// Does what is asked; the answer as JSON.
    pub async fn perform(&self, task: Task, progress: Progress<'_>) -> Result<String> {
        let _turn = self.turn.lock().await;
        let matcher = Matcher::new(&self.definitions);
        match task {
            Task::Verify { days } => verified(&self.store, &matcher, days, progress).await,
            Task::Rebuild { days, what } => {
                let selection = selection(&self.definitions, &matcher, what)?;
                self.alone(progress, async || {
                    let recount = recount(&self.store, &matcher, days, progress);
                    Ok(serde_json::to_string(&rebuild(&recount, &selection).await?)?)
                })
                .await
            }
        }
    }

    /// Does work that no processor may write beside.
    async fn alone<T>(&self, progress: Progress<'_>, work: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        progress("holding processors off".to_owned());
        let _held_off = match &self.processing {
            Some(processing) => Some(processing.hold_off().await?),
            None => None,
        };
        let mut held = hold_processors_off(&self.group, &*self.log, &COUNTED).await?;
        let outcome = work().await?;
        check_held(&mut held).await.context("the tables may lack what was written meanwhile")?;
        Ok(outcome)
    }
}

fn recount<'a>(store: &'a Store, matcher: &'a Matcher, days: Days, progress: Progress<'a>) -> Recount<'a> {
    Recount { store, matcher, days, run: Uuid::new_v4().simple().to_string(), progress }
}

async fn verified(store: &Store, matcher: &Matcher, days: Days, progress: Progress<'_>) -> Result<String> {
    let report = verify(&recount(store, matcher, days, progress)).await?;
    Ok(serde_json::to_string(&report)?)
}

fn selection(definitions: &Definitions, matcher: &Matcher, what: What) -> Result<Selection> {
    let counters: Vec<String> = match what {
        What::All => return Ok(Selection::All),
        What::Missing => return Ok(Selection::Missing),
        What::Metric(key_path) => {
            let mut metrics = definitions.metrics().iter().filter(|metric| metric.key_path == key_path);
            let Some(metric) = metrics.next() else {
                bail!("no definition has the key path {key_path}; the dictionary lists them all")
            };
            metric.rules.iter().map(ToString::to_string).collect()
        }
        What::Event(name) => {
            let of_event = matcher.counters().iter().filter(|counter| counter.event == name);
            of_event.map(ToString::to_string).collect()
        }
    };
    if counters.is_empty() {
        bail!("that is counted by no counter");
    }
    Ok(Selection::Counters(counters.into_iter().collect()))
}

/// Does a task and tells of it.
pub fn told(recounting: Arc<Recounting>, task: Task) -> impl Stream<Item = Result<String, Infallible>> {
    let (tell, mut hear) = mpsc::unbounded_channel();
    let working = async move {
        // Nobody listens any more when the other end has gone.
        let progress = |at: String| drop(tell.send(Line::At(at)));
        match recounting.perform(task, &progress).await {
            Ok(answer) => Line::Done(answer),
            Err(error) => Line::Failed(format!("{error:#}")),
        }
    };
    let lines =
        stream::select(stream::poll_fn(move |context| hear.poll_recv(context)), stream::once(working));
    lines.map(|line| Ok(serde_json::to_string(&line).expect("texts always serialize") + "\n"))
}

/// Has a task done: by the running process that holds the embedded engine, else here.
pub async fn send(args: &ConfigArgs, task: Task) -> Result<String> {
    let mut config = open::load_config(args, &[])?;
    let progress = |at: String| eprintln!("{at}");
    if config.store.url.is_empty()
        && let Some(answer) = control::recount_running(&config, &task, progress).await?
    {
        return Ok(answer);
    }
    let definitions = open::definitions(&config)?;
    let (engine, store) = open_store(&mut config).await.context("can't open the tables")?;
    let outcome = async {
        if let Task::Verify { days } = task {
            return verified(&store, &Matcher::new(&definitions), days, &progress).await;
        }
        let recounting = Recounting {
            store: store.clone(),
            log: open::log(&config).await.context("can't open the log")?,
            definitions,
            framings: registry::framings(&config.schema_registry.url).await?,
            group: config.processor.group.clone(),
            processing: None,
            turn: Mutex::default(),
        };
        recounting.perform(task, &progress).await
    };
    let outcome = outcome.await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    outcome
}
