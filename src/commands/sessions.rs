//! `tally sessions`: recounts the sessions of product analytics from the raw page events, to compare or to make them anew.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tally_eventlog::{Assignment, EventLog, GroupConsumer};
use tally_processor::sessions;
use tally_schemas::topics;
use tally_store::Store;
use tokio::time::timeout;

use crate::administer::Request;
use crate::cli::SessionsCommand;
use crate::commands::standalone::open_store;
use crate::config::Config;
use crate::{control, open};

/// How long a consumer group takes at most until it has given out a topic's partitions.
const ASSIGNMENT_DEADLINE: Duration = Duration::from_secs(90);

/// Runs `tally sessions …`.
pub async fn run(command: SessionsCommand) -> Result<()> {
    match command {
        SessionsCommand::Verify { config } => {
            let mut config = open::load_config(&config, &[])?;
            let running = if config.store.url.is_empty() {
                control::ask_running(&config, &Request::VerifySessions).await?
            } else {
                None
            };
            let report = match running {
                Some(report) => report,
                None => on_store(&mut config, async |_, store| verify(store).await).await?,
            };
            print!("{report}");
        }
        SessionsCommand::Recompute { config } => {
            let mut config = open::load_config(&config, &[])?;
            let report = on_store(&mut config, async |config, store| {
                let log = open::log(config).await.context("stop tally first: it has the log")?;
                let held = hold_processors_off(config, &*log).await?;
                sessions::recompute(store).await?;
                drop(held);
                verify(store).await
            });
            print!("{}", report.await?);
        }
    }
    Ok(())
}

/// Lists the differences between the sessions and the page events.
pub async fn verify(store: &Store) -> Result<String> {
    let differences = sessions::compare(store).await?;
    let mut report = String::new();
    for difference in &differences {
        let of = if difference.by_visitor { "visitor" } else { "session" };
        report.push_str(&format!(
            "project {}, {of} {}, half hour {}: kept {}, recounted {}\n",
            difference.project_id, difference.key, difference.slot, difference.kept, difference.recomputed
        ));
    }
    report.push_str(&format!("{} differences\n", differences.len()));
    Ok(report)
}

/// Opens the store, an embedded engine included, for as long as `work` takes.
async fn on_store<T>(config: &mut Config, work: impl AsyncFnOnce(&Config, &Store) -> Result<T>) -> Result<T> {
    let (engine, store) = open_store(config).await?;
    let outcome = work(config, &store).await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    outcome
}

/// Membership of the processors' group in both topics whose events become sessions, with every partition.
type Held = Vec<(Box<dyn GroupConsumer>, Vec<Assignment>)>;

/// Makes sure that nobody writes sessions, and that no announced batch is left to be written.
async fn hold_processors_off(config: &Config, log: &dyn EventLog) -> Result<Held> {
    let mut held = Vec::new();
    for topic in [topics::PAGE_EVENTS, topics::EVENTS] {
        let partitions = log.watermarks(topic).await?.len();
        let mut consumer = log.join(&config.processor.group, topic).await?;
        let mut assignments: Vec<Assignment> = Vec::new();
        while assignments.len() < partitions {
            let Ok(assigned) = timeout(ASSIGNMENT_DEADLINE, consumer.next_assignment()).await else {
                bail!("a processor is running: stop all of them first");
            };
            let assigned = assigned?;
            if assigned.position.pending.is_some() {
                bail!(
                    "partition {} of {topic} has a batch that is not written to its end: start tally so that it finishes, \
                     stop it, and try again",
                    assigned.partition
                );
            }
            assignments.push(assigned);
        }
        held.push((consumer, assignments));
    }
    Ok(held)
}
