//! `tally sessions`: recounts the sessions of product analytics from the raw page events, to compare or to make them anew.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tally_eventlog::{Assignment, EventLog, GroupConsumer};
use tally_processor::sessions::{self, Difference};
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
                let mut held = hold_processors_off(&config.processor.group, &*log).await?;
                sessions::recompute(store).await?;
                check_held(&mut held).await.context("sessions may lack what was written meanwhile")?;
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
    let mut lines: Vec<String> = differences.iter().map(line).collect();
    lines.push(format!("{} differences\n", differences.len()));
    Ok(lines.concat())
}

fn line(difference: &Difference) -> String {
    let Difference { project_id, by_visitor, key, slot, kept, recomputed } = difference;
    let of = if *by_visitor { "visitor" } else { "session" };
    format!("project {project_id}, {of} {key}, half hour {slot}: kept {kept}, recounted {recomputed}\n")
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
async fn hold_processors_off(group: &str, log: &dyn EventLog) -> Result<Held> {
    let mut held = Vec::new();
    for topic in [topics::PAGE_EVENTS, topics::EVENTS] {
        let partitions = log.watermarks(topic).await?.len();
        let mut consumer = log.join(group, topic).await?;
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
            // Whatever others have got in the meantime comes again when they have left.
            assignments.retain(|held| !held.reader.revoked().is_cancelled());
            assignments.push(assigned);
        }
        held.push((consumer, assignments));
    }
    check_held(&mut held).await?;
    Ok(held)
}

/// Makes sure that all partitions are still held. The positions are committed once more, unchanged: the log refuses that once
/// anybody else has a partition.
async fn check_held(held: &mut Held) -> Result<()> {
    for assigned in held.iter_mut().flat_map(|(_, assignments)| assignments) {
        let committed = assigned.reader.commit(&assigned.position).await;
        committed.context("a processor was started: stop all of them and try again")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
    use tally_eventlog::{Position, TopicSpec};

    use super::*;

    const GROUP: &str = "tally-processor";

    /// A log in a folder of its own.
    async fn log() -> (PathBuf, EmbeddedLog) {
        let folder = std::env::temp_dir().join(format!("tally-sessions-{}", uuid::Uuid::new_v4()));
        let log = EmbeddedLog::open(EmbeddedConfig::new(&folder)).unwrap();
        for name in [topics::PAGE_EVENTS, topics::EVENTS] {
            let spec = TopicSpec {
                name: name.to_owned(),
                partitions: 2,
                retention: None,
                compacted: false,
                max_record_bytes: 1 << 20,
            };
            log.ensure_topic(&spec).await.unwrap();
        }
        (folder, log)
    }

    #[tokio::test]
    async fn a_processor_that_starts_meanwhile_is_noticed() {
        let (folder, log) = log().await;
        let mut held = hold_processors_off(GROUP, &log).await.unwrap();
        check_held(&mut held).await.unwrap();
        let _processor = log.join(GROUP, topics::EVENTS).await.unwrap();
        assert!(check_held(&mut held).await.is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn an_announced_batch_is_to_be_written_first() {
        let (folder, log) = log().await;
        let mut processor = log.join(GROUP, topics::PAGE_EVENTS).await.unwrap();
        let mut first = processor.next_assignment().await.unwrap();
        let pending = Position { next_offset: 0, pending: Some(0..1) };
        first.reader.commit(&pending).await.unwrap();
        drop((processor, first));
        let refused = hold_processors_off(GROUP, &log).await.err().unwrap().to_string();
        assert!(refused.contains("not written to its end"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
