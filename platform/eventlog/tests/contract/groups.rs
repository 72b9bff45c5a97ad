//! Cases of the contract about consumer groups and their positions.

use std::collections::BTreeMap;
use std::sync::Arc;

use tally_eventlog::{Assignment, CommitError, EventLog, FetchLimits, GroupConsumer, LogError, Position};

use super::cases::{DEADLINE, LIMITS, append, read};
use super::subject::{DRAIN, Subject, unique};

async fn next(consumer: &mut Box<dyn GroupConsumer>) -> Assignment {
    tokio::time::timeout(DEADLINE, consumer.next_assignment()).await.expect("in time").expect("assigned")
}

async fn revoked(assignment: &Assignment) {
    tokio::time::timeout(DEADLINE, assignment.reader.revoked().cancelled()).await.expect("in time");
}

/// All the partitions of a topic, held by one member.
async fn take_all(consumer: &mut Box<dyn GroupConsumer>, partitions: u32) -> BTreeMap<u32, Assignment> {
    let mut held = BTreeMap::new();
    while held.len() < partitions as usize {
        let assignment = next(consumer).await;
        held.insert(assignment.partition, assignment);
    }
    held
}

/// Of two members, the partitions that the first loses when the second joins, and what the second gets for them once
/// the first has let go.
async fn second_joins(
    log: &Arc<dyn EventLog>,
    group: &str,
    topic: &str,
    held: &mut BTreeMap<u32, Assignment>,
) -> (Box<dyn GroupConsumer>, BTreeMap<u32, Assignment>) {
    let mut second = log.join(group, topic).await.expect("joined");
    let half = held.len() / 2;
    let mut taken = BTreeMap::new();
    while taken.len() < half {
        let lost = futures::future::select_all(held.values().map(|assignment| Box::pin(revoked(assignment))));
        let ((), index, _) = lost.await;
        let partition = *held.keys().nth(index).expect("one of them");
        held.remove(&partition);
        if held.len() == half {
            taken = take_all(&mut second, half as u32).await;
        }
    }
    (second, taken)
}

pub async fn members_share_the_partitions_and_take_over_when_one_leaves(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 4).await;
    let group = unique("group");
    let mut first = log.join(&group, &topic).await.expect("joined");
    let mut held = take_all(&mut first, 4).await;

    let (second, taken) = second_joins(&log, &group, &topic, &mut held).await;
    let mut all: Vec<u32> = held.keys().chain(taken.keys()).copied().collect();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3], "each partition has one reader");
    assert!(
        held.values().all(|assignment| !assignment.reader.revoked().is_cancelled()),
        "half of them stay in place"
    );

    drop(taken);
    drop(second);
    while held.len() < 4 {
        let assignment = next(&mut first).await;
        assert!(
            held.insert(assignment.partition, assignment).is_none(),
            "one that is held is not given again"
        );
    }
}

pub async fn groups_read_independently(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, ["a".to_owned(), "b".to_owned()]).await;
    for _ in 0..2 {
        let mut consumer = log.join(&unique("group"), &topic).await.expect("joined");
        let mut assignment = next(&mut consumer).await;
        assert_eq!(assignment.position, Position::at(0));
        assert_eq!(read(&mut assignment.reader, 2).await.len(), 2);
        assignment.reader.commit(&Position::at(2)).await.expect("committed");
    }
}

pub async fn a_position_with_its_pending_range_survives_a_restart(subject: &Subject) {
    let group = unique("group");
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, (0..10).map(|number| number.to_string())).await;
    let positions = [
        Position::pending(0, 0..4),
        Position::at(4),
        Position::pending(4, 4..9),
        Position { without: vec![5, 8], ..Position::pending(4, 4..9) },
        Position::at(0),
    ];
    let mut log = Some(log);
    for position in positions {
        let open = log.take().unwrap_or_else(|| subject.open());
        let mut consumer = open.join(&group, &topic).await.expect("joined");
        let mut assignment = next(&mut consumer).await;
        assignment.reader.commit(&position).await.expect("committed");
        drop(assignment);
        drop(consumer);
        drop(open);

        let again = subject.open();
        let mut consumer = again.join(&group, &topic).await.expect("joined");
        let mut assignment = next(&mut consumer).await;
        assert_eq!(assignment.position, position);
        let records = assignment.reader.fetch(LIMITS).await.expect("fetched");
        assert_eq!(records.first().map(|record| record.offset), Some(position.next_offset));
        if let Some(pending) = &position.pending {
            assignment.reader.seek(pending.start).await.expect("sought");
            let max_records = (pending.end - pending.start) as usize;
            let replayed =
                assignment.reader.fetch(FetchLimits { max_records, ..LIMITS }).await.expect("fetched");
            assert_eq!(replayed.first().map(|record| record.offset), Some(pending.start));
        }
    }
}

pub async fn a_commit_after_revocation_is_refused(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    let group = unique("group");
    append(&log, &topic, ["a".to_owned(), "b".to_owned()]).await;
    let mut first = log.join(&group, &topic).await.expect("joined");
    let mut held = next(&mut first).await;
    held.reader.commit(&Position::pending(0, 0..1)).await.expect("committed");
    drop(first);
    revoked(&held).await;
    let late = held.reader.commit(&Position::at(2)).await;
    assert!(matches!(late, Err(CommitError::Revoked | CommitError::Fenced)), "{late:?}");
    assert_eq!(held.reader.fetch(LIMITS).await, Err(LogError::Revoked));
    drop(held);

    let mut second = log.join(&group, &topic).await.expect("joined");
    assert_eq!(next(&mut second).await.position, Position::pending(0, 0..1));
}

pub async fn a_partition_is_given_on_only_after_its_reader_let_go(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 2).await;
    let group = unique("group");
    let mut first = log.join(&group, &topic).await.expect("joined");
    let mut held = take_all(&mut first, 2).await;
    let mut second = log.join(&group, &topic).await.expect("joined");
    let lost = futures::future::select_all(held.values().map(|assignment| Box::pin(revoked(assignment))));
    let ((), index, _) = lost.await;
    let partition = *held.keys().nth(index).expect("one of them");

    let too_early = tokio::time::timeout(DRAIN / 4, second.next_assignment()).await;
    assert!(too_early.is_err(), "given on while its reader lives");
    drop(held.remove(&partition));
    assert_eq!(next(&mut second).await.partition, partition);
}

pub async fn a_reader_that_does_not_let_go_is_cut_off(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    let group = unique("group");
    append(&log, &topic, ["a".to_owned()]).await;
    let mut first = log.join(&group, &topic).await.expect("joined");
    let mut stuck = next(&mut first).await;
    drop(first);
    let mut second = log.join(&group, &topic).await.expect("joined");
    let mut taken = next(&mut second).await;
    taken.reader.commit(&Position::pending(0, 0..1)).await.expect("committed");
    assert!(stuck.reader.commit(&Position::at(1)).await.is_err());
    drop(taken);
    assert_eq!(next(&mut second).await.position, Position::pending(0, 0..1));
}

pub async fn a_dropped_reader_has_its_partition_offered_again(subject: &Subject) {
    let log = subject.open();
    let topic = subject.topic(&log, 1).await;
    append(&log, &topic, (0..5).map(|number| number.to_string())).await;
    let mut consumer = log.join(&unique("group"), &topic).await.expect("joined");
    let mut assignment = next(&mut consumer).await;
    assert_eq!(read(&mut assignment.reader, 5).await.len(), 5);
    assignment.reader.commit(&Position::pending(2, 2..4)).await.expect("committed");
    let token = assignment.reader.revoked().clone();
    drop(assignment);
    assert!(token.is_cancelled(), "whoever works on it still is told");
    let mut again = next(&mut consumer).await;
    assert_eq!(again.position, Position::pending(2, 2..4));
    let records = read(&mut again.reader, 3).await;
    assert_eq!(records.iter().map(|record| record.offset).collect::<Vec<_>>(), [2, 3, 4]);
}
