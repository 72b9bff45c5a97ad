//! Payloads and tries in the real tables: stored byte for byte, found again, stored twice without harm.

use std::sync::Arc;

use prometheus::Registry;
use serde_json::json;
use tally_directory::Directory;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_ping::{Dependencies, PayloadKind, Ping, PingConfig, SettingsChange};
use tally_query::metrics::QueryMetrics;
use tally_query::service_ping::Plan;
use tally_query::warehouse::Warehouse;
use tally_query::{InstanceConfig, LicenseConfig, QueryLimits};
use tally_schemas::clickhouse::MIGRATIONS;
use tally_schemas::{Definitions, Framings};
use tally_service::clock::Clock;
use tally_service::randomness::ThreadRandomness;
use tally_store::{Migration, Store, StoreConfig};

use crate::engine;
use crate::world::{UUID, World, hours, start};

#[test]
fn payloads_and_tries_are_kept_in_clickhouse() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let name = "payloads_and_tries_are_kept_in_clickhouse";
    match engine::url() {
        Ok(url) => runtime.block_on(kept(url)),
        Err(why) if std::env::var("TALLY_REQUIRE").is_ok_and(|required| required == "all") => {
            panic!("{name} needs the engine: {why}")
        }
        Err(why) => println!("left out: {name}: {why}"),
    }
}

async fn store(url: &str) -> Store {
    let store = Store::new(StoreConfig { database: "ping_storage".to_owned(), ..StoreConfig::new(url) });
    let migrations: Vec<Migration> = MIGRATIONS
        .iter()
        .map(|(number, name, sql)| Migration { number: *number, name: (*name).into(), sql: (*sql).into() })
        .collect();
    store.migrate(&migrations).await.unwrap();
    store
}

async fn kept(url: &str) {
    let store = store(url).await;
    let world = World::new(0, start());
    let registry = Registry::new();
    let folder = tempfile::tempdir().unwrap();
    let definitions = Definitions::load(&[] as &[String]).unwrap_or_else(|errors| panic!("{errors}"));
    let dependencies = Dependencies {
        plan: Arc::new(Plan::new(&definitions)),
        warehouse: Warehouse::new(&store, &QueryLimits::default(), QueryMetrics::register(&registry)),
        store: store.clone(),
        directory: Arc::new(Directory::in_memory()),
        log: Arc::new(EmbeddedLog::open(EmbeddedConfig::new(folder.path().join("log"))).unwrap()),
        framings: Framings::default(),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        randomness: Arc::new(ThreadRandomness),
        instance: InstanceConfig { uuid: UUID.to_owned(), ..InstanceConfig::default() },
        license: LicenseConfig::default(),
        prometheus_url: String::new(),
        registry,
    };
    // A receiver that nobody may call, so that tries fail without a network.
    let config = PingConfig { base_url: "http://127.0.0.1:9/".to_owned(), ..PingConfig::default() };
    let ping = Ping::new(config, dependencies).unwrap();

    assert_eq!(ping.latest(PayloadKind::Full).await.unwrap(), None);
    let made = ping.generate().await.unwrap();
    for kind in PayloadKind::ALL {
        let stored = ping.latest(kind).await.unwrap().unwrap();
        assert_eq!((stored.recorded_at, stored.kind), (start(), kind));
        let document: serde_json::Value = serde_json::from_str(&stored.payload).unwrap();
        assert_eq!(document["uuid"], json!(UUID));
    }
    assert_eq!(ping.latest(PayloadKind::Full).await.unwrap().unwrap(), made);
    assert_eq!(ping.preview().await.unwrap(), made);

    world.clock.advance(hours(1));
    ping.generate().await.unwrap();
    let newer = ping.latest(PayloadKind::Full).await.unwrap().unwrap();
    assert_eq!(newer.recorded_at, start() + hours(1));
    assert_eq!(rows(&store, "service_pings").await, 6);

    for attempt in 1..=2 {
        let error = ping.send_now().await.unwrap_err().to_string();
        assert!(error.contains("private"), "{error}");
        let tries = ping.submissions(newer.recorded_at).await.unwrap();
        assert_eq!(tries.len(), attempt);
        assert_eq!((tries[attempt - 1].attempt, tries[attempt - 1].usage_data_id), (attempt as u8, None));
    }
    assert_eq!(ping.submissions(start()).await.unwrap(), []);
    let recent: Vec<u8> = ping.recent_submissions(5).await.unwrap().iter().map(|one| one.attempt).collect();
    assert_eq!(recent, [2, 1]);
    assert_eq!(ping.recent_submissions(1).await.unwrap().len(), 1);

    world.clock.advance(hours(7 * 24));
    assert_eq!(ping.latest(PayloadKind::Full).await.unwrap(), None, "a week later");
    let off = SettingsChange { usage_ping_generation_enabled: Some(false), ..SettingsChange::default() };
    ping.change_settings(off).await.unwrap();
    assert!(ping.preview().await.is_err());
    assert!(ping.status().await.unwrap().to_string().contains("no payload is computed"), "not computed");
}

async fn rows(store: &Store, table: &str) -> u64 {
    store.client().query_raw(&format!("SELECT count() FROM {table}")).fetch_one().await.unwrap()
}
