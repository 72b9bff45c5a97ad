//! What a subcommand opens before it works: the settings (and with them the logs), signals, the log, the store, the
//! directory and the definitions.

use std::convert::Infallible;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use prometheus::Registry;
use tally_directory::log::ReplicaConfig;
use tally_directory::{Change, Directory, SecretHash};
use tally_eventlog::embedded::EmbeddedLog;
use tally_eventlog::kafka::KafkaLog;
use tally_eventlog::spool::{SpoolingLog, Upstream};
use tally_eventlog::{EventLog, LogError, TopicSpec};
use tally_schemas::definitions::LegacyNames;
use tally_schemas::{Definitions, topics};
use tally_service::{config, logging};
use tally_store::{Migration, Store};
use tokio_util::sync::CancellationToken;

use crate::cli::ConfigArgs;
use crate::config::{Config, LogKind, Service};

/// How often the directory's file is looked at.
const DIRECTORY_INTERVAL: Duration = Duration::from_secs(2);

/// The settings in force; `flags` are what a subcommand's own flags add.
pub fn load_config(args: &ConfigArgs, flags: &[String]) -> Result<Config> {
    let all: Vec<String> = args.set.iter().chain(flags).cloned().collect();
    Config::load(args.config.as_deref(), &all)
}

/// The settings in force with logging started, or `None` after printing them, where that was all that was asked for.
pub fn settings(args: &ConfigArgs, flags: &[String]) -> Result<Option<Config>> {
    let config = load_config(args, flags)?;
    if args.dump_config {
        print!("{}", config::dump(&config)?);
        return Ok(None);
    }
    logging::start(&config.log)?;
    Ok(Some(config))
}

/// Fires on SIGTERM or Ctrl-C.
pub fn shutdown_on_signal() -> CancellationToken {
    let shutdown = CancellationToken::new();
    let fired = shutdown.clone();
    tokio::spawn(async move {
        let ctrl_c = async {
            if tokio::signal::ctrl_c().await.is_err() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = ctrl_c => {}
            () = terminated() => {}
        }
        tracing::info!("shutting down");
        fired.cancel();
    });
    shutdown
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            terminate.recv().await;
        }
        Err(_) => pending().await,
    }
}

/// The topics of what Tally takes in.
const TAKEN_IN: [&str; 4] =
    [topics::EVENTS, topics::PAGE_EVENTS, topics::CONTRIBUTIONS, topics::DEAD_LETTERS];

/// Opens the configured log and creates the topics that are missing.
pub async fn log(config: &Config) -> Result<Arc<dyn EventLog>> {
    Ok(log_with_upstream(config).await?.0)
}

/// As [`log`]; with what a spool needs of it, where it is a log that a spool may stand before.
pub async fn log_with_upstream(config: &Config) -> Result<(Arc<dyn EventLog>, Option<Arc<dyn Upstream>>)> {
    let (log, upstream): (Arc<dyn EventLog>, Option<Arc<dyn Upstream>>) = match config.log_storage.kind {
        LogKind::Embedded => (Arc::new(EmbeddedLog::open(config.embedded_log())?), None),
        LogKind::Kafka => {
            let log = Arc::new(KafkaLog::connect(config.kafka_log())?);
            (Arc::clone(&log) as _, Some(log))
        }
    };
    for topic in TAKEN_IN {
        ensure_topic(&*log, topic, config).await.with_context(|| format!("can't make topic {topic}"))?;
    }
    let directory = tally_directory::log::topic(topics::DIRECTORY);
    log.ensure_topic(&directory).await.context("can't make the directory's topic")?;
    log.ensure_topic(&tally_evolution::topic()).await.context("can't make the topic of schemas")?;
    tally_evolution::publish(&*log, Timestamp::now().as_millisecond())
        .await
        .context("can't publish the schemas of this version's records")?;
    Ok((log, upstream))
}

/// The spool of a process that runs `service`, before the log; `None` where there is to be none.
pub fn spool(
    config: &Config,
    service: &str,
    upstream: Option<Arc<dyn Upstream>>,
    registry: &Registry,
) -> Result<Option<Arc<SpoolingLog>>> {
    let (Some(spool), Some(upstream)) = (config.spool(service, TAKEN_IN), upstream) else { return Ok(None) };
    Ok(Some(Arc::new(SpoolingLog::open(spool, upstream, registry)?)))
}

/// Creates the topic with the configured settings; one that is there keeps its number of partitions.
async fn ensure_topic(log: &dyn EventLog, topic: &str, config: &Config) -> Result<(), LogError> {
    let section = &config.log_storage;
    let partitions = match log.watermarks(topic).await {
        Ok(watermarks) => watermarks.len() as u32,
        Err(LogError::UnknownTopic(_)) => section.partitions,
        Err(error) => return Err(error),
    };
    let spec = TopicSpec {
        name: topic.to_owned(),
        partitions,
        retention: retention(config),
        compacted: false,
        max_record_bytes: section.max_record_bytes,
    };
    log.ensure_topic(&spec).await
}

/// How long records are kept; for good while nobody on this machine counts them.
fn retention(config: &Config) -> Option<Duration> {
    let section = &config.log_storage;
    let counted = section.kind == LogKind::Kafka || config.standalone.services.contains(&Service::Processor);
    counted.then(|| Duration::from_hours(section.retention_days * 24))
}

/// Refuses the embedded log, which serves one process, to a subcommand that is one of several.
pub fn refuse_embedded_log(config: &Config) -> Result<()> {
    if config.log_storage.kind == LogKind::Embedded {
        bail!(
            "the embedded log serves one process: use `tally standalone`, or set log_storage.kind = \"kafka\" and \
             kafka.bootstrap_servers"
        );
    }
    Ok(())
}

/// A store at the configured URL.
pub fn store(config: &Config) -> Result<Store> {
    if config.store.url.is_empty() {
        bail!("store.url is empty: name ClickHouse's HTTP address, such as http://127.0.0.1:8123");
    }
    Ok(Store::new(config.store(&config.store.url)))
}

/// The definitions in force.
pub fn definitions(config: &Config) -> Result<Arc<Definitions>> {
    let section = &config.definitions;
    let definitions = Definitions::load_or_built_in(&section.paths)?
        .with_legacy_names(LegacyNames::load(&section.legacy_names)?);
    tracing::info!(
        events = definitions.events().count(),
        metrics = definitions.metrics().len(),
        "definitions loaded"
    );
    Ok(Arc::new(definitions))
}

/// The directory, read up to the log's end, and following the log until `shutdown`.
pub async fn directory(
    config: &Config,
    log: Arc<dyn EventLog>,
    shutdown: &CancellationToken,
) -> Result<Arc<Directory>> {
    let replica = ReplicaConfig {
        snapshot_file: Some(config.directory_snapshot()),
        ..ReplicaConfig::new(topics::DIRECTORY)
    };
    let directory =
        Directory::open(replica, log, shutdown.clone()).await.context("can't open the directory")?;
    Ok(Arc::new(directory))
}

/// Imports the directory's file if it is there and differs from what was imported last, and again whenever it changes,
/// until `shutdown`.
pub async fn import_directory_file(
    config: &Config,
    directory: &Arc<Directory>,
    shutdown: &CancellationToken,
) -> Result<()> {
    let file = config.directory_file();
    if !config.directory.file.as_os_str().is_empty() && !file.exists() {
        bail!("directory.file: {} is not there", file.display());
    }
    if file.exists() {
        import_file(directory, &file).await?;
    }
    let following = follow_changes(Arc::clone(directory), file);
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(following));
    Ok(())
}

/// The setting of the directory that holds the hash of what was imported last, so that a start does not undo what was
/// changed since.
const IMPORTED: &str = "imported_directory_file";

async fn import_file(directory: &Directory, file: &Path) -> Result<()> {
    let yaml =
        tokio::fs::read_to_string(file).await.with_context(|| format!("can't read {}", file.display()))?;
    let hash = serde_json::Value::from(SecretHash::of(&yaml).to_hex());
    if directory.read().setting(IMPORTED) == Some(&hash) {
        return Ok(());
    }
    let now = Timestamp::now();
    let summary =
        directory.import(&yaml, now).await.with_context(|| format!("can't import {}", file.display()))?;
    let setting = Change::Setting { name: IMPORTED.to_owned(), value: hash };
    directory.transact(now, move |_| Ok::<_, Infallible>(((), vec![setting.clone()]))).await?;
    tracing::info!(file = %file.display(), %summary, "directory file imported");
    Ok(())
}

/// Imports the file whenever it differs from what was imported last. One that can't be imported changes nothing, is
/// complained about once, and is tried again.
async fn follow_changes(directory: Arc<Directory>, file: PathBuf) {
    let changed_at = || std::fs::metadata(&file).and_then(|metadata| metadata.modified()).ok();
    let (mut imported, mut complaint) = (None, String::new());
    loop {
        tokio::time::sleep(DIRECTORY_INTERVAL).await;
        let found = changed_at();
        if found.is_none() || found == imported {
            continue;
        }
        match import_file(&directory, &file).await {
            Ok(()) => (imported, complaint) = (found, String::new()),
            Err(error) => {
                let error = format!("{error:#}");
                if error != complaint {
                    tracing::error!(error, "the directory file can't be imported");
                    complaint = error;
                }
            }
        }
    }
}

/// The numbered SQL files, in order.
pub fn migrations() -> Vec<Migration> {
    tally_schemas::clickhouse::MIGRATIONS
        .iter()
        .map(|&(number, name, sql)| Migration { number, name: name.to_owned(), sql: sql.to_owned() })
        .collect()
}
