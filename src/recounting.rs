//! `tally verify`, `tally rebuild` and `tally replay`, in the process that has the tables or in one of their own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tally_eventlog::Assignment;
use tally_evolution::Schemas;
use tally_processor::recount::{
    Days, Recount, Selection, Source, Stretch, raw_topic, rebuild, replay, verify,
};
use tally_schemas::{Definitions, Matcher, topics};
use tally_store::Store;
use tokio::sync::{Mutex, mpsc};
use uuid::Uuid;

use crate::cli::ConfigArgs;
use crate::commands::standalone::open_store;
use crate::holding::{Held, check_held, hold_processors_off};
use crate::processing::Processing;
use crate::{control, open, registry};

/// The topics that raw rows come of.
const COUNTED: [&str; 3] = [topics::EVENTS, topics::PAGE_EVENTS, topics::CONTRIBUTIONS];

/// What is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Where the derived tables are not what the raw rows amount to.
    Verify {
        days: Days,
        /// Compare with the log, too.
        log: bool,
    },
    /// Make derived tables anew.
    Rebuild { days: Days, what: What },
    /// Put back raw rows that the log still has the records of.
    Replay(Offsets),
}

/// Records of a topic; without a partition, of all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Offsets {
    pub topic: String,
    pub partition: Option<u32>,
    pub from: u64,
    /// The last one.
    pub to: u64,
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
    pub source: Source,
    pub definitions: Arc<Definitions>,
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
            Task::Verify { days, log } => {
                verified(&self.store, &matcher, days, log.then_some(&self.source), progress).await
            }
            Task::Rebuild { days, what } => {
                let selection = selection(&self.definitions, &matcher, what)?;
                self.alone(progress, async |_| {
                    let recount = recount(&self.store, &matcher, days, progress);
                    Ok(serde_json::to_string(&rebuild(&recount, &selection).await?)?)
                })
                .await
            }
            Task::Replay(offsets) => {
                self.alone(progress, async |counted| {
                    let stretches = self.stretches(&offsets, &counted).await?;
                    let recount = recount(&self.store, &matcher, Days::ALL, progress);
                    let replayed = replay(&recount, &self.source, &stretches).await?;
                    Ok(serde_json::to_string(&replayed)?)
                })
                .await
            }
        }
    }

    /// What is asked for, as far as the log has it and it was counted.
    async fn stretches(&self, offsets: &Offsets, counted: &[Counted]) -> Result<Vec<Stretch>> {
        let Some(topic) = raw_topic(&offsets.topic) else {
            bail!("{} can't be replayed; these can: {}", offsets.topic, COUNTED.join(", "));
        };
        let watermarks = self.source.log.watermarks(topic.name).await?;
        let is_meant = |place: &&Counted| {
            place.topic == topic.name && offsets.partition.is_none_or(|only| only == place.partition)
        };
        let stretch = |&Counted { partition, end, .. }: &Counted| {
            let low = watermarks.get(partition as usize).map_or(0, |marks| marks.low);
            let offsets = offsets.from.max(low)..offsets.to.saturating_add(1).min(end);
            Stretch { topic, partition, offsets }
        };
        let stretches: Vec<Stretch> = counted.iter().filter(is_meant).map(stretch).collect();
        if stretches.is_empty() {
            bail!("{} has no such partition", topic.name);
        }
        Ok(stretches)
    }

    /// Does work that no processor may write beside.
    async fn alone<T>(
        &self,
        progress: Progress<'_>,
        work: impl AsyncFnOnce(Vec<Counted>) -> Result<T>,
    ) -> Result<T> {
        progress("holding processors off".to_owned());
        let _held_off = match &self.processing {
            Some(processing) => Some(processing.hold_off().await?),
            None => None,
        };
        let mut held = hold_processors_off(&self.group, &*self.source.log, &COUNTED).await?;
        let outcome = work(counted(&held)).await?;
        check_held(&mut held).await.context("the tables may lack what was written meanwhile")?;
        Ok(outcome)
    }
}

/// How far a partition was counted.
struct Counted {
    topic: &'static str,
    partition: u32,
    end: u64,
}

fn counted(held: &Held) -> Vec<Counted> {
    let of_topic = |(topic, (_, assignments)): (&'static str, &(_, Vec<Assignment>))| {
        let counted = |assignment: &Assignment| Counted {
            topic,
            partition: assignment.partition,
            end: assignment.position.next_offset,
        };
        assignments.iter().map(counted).collect::<Vec<_>>()
    };
    COUNTED.into_iter().zip(held).flat_map(of_topic).collect()
}

fn recount<'a>(store: &'a Store, matcher: &'a Matcher, days: Days, progress: Progress<'a>) -> Recount<'a> {
    Recount {
        store,
        matcher,
        days,
        run: Uuid::now_v7().simple().to_string(),
        patience: Duration::from_secs(10),
        progress,
    }
}

async fn verified(
    store: &Store,
    matcher: &Matcher,
    days: Days,
    log: Option<&Source>,
    progress: Progress<'_>,
) -> Result<String> {
    let report = verify(&recount(store, matcher, days, progress), log).await?;
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

/// Has a task done: by the running `tally standalone` whose data folder this is, which holds its own processor off, else here.
pub async fn send(args: &ConfigArgs, task: Task) -> Result<String> {
    let mut config = open::load_config(args, &[])?;
    let progress = |at: String| eprintln!("{at}");
    if let Some(answer) = control::recount_running(&config, &task, progress).await? {
        return Ok(answer);
    }
    let definitions = open::definitions(&config)?;
    let (engine, store) = open_store(&mut config).await.context("can't open the tables")?;
    let outcome = async {
        if let Task::Verify { days, log: false } = task {
            return verified(&store, &Matcher::new(&definitions), days, None, &progress).await;
        }
        let log = open::log(&config).await.context("can't open the log")?;
        let url = &config.schema_registry.url;
        let framings = registry::framings(url).await?;
        let schemas = Arc::new(Schemas::new(Arc::clone(&log), framings, url));
        let recounting = Recounting {
            store: store.clone(),
            source: Source { log, schemas, framings },
            definitions,
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

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_running_standalone_does_it_wherever_its_log_and_tables_are() {
        let folder = std::env::temp_dir().join(format!("tally-recounting-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let listener = UnixListener::bind(folder.join("control.sock")).unwrap();
        let done =
            async || serde_json::to_string(&Line::Done("by the running one".to_owned())).unwrap() + "\n";
        let router = axum::Router::new().route("/recount", axum::routing::post(done));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let data_dir = format!("standalone.data_dir={}", folder.display());
        let elsewhere = ["log_storage.kind=kafka", "store.url=http://127.0.0.1:1"];
        for settings in [&[][..], &elsewhere] {
            let set = settings.iter().map(ToString::to_string).chain([data_dir.clone()]).collect();
            let args = ConfigArgs { config: None, set, dump_config: false };
            let task = Task::Rebuild { days: Days::ALL, what: What::All };
            assert_eq!(send(&args, task).await.unwrap(), "by the running one", "{settings:?}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
