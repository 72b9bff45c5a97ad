//! Holds all processors off by taking hold of every partition of their group: for work that nobody may write beside.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tally_eventlog::{Assignment, EventLog, GroupConsumer};
use tokio::time::timeout;

/// How long a consumer group takes at most until it has given out a topic's partitions.
const ASSIGNMENT_DEADLINE: Duration = Duration::from_secs(90);

/// Membership of the processors' group in topics, with every partition.
pub type Held = Vec<(Box<dyn GroupConsumer>, Vec<Assignment>)>;

/// Makes sure that nobody writes what these topics become, and that no announced batch is left to be written.
pub async fn hold_processors_off(group: &str, log: &dyn EventLog, topics: &[&str]) -> Result<Held> {
    let mut held = Vec::new();
    for &topic in topics {
        let partitions = log.watermarks(topic).await?.len();
        // Under a processor's name it would take that processor's partitions, however busy with them that is.
        let mut consumer = log.join_unnamed(group, topic).await?;
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
pub async fn check_held(held: &mut Held) -> Result<()> {
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
    use tally_schemas::topics;

    use super::*;

    const GROUP: &str = "tally-processor";
    const TOPICS: [&str; 2] = [topics::PAGE_EVENTS, topics::EVENTS];

    /// A log in a folder of its own.
    async fn log() -> (PathBuf, EmbeddedLog) {
        let folder = std::env::temp_dir().join(format!("tally-holding-{}", uuid::Uuid::new_v4()));
        let log = EmbeddedLog::open(EmbeddedConfig::new(&folder)).unwrap();
        for name in TOPICS {
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
        let mut held = hold_processors_off(GROUP, &log, &TOPICS).await.unwrap();
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
        let pending = Position::pending(0, 0..1);
        first.reader.commit(&pending).await.unwrap();
        drop((processor, first));
        let refused = hold_processors_off(GROUP, &log, &TOPICS).await.err().unwrap().to_string();
        assert!(refused.contains("not written to its end"), "{refused}");
        fs::remove_dir_all(folder).unwrap();
    }
}
