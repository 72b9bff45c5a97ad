//! Members of a Kafka group that have names: one that restarts quickly gets its partitions back, and nobody else loses any.

use std::sync::Arc;

use tally_eventlog::kafka::KafkaLog;
use tally_eventlog::{Assignment, EventLog, GroupConsumer};

use super::cases::DEADLINE;
use super::subject::{Subject, kafka_config, unique};

fn named(brokers: &str, name: &str) -> Arc<dyn EventLog> {
    let mut config = kafka_config(brokers.to_owned());
    config.group_instance_id = Some(name.to_owned());
    Arc::new(KafkaLog::connect(config).expect("a log"))
}

async fn next(consumer: &mut Box<dyn GroupConsumer>) -> Assignment {
    tokio::time::timeout(DEADLINE, consumer.next_assignment()).await.expect("in time").expect("assigned")
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
    let mut second = second_log.join(&group, &topic).await.expect("joined");
    let lost = futures::future::select_all(held.iter().map(|one| Box::pin(one.reader.revoked().cancelled())));
    let ((), place, _) = tokio::time::timeout(DEADLINE, lost).await.expect("in time");
    drop(held.remove(place));
    let kept = held.remove(0);
    let of_second = next(&mut second).await;
    assert_ne!(of_second.partition, kept.partition);

    let partition = of_second.partition;
    drop((of_second, second, second_log));
    let second_log = named(brokers, &second_name);
    let mut second = second_log.join(&group, &topic).await.expect("joined");
    assert_eq!(next(&mut second).await.partition, partition);
    assert!(!kept.reader.revoked().is_cancelled(), "the other member was not disturbed");
}
