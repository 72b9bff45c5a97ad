//! The version check: what is asked, how often, and when nothing is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use tally_ping::{PingConfig, SettingsChange, Severity};

use crate::world::{World, hours, start};

#[tokio::test]
async fn the_receiver_is_told_version_and_host_name_at_most_every_12_hours() {
    let world = World::new(1, start());
    let ping = &world.instances[0];
    let status = ping.version_check().await.unwrap().unwrap();
    assert_eq!((status.severity, status.latest_version.as_str()), (Severity::Warning, "1.2.4"));
    assert_eq!(status.to_string(), "update available; the latest version is 1.2.4");
    ping.version_check().await.unwrap();
    let asked = world.receiver.seen.lock().unwrap().clone();
    let [asked] = &asked[..] else { panic!("{asked:?}") };
    let info = asked.path.strip_prefix("/check.json?gitlab_info=").unwrap().replace("%3D", "=");
    assert_eq!(URL_SAFE.decode(info).unwrap(), br#"{"version":"1.2.3"}"#);
    assert_eq!(asked.body, "https://tally.example.com/", "the Referer");
    world.clock.advance(hours(12));
    ping.version_check().await.unwrap();
    assert_eq!(world.receiver.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_is_asked_when_the_version_check_is_off_or_there_is_no_receiver() {
    let world = World::new(1, start());
    let off = SettingsChange { version_check_enabled: Some(false), ..SettingsChange::default() };
    world.instances[0].change_settings(off).await.unwrap();
    assert_eq!(world.instances[0].version_check().await.unwrap(), None);
    let alone = World::configured(PingConfig::default(), 1, start());
    assert_eq!(alone.instances[0].version_check().await.unwrap(), None);
    assert_eq!(world.receiver.seen.lock().unwrap().len() + alone.receiver.seen.lock().unwrap().len(), 0);
}
