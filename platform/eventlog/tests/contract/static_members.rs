//! Members of a Kafka group that have names: one that restarts quickly gets its partitions back, and nobody else loses any.

use std::sync::Arc;
use std::time::Duration;

use tally_eventlog::kafka::KafkaLog;
use tally_eventlog::{Assignment, EventLog, GroupConsumer, Position};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::cases::DEADLINE;
use super::subject::{Subject, kafka_config, unique};

fn named(brokers: &str, name: &str) -> Arc<dyn EventLog> {
    let mut config = kafka_config(brokers.to_owned());
    config.group_instance_id = Some(name.to_owned());
    Arc::new(KafkaLog::connect(config).expect("a log"))
}

/// Several heartbeats, with which members hear of a rebalance, and well below the session timeout.
const AWAY: Duration = Duration::from_secs(2);

async fn next(consumer: &mut Box<dyn GroupConsumer>) -> Assignment {
    timeout(DEADLINE, consumer.next_assignment()).await.expect("in time").expect("assigned")
}

pub async fn a_named_member_that_comes_back_takes_nothing_from_the_others(subject: &Subject) {
    let Subject::Kafka(brokers) = subject else { panic!("not on Kafka") };
    let any = subject.open();
    let topic = subject.topic(&any, 2).await;
    let (group, first_name, second_name) = (unique("group"), unique("first"), unique("second"));

    let first_log = named(brokers, &first_name);
    let mut first = first_log.join(&group, &topic).await.expect("joined");
    let mut held = vec![next(&mut first).await, next(&mut first).await];
    let second_log = named(brokers, &second_name);
    let shutdown = CancellationToken::new();
    second_log.keep_places_after(shutdown.clone());
    let mut second = second_log.join(&group, &topic).await.expect("joined");
    let lost = futures::future::select_all(held.iter().map(|one| Box::pin(one.reader.revoked().cancelled())));
    let ((), place, _) = timeout(DEADLINE, lost).await.expect("in time");
    drop(held.remove(place));
    let kept = held.remove(0);
    let of_second = next(&mut second).await;
    assert_ne!(of_second.partition, kept.partition);

    let partition = of_second.partition;
    shutdown.cancel();
    drop((of_second, second, second_log));
    assert!(
        timeout(AWAY, first.next_assignment()).await.is_err(),
        "its partition was given to the other member"
    );
    let second_log = named(brokers, &second_name);
    let mut second = second_log.join(&group, &topic).await.expect("joined");
    assert_eq!(next(&mut second).await.partition, partition);
    assert!(!kept.reader.revoked().is_cancelled(), "the other member was not disturbed");

    // Without a shutdown, as when the processor of a process is held off, it leaves.
    drop((second, second_log));
    let taken_over = timeout(AWAY, next(&mut first)).await.expect("left at once");
    assert_eq!(taken_over.partition, partition);
    drop(kept);
}

pub async fn who_joins_without_a_name_takes_nobodys_place(subject: &Subject) {
    let Subject::Kafka(brokers) = subject else { panic!("not on Kafka") };
    let any = subject.open();
    let topic = subject.topic(&any, 1).await;
    let (group, name) = (unique("group"), unique("name"));
    let processor_log = named(brokers, &name);
    let mut processor = processor_log.join(&group, &topic).await.expect("joined");
    let mut busy = next(&mut processor).await;

    // The same settings, in another process.
    let other_log = named(brokers, &name);
    let mut holder = other_log.join_unnamed(&group, &topic).await.expect("joined");
    assert!(timeout(AWAY, holder.next_assignment()).await.is_err(), "it has taken the partition");
    assert!(!busy.reader.revoked().is_cancelled());
    busy.reader.commit(&Position::at(0)).await.expect("not fenced");
}
