//! Brokers far away: each question takes long, and many of them must not take many times as long.

use std::time::{Duration, Instant};

use super::subject::Subject;

const ROUND_TRIP: Duration = Duration::from_millis(100);
const PARTITIONS: u32 = 64;

pub async fn partitions_are_asked_about_side_by_side(subject: &Subject) {
    let Subject::Mock(cluster) = subject else { panic!("not on the mock cluster") };
    let log = subject.open();
    let topic = subject.topic(&log, PARTITIONS).await;
    log.watermarks(&topic).await.expect("an answer");
    cluster.broker_round_trip_time(1, ROUND_TRIP).expect("a slow broker");
    let asked = Instant::now();
    assert_eq!(log.watermarks(&topic).await.expect("an answer").len(), PARTITIONS as usize);
    assert!(asked.elapsed() >= ROUND_TRIP, "{:?}", asked.elapsed());
    assert!(asked.elapsed() < ROUND_TRIP * PARTITIONS / 3, "{:?}", asked.elapsed());
}
