//! The whole line on real processes: a reproducible stream goes in over HTTP, and every metric of the Service Ping equals
//! what a naive program computes from the same stream, also when the processor is killed over and over.
//!
//! `TALLY_E2E_EVENTS`, `TALLY_E2E_KILLS` and `TALLY_E2E_SEED` choose another size, number of kills and seed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tally_tests::kafka::Kafka;
use tally_tests::outside::{corpus, python, require, root};
use tally_tests::process::{
    ADMIN_TOKEN, STORE_PASSWORD, Tally, clickhouse, free_port, get_json, run, service_ping, write_directory,
};
use tally_tests::reference::Expected;
use tally_tests::{setting, wait};
use tempfile::TempDir;

/// The id of the first user in a new directory, whose token sends the stream.
const TOKEN_USER: i64 = 1;
const DRAIN_DEADLINE: Duration = Duration::from_mins(10);

/// What one run needs: a folder, a seeded stream, and the reference's answer to it.
struct Run {
    folder: TempDir,
    definitions: Vec<String>,
    events: u64,
    seed: u64,
    now: String,
    expected: Expected,
}

impl Run {
    /// `None` after saying what is missing on this machine.
    fn prepare(test: &str, events: u64) -> Result<Option<Self>> {
        let Some(python) = require(test, python()) else { return Ok(None) };
        let Some(corpus) = require(test, corpus()) else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        let seed = setting("TALLY_E2E_SEED", u64::from(std::process::id()));
        println!("{test}: {events} events, seed {seed}");
        // GitLab's own definitions have no sums and no unique totals; the fixtures have.
        let folders =
            [corpus.join("events"), corpus.join("metrics"), root().join("tests/fixtures/definitions")];
        let definitions: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let now = jiff::Timestamp::now().round(jiff::Unit::Second)?.to_string();
        let stream = folder.path().join("stream.ndjson");
        let dump = stream.display().to_string();
        load(events, seed, &now, &definitions, &["--dry-run", "--dump", &dump])?;
        let expected = Expected::compute(&python, &definitions, &stream, TOKEN_USER, &now[..10])?;
        write_directory(&folder.path().join("directory.yml"))?;
        Ok(Some(Self { folder, definitions, events, seed, now, expected }))
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The settings every process of the run has.
    fn common_settings(&self) -> Vec<String> {
        vec![
            format!("directory.file={}", self.path("directory.yml")),
            format!("standalone.data_dir={}", self.path("data")),
            format!("definitions.paths={:?}", self.definitions),
            format!("store.password={STORE_PASSWORD}"),
        ]
    }

    async fn start(&self, command: &str, port: u16, settings: &[String]) -> Result<Tally> {
        let listen = format!("127.0.0.1:{port}");
        let mut arguments = vec![command, "--listen", &listen];
        let settings: Vec<String> =
            self.common_settings().into_iter().chain(settings.iter().cloned()).collect();
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        Tally::start(self.folder.path(), port, &arguments).await
    }

    /// Sends the stream and waits until all of it is acknowledged.
    async fn load(&self, url: &str) -> Result<String> {
        let (events, seed, now, definitions) =
            (self.events, self.seed, self.now.clone(), self.definitions.clone());
        let url = url.to_owned();
        tokio::task::spawn_blocking(move || {
            load(events, seed, &now, &definitions, &["--url", &url, "--token", ADMIN_TOKEN])
        })
        .await?
    }

    /// Waits until the tables hold every event and the processor has nothing left to do.
    async fn drained(&self, processor: &Tally, store: &str) -> Result<()> {
        wait::until("all events in the tables", DRAIN_DEADLINE, || async move {
            let rows: u64 = clickhouse(store, "SELECT count() FROM events").await?.parse()?;
            let lag = processor.metric("tally_processor_lag_records").await?;
            Ok((rows >= self.events && lag == Some(0.0)).then_some(()))
        })
        .await
        .with_context(|| processor.log_tail())
    }

    /// Every event is there once, and every metric equals the reference.
    async fn judge(&self, query: &str, store: &str) -> Result<()> {
        let rows = clickhouse(store, "SELECT count(), uniqExact(event_id) FROM events").await?;
        ensure!(rows == format!("{0}\t{0}", self.events), "events and distinct events in the table: {rows}");
        let ping = service_ping(query, ADMIN_TOKEN).await?;
        let file = PathBuf::from(self.path("ping.json"));
        std::fs::write(&file, ping.to_string())?;
        println!("{}", self.expected.compare(&file)?);
        Ok(())
    }
}

/// Runs the load generator on one and the same stream.
fn load(events: u64, seed: u64, now: &str, definitions: &[String], more: &[&str]) -> Result<String> {
    let (events, seed) = (events.to_string(), seed.to_string());
    let mut arguments = vec!["load", "--events", &events, "--seed", &seed, "--now", now, "--definitions"];
    arguments.extend(definitions.iter().map(String::as_str));
    arguments.extend(more);
    run(&arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_equals_the_reference() -> Result<()> {
    let Some(run) = Run::prepare("every metric equals the reference", setting("TALLY_E2E_EVENTS", 100_000))?
    else {
        return Ok(());
    };
    let (port, store_port) = (free_port(), free_port());
    let store = format!("http://127.0.0.1:{store_port}");
    let tally = run.start("standalone", port, &[format!("engine.listen=127.0.0.1:{store_port}")]).await?;
    println!("{}", run.load(&tally.url()).await?);
    run.drained(&tally, &store).await?;
    run.judge(&tally.url(), &store).await?;
    tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_standalone_loses_nothing_and_doubles_nothing() -> Result<()> {
    let events = setting("TALLY_E2E_EVENTS", 30_000);
    let Some(run) = Run::prepare("a killed standalone loses nothing and doubles nothing", events)? else {
        return Ok(());
    };
    let (port, store_port) = (free_port(), free_port());
    let store = format!("http://127.0.0.1:{store_port}");
    let engine = format!("engine.listen=127.0.0.1:{store_port}");
    let ingesting =
        run.start("standalone", port, &[engine.clone(), "standalone.services=[\"ingest\"]".into()]).await?;
    run.load(&ingesting.url()).await?;
    ingesting.stop().await?;

    let small_batches = format!("processor.batch_max_records={}", batch_records(run.events));
    let mut tally = run.start("standalone", port, &[engine, small_batches]).await?;
    kill_repeatedly(&mut tally, run.seed).await?;
    run.drained(&tally, &store).await?;
    run.judge(&tally.url(), &store).await?;
    tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_killed_on_kafka_loses_nothing_and_doubles_nothing() -> Result<()> {
    let test = "a processor killed on kafka loses nothing and doubles nothing";
    let Some(kafka) = require(test, Kafka::start()) else { return Ok(()) };
    let Some(run) = Run::prepare(test, setting("TALLY_E2E_EVENTS", 30_000))? else { return Ok(()) };
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let store = format!("http://127.0.0.1:{}", ports[0]);
    let on_kafka = [
        "log_storage.kind=kafka".to_owned(),
        "log_storage.partitions=4".to_owned(),
        format!("kafka.bootstrap_servers={}", kafka.address),
        "kafka.session_timeout_s=6".to_owned(),
        "processor.announcement_ttl_s=6".to_owned(),
        format!("store.url={store}"),
        format!("processor.batch_max_records={}", batch_records(run.events)),
    ];
    let _store = run.start("store", ports[0], &[]).await?;
    let [url, password] = [format!("store.url={store}"), format!("store.password={STORE_PASSWORD}")];
    tally_tests::process::run(&["migrate", "--set", &url, "--set", &password])?;
    let ingest = run.start("ingest", ports[1], &on_kafka).await?;
    let query = run.start("query", ports[2], &on_kafka).await?;
    let mut processor = run.start("processor", ports[3], &on_kafka).await?;

    let ingest_url = ingest.url();
    let (loaded, killed) = tokio::join!(run.load(&ingest_url), kill_repeatedly(&mut processor, run.seed));
    println!("{}", loaded?);
    killed?;
    run.drained(&processor, &store).await?;
    run.judge(&query.url(), &store).await?;

    // The scheduler is a process of its own here, and its commands go to Kafka and ClickHouse themselves.
    let ping = run.start("ping", free_port(), &on_kafka).await?;
    let flags: Vec<String> = run.common_settings().into_iter().chain(on_kafka).collect();
    let said = |question: &[&str]| {
        let flags = flags.iter().flat_map(|flag| ["--set", flag]);
        tally_tests::process::run(
            &["ping"].into_iter().chain(question.iter().copied()).chain(flags).collect::<Vec<_>>(),
        )
    };
    let shown = get_json(&format!("{}/api/v4/usage_data/service_ping", query.url()), ADMIN_TOKEN).await?;
    ensure!(serde_json::from_str::<serde_json::Value>(&said(&["--preview"])?)? == shown, "another payload");
    let status = said(&["--status"])?;
    ensure!(status.contains("ping.base_url is empty"), "{status}");
    ping.stop().await
}

/// So few records a batch that the kills meet many batches.
fn batch_records(events: u64) -> u64 {
    (events / 200).clamp(100, 20_000)
}

/// Kills the process at random moments and starts it again, each time.
async fn kill_repeatedly(process: &mut Tally, seed: u64) -> Result<()> {
    let kills = setting("TALLY_E2E_KILLS", 5);
    let mut random = SmallRng::seed_from_u64(seed);
    for kill in 1..=kills {
        // The moment is what is random here; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..1500))).await;
        process.kill();
        process.restart().await.with_context(|| format!("after kill {kill} of {kills}, seed {seed}"))?;
    }
    println!("killed {kills} times");
    Ok(())
}
