//! The settings: what is in force, and that nothing leaves the instance without consent.

use std::sync::atomic::Ordering;

use serde_json::json;
use tally_ping::{Outcome, PayloadKind, PingConfig, PingError, Settings, SettingsChange, Tick};

use crate::world::{Fault, RECEIVER, STEP, World, hours, start};

const NOTHING: SettingsChange = SettingsChange {
    usage_ping_enabled: None,
    usage_ping_generation_enabled: None,
    include_optional_data_in_service_ping: None,
    usage_ping_features_enabled: None,
    version_check_enabled: None,
};

const DEFAULTS: Settings = Settings {
    usage_ping_enabled: true,
    usage_ping_generation_enabled: true,
    include_optional_data_in_service_ping: true,
    usage_ping_features_enabled: false,
    version_check_enabled: true,
};

fn forbidding() -> PingConfig {
    PingConfig {
        usage_ping_enabled: false,
        base_url: RECEIVER.to_owned(),
        splay_s: 0,
        ..PingConfig::default()
    }
}

#[tokio::test]
async fn changes_are_in_force_at_once_and_registration_features_need_the_ping() {
    let world = World::new(2, start());
    let [ping, other] = &world.instances[..] else { panic!("two instances") };
    assert_eq!(ping.settings(), DEFAULTS);
    let features = |on| SettingsChange { usage_ping_features_enabled: Some(on), ..NOTHING };
    let sending = |on| SettingsChange { usage_ping_enabled: Some(on), ..NOTHING };
    let table = [
        (NOTHING, DEFAULTS),
        (features(true), Settings { usage_ping_features_enabled: true, ..DEFAULTS }),
        // Off with the ping, and not on again with it.
        (sending(false), Settings { usage_ping_enabled: false, ..DEFAULTS }),
        (features(true), Settings { usage_ping_enabled: false, ..DEFAULTS }),
        (sending(true), DEFAULTS),
        (
            SettingsChange { usage_ping_enabled: Some(false), ..features(true) },
            Settings { usage_ping_enabled: false, ..DEFAULTS },
        ),
        (
            SettingsChange { usage_ping_enabled: Some(true), ..features(true) },
            Settings { usage_ping_features_enabled: true, ..DEFAULTS },
        ),
        (features(false), DEFAULTS),
        (
            SettingsChange {
                include_optional_data_in_service_ping: Some(false),
                usage_ping_generation_enabled: Some(false),
                version_check_enabled: Some(false),
                ..NOTHING
            },
            Settings {
                include_optional_data_in_service_ping: false,
                usage_ping_generation_enabled: false,
                version_check_enabled: false,
                ..DEFAULTS
            },
        ),
    ];
    for (change, expected) in table {
        assert_eq!(ping.change_settings(change).await.unwrap(), expected, "{change:?}");
        assert_eq!(other.settings(), expected, "{change:?}");
    }
}

#[tokio::test]
async fn what_is_no_boolean_counts_as_off() {
    let world = World::new(1, start());
    for value in [json!("false"), json!(0), json!("true"), json!({})] {
        world.set("usage_ping_enabled", value).await;
        assert_eq!(world.instances[0].settings(), Settings { usage_ping_enabled: false, ..DEFAULTS });
    }
    world.set("usage_ping_enabled", json!(null)).await;
    assert_eq!(world.instances[0].settings(), DEFAULTS);
}

#[tokio::test]
async fn the_file_wins_over_the_setting_and_is_not_overridden() {
    let mut world = World::configured(forbidding(), 1, start());
    world.set("usage_ping_enabled", true).await;
    world.set("usage_ping_features_enabled", true).await;
    let ping = world.instances[0].clone();
    let off = Settings { usage_ping_enabled: false, ..DEFAULTS };
    assert!(ping.is_forbidden_by_file());
    assert_eq!(ping.settings(), off);
    let on =
        SettingsChange { usage_ping_enabled: Some(true), usage_ping_features_enabled: Some(true), ..NOTHING };
    assert_eq!(ping.change_settings(on).await.unwrap(), off);
    assert!(matches!(ping.send_now().await, Err(PingError::OptedOut)));
    // Computed and stored all the same.
    let ticks = world.run_until(start() + hours(7 * 24), STEP).await;
    assert!(matches!(ticks[..], [(_, Some(Tick::Stored))]), "{ticks:?}");
    assert!(ping.latest(PayloadKind::Full).await.unwrap().is_some());
    assert_eq!(world.receiver.seen.lock().unwrap().len(), 0);
    // What was asked for in vain is not in force once the file allows it.
    world.config.usage_ping_enabled = true;
    assert!(!world.process().settings().usage_ping_features_enabled);
}

#[tokio::test]
async fn who_opts_out_between_two_tries_is_not_tried_again() {
    let mut world = World::new(2, start());
    let slot = World::slot().after(start());
    world.faults.plan(&[Fault::Status(500)]);
    world.run_until(slot + hours(1), STEP).await;
    assert_eq!(world.receiver.at("/usage_data").len(), 1);
    world.set("usage_ping_enabled", false).await;
    let ticks = world.run_until(slot + hours(6 * 24), STEP).await;
    assert!(matches!(ticks[..], [(_, Some(Tick::Ended(Outcome::NotSent)))]), "{ticks:?}");
    assert_eq!(world.receiver.at("/usage_data").len(), 1);
}

#[tokio::test]
async fn a_failure_is_not_reported_without_consent() {
    let mut world = World::new(1, start());
    world.set("usage_ping_enabled", false).await;
    world.faults.plan(&[Fault::Blank, Fault::StoreDown]);
    let ticks = world.run_until(start() + hours(7 * 24), STEP).await;
    let failed = ticks.iter().filter(|(_, tick)| matches!(tick, Some(Tick::Failed(_)))).count();
    assert_eq!(failed, 2);
    assert_eq!(ticks.last().unwrap().1, Some(Tick::Stored));
    assert_eq!(world.receiver.seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn without_a_receiver_payloads_are_stored_and_nothing_is_sent() {
    let config = PingConfig { splay_s: 0, ..PingConfig::default() };
    let mut world = World::configured(config, 1, start());
    let ticks = world.run_until(start() + hours(7 * 24), STEP).await;
    assert!(matches!(ticks[..], [(_, Some(Tick::Stored))]), "{ticks:?}");
    assert!(matches!(world.instances[0].send_now().await, Err(PingError::NoReceiver)));
    assert_eq!(world.receiver.seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_payload_is_made_under_the_consent_of_its_time() {
    let world = World::new(1, start());
    let ping = &world.instances[0];
    let change = SettingsChange {
        include_optional_data_in_service_ping: Some(false),
        usage_ping_features_enabled: Some(true),
        ..NOTHING
    };
    ping.change_settings(change).await.unwrap();
    ping.generate().await.unwrap();
    let consents = world.generator.consents.lock().unwrap().clone();
    assert_eq!(consents.len(), 3);
    for consent in consents {
        assert!(consent.usage_ping_enabled && consent.features_enabled && !consent.include_optional_data);
    }
    let off = SettingsChange { usage_ping_generation_enabled: Some(false), ..NOTHING };
    ping.change_settings(off).await.unwrap();
    assert!(matches!(ping.generate().await, Err(PingError::GenerationOff)));
}

#[tokio::test]
async fn optional_data_are_not_sent_once_they_are_switched_off() {
    let mut world = World::new(1, start());
    let slot = World::slot().after(start());
    world.faults.plan(&[Fault::Status(500)]);
    world.run_until(slot + hours(1), STEP).await;
    world.set("include_optional_data_in_service_ping", false).await;
    // Not by the next try, which makes another payload, and not by a person.
    let ticks = world.run_until(slot + hours(9), STEP).await;
    let [(_, Some(Tick::Sent(sent)))] = &ticks[..] else { panic!("{ticks:?}") };
    assert_eq!((sent.attempt, sent.recorded_at), (2, slot + hours(8)));
    assert_eq!(world.instances[0].status().await.unwrap().leases, []);
    let bodies = world.receiver.at("/usage_data");
    let holds_optional = |body: &[u8]| String::from_utf8_lossy(body).contains("optional");
    assert_eq!(bodies.len(), 2);
    assert!(holds_optional(&bodies[0].body) && !holds_optional(&bodies[1].body));

    world.set("include_optional_data_in_service_ping", true).await;
    world.clock.advance(hours(1));
    world.instances[0].generate().await.unwrap();
    world.set("include_optional_data_in_service_ping", false).await;
    world.clock.advance(hours(1));
    let by_hand = world.instances[0].send_now().await.unwrap();
    assert_eq!(by_hand.recorded_at, world.instances[0].preview().await.unwrap().recorded_at);
    assert!(!holds_optional(&world.receiver.at("/usage_data").last().unwrap().body));
}

#[tokio::test]
async fn what_is_switched_off_while_a_payload_is_made_is_heeded() {
    let slot = World::slot().after(start());
    for (setting, ended) in [
        ("usage_ping_enabled", Outcome::NotSent),
        ("usage_ping_generation_enabled", Outcome::NotSent),
        ("include_optional_data_in_service_ping", Outcome::Sent),
    ] {
        let mut world = World::new(1, start());
        world.tick(0).await;
        *world.generator.on_full.lock().unwrap() = Some(world.setting(setting, false));
        world.run_until(slot + hours(1), STEP).await;
        assert_eq!(world.receiver.at("/usage_data").len(), 0, "{setting}");
        // Without the optional data a payload is sent with the next try.
        world.run_until(slot + hours(24), STEP).await;
        let bodies = world.receiver.at("/usage_data");
        assert_eq!(bodies.len(), usize::from(ended == Outcome::Sent), "{setting}");
        for seen in bodies {
            assert!(!String::from_utf8_lossy(&seen.body).contains("optional"), "{setting}");
        }
        assert_eq!(world.instances[0].status().await.unwrap().cycle.unwrap().outcome, ended, "{setting}");
    }
}

#[tokio::test]
async fn metadata_do_not_follow_once_the_ping_is_off() {
    let mut world = World::new(1, start());
    world.tick(0).await;
    *world.receiver.on_taken.lock().unwrap() = Some(world.setting("usage_ping_enabled", false));
    world.run_until(World::slot().after(start()) + hours(1), STEP).await;
    let paths: Vec<_> = world.receiver.seen.lock().unwrap().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(paths, ["/usage_data"]);
}

#[tokio::test]
async fn a_payload_that_does_not_tell_its_categories_is_made_anew_once_optional_data_are_off() {
    let mut world = World::new(1, start());
    world.generator.is_silent.store(true, Ordering::Relaxed);
    world.faults.plan(&[Fault::Status(500)]);
    world.run_until(World::slot().after(start()) + hours(1), STEP).await;
    world.set("include_optional_data_in_service_ping", false).await;
    world.run_until(World::slot().after(start()) + hours(9), STEP).await;
    let bodies = world.receiver.at("/usage_data");
    assert_eq!(bodies.len(), 2);
    assert_ne!(bodies[0].body, bodies[1].body);
    assert!(!world.generator.consents.lock().unwrap().last().unwrap().include_optional_data);
}

#[tokio::test]
async fn nothing_is_sent_by_hand_while_no_payloads_are_made() {
    let world = World::new(1, start());
    world.instances[0].generate().await.unwrap();
    world.set("usage_ping_generation_enabled", false).await;
    assert!(matches!(world.instances[0].send_now().await, Err(PingError::GenerationOff)));
    assert_eq!(world.receiver.seen.lock().unwrap().len(), 0);
}
