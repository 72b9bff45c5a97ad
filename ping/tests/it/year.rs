//! A year of weeks with two instances and something wrong in most of them: what the receiver got.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tally_ping::{PayloadKind, SettingsChange, Tick};

use crate::world::{Fault, STEP, Seen, World, hours, start};

/// What is wrong in a week, and what must come of it.
struct Week {
    name: &'static str,
    faults: &'static [Fault],
    /// A setting that is off during the week.
    off: Option<&'static str>,
    /// Hours from the slot to each request for the payload.
    requests: &'static [i64],
    /// How many of the week's tries failed so that the process knew.
    failures: usize,
    /// How many payloads are stored.
    stored: usize,
    is_taken: bool,
}

const FINE: Week =
    Week { name: "nothing", faults: &[], off: None, requests: &[0], failures: 0, stored: 1, is_taken: true };

const WEEKS: [Week; 14] = [
    FINE,
    Week { name: "a 5xx", faults: &[Fault::Status(503)], requests: &[0, 8], failures: 1, ..FINE },
    Week {
        name: "no number, then a reset connection",
        faults: &[Fault::NoId, Fault::Reset],
        requests: &[0, 8, 24],
        failures: 2,
        ..FINE
    },
    Week {
        name: "three failures",
        faults: &[Fault::Status(500), Fault::Status(302), Fault::Status(404)],
        requests: &[0, 8, 24, 48],
        failures: 3,
        ..FINE
    },
    Week {
        name: "four failures",
        faults: &[Fault::Reset, Fault::Status(500), Fault::NoId, Fault::Reset],
        requests: &[0, 8, 24, 48],
        failures: 4,
        is_taken: false,
        ..FINE
    },
    Week { name: "a blank payload", faults: &[Fault::Blank], requests: &[8], failures: 1, ..FINE },
    Week { name: "the store is down", faults: &[Fault::StoreDown], requests: &[8], failures: 1, ..FINE },
    Week { name: "a crash before sending", faults: &[Fault::CrashBeforeSending], requests: &[8], ..FINE },
    Week {
        name: "a crash once the payload was taken",
        faults: &[Fault::CrashAfterTaken],
        requests: &[0, 8],
        ..FINE
    },
    Week {
        name: "a crash at each of two tries, and a failure",
        faults: &[Fault::CrashBeforeSending, Fault::CrashBeforeSending, Fault::Reset],
        requests: &[24, 48],
        failures: 1,
        ..FINE
    },
    Week {
        name: "a crash while computing: the leases hold a day",
        faults: &[Fault::CrashWhileComputing],
        requests: &[24],
        ..FINE
    },
    Week { name: "opted out", off: Some("usage_ping_enabled"), requests: &[], is_taken: false, ..FINE },
    Week {
        name: "generation off",
        off: Some("usage_ping_generation_enabled"),
        requests: &[],
        stored: 0,
        is_taken: false,
        ..FINE
    },
    FINE,
];

#[tokio::test]
async fn a_year_of_weeks_with_two_instances() {
    let mut world = World::new(2, start());
    world.run_until(start() + hours(1), STEP).await;
    let first_slot = World::slot().after(start());
    let (mut taken, mut sent) = (0, 0);
    for number in 0..52 {
        let week = &WEEKS[number % WEEKS.len()];
        let slot = first_slot + hours(7 * 24 * number as i64);
        world.run_until(slot - SignedDuration::from_mins(1), STEP).await;
        if let Some(setting) = week.off {
            world.set(setting, false).await;
        }
        world.faults.plan(week.faults);
        // Which of the two looks first changes from week to week.
        world.instances.swap(0, 1);
        let ticks = world.run_until(slot + hours(6 * 24), STEP).await;
        if let Some(setting) = week.off {
            world.set(setting, true).await;
        }
        check(&world, week, slot, &ticks);
        taken += usize::from(week.is_taken);
        sent += week.requests.len();
        assert_eq!(world.receiver.taken(), taken, "week {number}: {}", week.name);
    }
    println!(
        "52 weeks, two instances: {taken} payloads taken in {sent} requests, {} reports of errors",
        world.receiver.at("/usage_ping_errors").len()
    );
    assert_eq!(world.receiver.at("/usage_data").len(), sent);
}

fn check(world: &World, week: &Week, slot: Timestamp, ticks: &[(Timestamp, Option<Tick>)]) {
    let of_week = |path: &str| -> Vec<Seen> {
        world.receiver.at(path).into_iter().filter(|seen| seen.at >= slot).collect()
    };
    assert_eq!(world.faults.left(), 0, "{}: all faults happened", week.name);
    let requests = of_week("/usage_data");
    // A look at the schedule comes up to a step late, and the tries after it inherit that.
    let late = |seen: &Seen, due: i64| seen.at.duration_since(slot) - hours(due);
    assert_eq!(requests.len(), week.requests.len(), "{}: {ticks:?}", week.name);
    for (number, (seen, due)) in requests.iter().zip(week.requests).enumerate() {
        let late = late(seen, *due);
        let allowed = SignedDuration::from_mins(10 * (number as i64 + 2));
        assert!(!late.is_negative() && late < allowed, "{}: try {number} is {late:?} late", week.name);
        assert_eq!(seen.body, requests[0].body, "{}: the same bytes each time", week.name);
    }
    assert_eq!(of_week("/usage_ping_errors").len(), week.failures, "{}", week.name);
    assert_eq!(of_week("/usage_ping_metadata").len(), usize::from(week.is_taken), "{}", week.name);

    let recorded: Vec<Timestamp> =
        world.storage.memory.recorded(PayloadKind::Full).into_iter().filter(|at| *at >= slot).collect();
    assert_eq!(recorded.len(), week.stored, "{}", week.name);
    for recorded_at in recorded {
        for kind in PayloadKind::ALL {
            assert!(world.storage.memory.recorded(kind).contains(&recorded_at), "{}: {kind}", week.name);
        }
        for seen in &requests {
            let body: Value = serde_json::from_slice(&seen.body).unwrap();
            assert_eq!(body["recorded_at"], recorded_at.to_string(), "{}", week.name);
            assert_eq!(body["kind"], "full");
        }
    }
}

#[tokio::test]
async fn the_first_slot_that_counts_is_the_first_after_the_first_start() {
    let mut world = World::new(1, start());
    let slot = World::slot().after(start());
    assert_eq!(world.run_until(slot - SignedDuration::from_mins(10), STEP).await, []);
    let ticks = world.run_until(slot + hours(7 * 24 - 1), STEP).await;
    assert!(matches!(ticks[..], [(at, Some(Tick::Sent(_)))] if at >= slot), "{ticks:?}");
}

#[tokio::test]
async fn a_slot_that_was_missed_while_nothing_ran_is_made_up_for() {
    let mut world = World::new(1, start());
    world.tick(0).await;
    world.instances.clear();
    // Three slots pass. The last one is made up for, once.
    world.clock.set(start() + hours(18 * 24));
    world.instances.push(world.process());
    let ticks = world.run_until(start() + hours(20 * 24), STEP).await;
    assert!(matches!(ticks[..], [(_, Some(Tick::Sent(_)))]), "{ticks:?}");
    assert_eq!(ticks[0].0, start() + hours(18 * 24));
}

#[tokio::test]
async fn a_ping_switched_on_in_the_middle_of_the_week_waits_for_the_next_slot() {
    let mut world = World::new(2, start());
    world.set("usage_ping_enabled", false).await;
    let slot = World::slot().after(start());
    world.run_until(slot + hours(10), STEP).await;
    let on = SettingsChange { usage_ping_enabled: Some(true), ..SettingsChange::default() };
    world.instances[0].change_settings(on).await.unwrap();
    world.run_until(slot + hours(7 * 24 - 1), STEP).await;
    assert_eq!(world.receiver.seen.lock().unwrap().len(), 0);
    world.run_until(slot + hours(7 * 24 + 1), STEP).await;
    assert_eq!(world.receiver.taken(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_instances_that_look_at_once_one_makes_the_try() {
    let mut world = World::new(8, start());
    let mut slot = World::slot().after(start());
    world.tick(0).await;
    for week in 1..=20 {
        world.clock.set(slot);
        let looks = world.instances.iter().map(|ping| {
            let ping = ping.clone();
            tokio::spawn(async move { ping.tick().await.unwrap() })
        });
        let mut made = 0;
        for look in looks.collect::<Vec<_>>() {
            made += usize::from(look.await.unwrap() != Tick::Idle);
        }
        assert_eq!((made, world.receiver.at("/usage_data").len()), (1, week));
        slot += hours(7 * 24);
    }
}
