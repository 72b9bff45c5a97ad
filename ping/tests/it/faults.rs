//! What is told to the receiver beside payloads, sending by hand, rows that could not be stored at once, shutdown, and what
//! people are shown.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tally_ping::{Outcome, PayloadKind, PingConfig, PingError, SendError, Tick};
use tokio_util::sync::CancellationToken;

use crate::world::{Fault, RECEIVER, STEP, UUID, World, hours, start};

fn json_of(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn metadata_follow_a_payload_that_was_taken() {
    let world = World::new(1, start());
    let sent = world.instances[0].send_now().await.unwrap();
    assert_eq!((sent.attempt, sent.usage_data_id, sent.error), (1, Some(1), None));
    let score = sent.dev_ops_score.unwrap().features();
    assert_eq!(score.len(), 1);
    assert_eq!((score[0].feature, score[0].leader), ("issues", 9.5));
    let [seen] = &world.receiver.at("/usage_ping_metadata")[..] else { panic!("one") };
    let body = json_of(&seen.body);
    let metadata = &body["metadata"];
    assert_eq!(body.as_object().unwrap().len(), 1);
    assert_eq!(metadata["uuid"], UUID);
    assert!(metadata["unique_instance_id"].is_string());
    assert_eq!(metadata["metrics"], json!([{"name": "number", "time_elapsed": 0.25}]));
}

#[tokio::test]
async fn an_error_report_names_the_instance_and_the_error() {
    let world = World::new(1, start());
    world.faults.plan(&[Fault::Status(503)]);
    let error = world.instances[0].send_now().await.unwrap_err();
    assert!(matches!(error, PingError::NotTaken(SendError::BadStatus(503))), "{error}");
    let [seen] = &world.receiver.at("/usage_ping_errors")[..] else { panic!("one") };
    let body = json_of(&seen.body);
    let error = body["error"].as_object().unwrap();
    let mut names: Vec<_> = error.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = ["elapsed", "hostname", "message", "time", "unique_instance_id", "uuid", "version"];
    assert_eq!(names, expected);
    assert_eq!(error["uuid"], UUID);
    assert_eq!(error["hostname"], "tally.example.com");
    assert_eq!(error["version"], "1.2.3");
    assert_eq!(error["message"], "the answer has status 503");
    assert_eq!(error["time"], "2026-11-16T00:00:00.000Z");
    assert!(error["elapsed"].is_f64());
}

#[tokio::test]
async fn what_a_person_sends_is_not_sent_again_by_the_scheduler() {
    let mut world = World::new(2, start());
    let slot = World::slot().after(start());
    world.faults.plan(&[Fault::Status(500)]);
    world.run_until(slot + hours(1), STEP).await;
    let sent = world.instances[1].send_now().await.unwrap();
    assert_eq!((sent.attempt, sent.usage_data_id), (2, Some(1)));
    // Nor by the person.
    assert_eq!(world.instances[0].send_now().await.unwrap(), sent);
    assert_eq!(world.run_until(slot + hours(6 * 24), STEP).await, []);
    assert_eq!(world.receiver.at("/usage_data").len(), 2);
    let tries = world.instances[0].submissions(sent.recorded_at).await.unwrap();
    assert_eq!(tries.len(), 2);
    assert_eq!(tries[0].error.as_deref(), Some("the answer has status 500"));
    assert_eq!(tries[1], sent);
}

#[tokio::test]
async fn a_payload_made_by_hand_leaves_the_weeks_own_alone() {
    let mut world = World::new(1, start());
    let slot = World::slot().after(start());
    world.tick(0).await;
    let by_hand = world.instances[0].send_now().await.unwrap();
    world.run_until(slot + hours(6 * 24), STEP).await;
    assert_eq!(world.receiver.taken(), 2);
    let latest = world.instances[0].latest(PayloadKind::Full).await.unwrap().unwrap();
    assert!(latest.recorded_at > by_hand.recorded_at);
    // Out of the reporting cycle, the last payload is not the current one any more.
    world.clock.set(latest.recorded_at + hours(7 * 24));
    assert_eq!(world.instances[0].latest(PayloadKind::Full).await.unwrap(), None);
}

#[tokio::test]
async fn a_try_whose_row_could_not_be_stored_is_stored_later() {
    let mut world = World::new(2, start());
    let slot = World::slot().after(start());
    world.faults.plan(&[Fault::StoreDownAfterTaken]);
    let ticks = world.run_until(slot + hours(1), STEP).await;
    let [(_, Some(Tick::Sent(sent)))] = &ticks[..] else { panic!("{ticks:?}") };
    assert!(world.instances[0].submissions(sent.recorded_at).await.is_err());
    // Sent is sent, even if the store can't be told.
    assert_eq!(world.run_until(slot + hours(3 * 24), STEP).await, []);
    world.faults.store_is_down.store(false, Ordering::Relaxed);
    world.run_until(slot + hours(4 * 24), STEP).await;
    assert_eq!(world.instances[0].submissions(sent.recorded_at).await.unwrap(), std::slice::from_ref(sent));
    assert_eq!(world.receiver.at("/usage_data").len(), 1);
}

#[tokio::test]
async fn metrics_tell_failures_by_reason_and_the_last_success() {
    let mut world = World::new(2, start());
    let slot = World::slot().after(start());
    world.faults.plan(&[Fault::Blank, Fault::Status(500), Fault::NoId]);
    world.run_until(slot + hours(3 * 24), STEP).await;
    let texts: Vec<String> =
        world.registries.lock().unwrap().iter().map(tally_service::metrics::render).collect();
    let both = texts.concat();
    for reason in ["blank_payload", "bad_status", "missing_id"] {
        assert!(both.contains(&format!("tally_ping_failures_total{{reason=\"{reason}\"}} 1\n")), "{both}");
    }
    assert!(both.contains("tally_ping_generation_seconds_count{kind=\"full\"} 2\n"), "{both}");
    // Every process shows it, whichever sent.
    let success = format!("tally_ping_last_success_timestamp_seconds {}\n", (slot + hours(48)).as_second());
    assert!(texts.iter().all(|text| text.contains(&success)), "{success}{both}");
}

#[tokio::test]
async fn a_step_that_is_under_way_at_shutdown_is_taken_back() {
    let config =
        PingConfig { base_url: RECEIVER.to_owned(), splay_s: 3_600, poll_s: 1, ..PingConfig::default() };
    let mut world = World::configured(config, 1, start());
    world.tick(0).await;
    let slot = World::slot().after(start());
    world.clock.set(slot);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(world.instances[0].clone().run(shutdown.clone()));
    // The try is announced, and waits for its splay.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while world.instances[0].status().await.unwrap().leases.len() < 3 {
        assert!(std::time::Instant::now() < deadline, "the leases are not taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shutdown.cancel();
    running.await.unwrap();
    let status = world.instances[0].status().await.unwrap();
    assert_eq!(status.leases, []);
    assert_eq!(status.cycle.as_ref().unwrap().attempts, 0);
    // The next process makes it at once.
    world.config.splay_s = 0;
    world.instances[0] = world.process();
    world.clock.advance(SignedDuration::from_secs(30));
    assert!(matches!(world.tick(0).await, Some(Tick::Sent(_))));
}

#[tokio::test]
async fn the_status_says_what_happened_and_what_comes() {
    let mut world = World::new(1, start());
    let slot = World::slot().after(start());
    let text = world.instances[0].status().await.unwrap().to_string();
    assert!(text.contains("slot          Wednesday 05:40 UTC, next 2026-11-18T05:40:00Z"), "{text}");
    assert!(text.contains("destination   sent to https://version.example.com\n"), "{text}");
    assert!(text.contains("last slot     none yet\n") && text.contains("last success  never\n"), "{text}");
    world.faults.plan(&[Fault::Reset]);
    world.run_until(slot + hours(1), STEP).await;
    let status = world.instances[0].status().await.unwrap();
    assert_eq!(status.next_attempt, Some(slot + hours(8)));
    let text = status.to_string();
    for line in [
        "last slot     2026-11-18T05:40:00Z: under way\n",
        "tries         1\n",
        "last error    no answer: connection reset\n",
        "next try      2026-11-18T13:40:00Z\n",
        "submission    payload of 2026-11-18T05:40:00Z, try 1 at 2026-11-18T05:40:00Z: failed: no answer: connection reset\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    world.run_until(slot + hours(9), STEP).await;
    let status = world.instances[0].status().await.unwrap();
    assert_eq!(status.cycle.as_ref().unwrap().outcome, Outcome::Sent);
    assert_eq!(status.last_success, Some(slot + hours(8)));
    assert!(status.to_string().contains("try 2 at 2026-11-18T13:40:00Z: taken as 1\n"), "{status}");
    assert_eq!(world.instances[0].explain("number").await.as_deref(), Some("counted up"));
    assert_eq!(world.instances[0].explain("other").await, None);
}
