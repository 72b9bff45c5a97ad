//! `tally ingest`, `tally capture`, `tally processor`, `tally query`, `tally internal` and `tally ping`: one service a
//! process, over Kafka and a ClickHouse server.

use std::sync::Arc;

use anyhow::Result;
use tally_directory::Directory;
use tally_eventlog::{EventLog, Intake};
use tally_ping::Ping;
use tally_service::http;
use tokio::net::TcpListener;

use crate::cli::{ConfigArgs, ServiceArgs};
use crate::config::Config;
use crate::open;
use crate::services::Process;

/// HTTP to the log.
pub async fn ingest(args: ServiceArgs) -> Result<()> {
    let Some((mut process, listener)) = start(&args, "services.ingest").await? else { return Ok(()) };
    let Opened { intake, directory, .. } = open_to_write(&mut process, "ingest").await?;
    let definitions = open::definitions(&process.config)?;
    process.add_ingest(intake, directory, &definitions)?;
    process.serve(listener).await;
    Ok(())
}

/// What trackers send to the log.
pub async fn capture(args: ServiceArgs) -> Result<()> {
    let Some((mut process, listener)) = start(&args, "services.capture").await? else { return Ok(()) };
    let Opened { log, intake, directory } = open_to_write(&mut process, "capture").await?;
    process.add_capture(intake, directory)?;
    process.run_forwarder(&log)?;
    process.serve(listener).await;
    Ok(())
}

/// The log to ClickHouse.
pub async fn processor(args: ServiceArgs) -> Result<()> {
    let Some((mut process, listener)) = start(&args, "services.processor").await? else {
        return Ok(());
    };
    open::refuse_embedded_log(&process.config)?;
    let store = open::store(&process.config)?;
    let log = open::log(&process.config).await?;
    let definitions = open::definitions(&process.config)?;
    process.needs_log(&log);
    process.needs_store(&store);
    let (_, working) = process.processor(log, store, definitions)?;
    serve_beside(process, listener, working).await
}

/// ClickHouse to HTTP.
pub async fn query(args: ServiceArgs) -> Result<()> {
    let Some((mut process, listener)) = start(&args, "services.query").await? else { return Ok(()) };
    let store = open::store(&process.config)?;
    let definitions = open::definitions(&process.config)?;
    process.needs_store(&store);
    let (log, directory) = open_log_and_directory(&mut process).await?;
    let ping = process.ping(log, &store, Arc::clone(&directory), &definitions)?;
    process.add_query(&store, directory, definitions)?;
    process.add_ping(ping)?;
    process.serve(listener).await;
    Ok(())
}

/// The scheduler of the Service Ping.
pub async fn ping(args: &ConfigArgs, listen: Option<&str>) -> Result<()> {
    let flags: Vec<String> = listen.iter().map(|address| format!("services.ping={address}")).collect();
    let Some(config) = open::settings(args, &flags)? else { return Ok(()) };
    let listener = http::bind(&config.services.ping).await?;
    let (mut process, _, ping) = open_ping(config).await?;
    process.run_ping(ping);
    process.serve(listener).await;
    Ok(())
}

/// A process with the Service Ping and all that it stands on.
pub async fn open_ping(config: Config) -> Result<(Process, Arc<Directory>, Ping)> {
    let mut process = Process::new(config, open::shutdown_on_signal()).await?;
    let store = open::store(&process.config)?;
    let definitions = open::definitions(&process.config)?;
    process.needs_store(&store);
    let (log, directory) = open_log_and_directory(&mut process).await?;
    let ping = process.ping(log, &store, Arc::clone(&directory), &definitions)?;
    Ok((process, directory, ping))
}

/// GitLab's internal API.
pub async fn internal(args: ServiceArgs) -> Result<()> {
    let Some((mut process, listener)) = start(&args, "services.internal").await? else { return Ok(()) };
    let Opened { intake, directory, .. } = open_to_write(&mut process, "internal").await?;
    let definitions = open::definitions(&process.config)?;
    process.add_internal(intake, directory, &definitions)?;
    process.serve(listener).await;
    Ok(())
}

/// What a service that writes to the log stands on.
struct Opened {
    log: Arc<dyn EventLog>,
    /// What it writes through.
    intake: Arc<dyn Intake>,
    directory: Arc<Directory>,
}

/// The log that several processes share, the spool of this process before it, and the directory with its file imported.
async fn open_to_write(process: &mut Process, service: &str) -> Result<Opened> {
    open::refuse_embedded_log(&process.config)?;
    let (log, upstream) = open::log_with_upstream(&process.config).await?;
    let intake = process.use_intake(service, &log, upstream)?;
    let directory = open_directory(process, &log).await?;
    Ok(Opened { log, intake, directory })
}

/// The log that several processes share, and the directory in it with its file imported.
async fn open_log_and_directory(process: &mut Process) -> Result<(Arc<dyn EventLog>, Arc<Directory>)> {
    open::refuse_embedded_log(&process.config)?;
    let log = open::log(&process.config).await?;
    process.needs_log(&log);
    let directory = open_directory(process, &log).await?;
    Ok((log, directory))
}

async fn open_directory(process: &mut Process, log: &Arc<dyn EventLog>) -> Result<Arc<Directory>> {
    let directory = open::directory(&process.config, Arc::clone(log), &process.shutdown).await?;
    open::import_directory_file(&process.config, &directory, &process.shutdown).await?;
    process.use_directory(&directory)?;
    let uuid = &mut process.config.query.instance.uuid;
    if uuid.is_empty()
        && let Some(identity) = directory.read().identity()
    {
        // All processes of an instance share its directory, and so its identity.
        *uuid = identity.to_string();
    }
    Ok(directory)
}

/// Serves while `working` works. When the work fails the process ends; when it is told to shut down, both finish first.
pub async fn serve_beside(
    process: Process,
    listener: TcpListener,
    working: impl Future<Output = Result<()>> + Send + 'static,
) -> Result<()> {
    let ended = process.shutdown.clone().drop_guard();
    let working = tokio::spawn(async move {
        // Dropped when the work ends in whatever way, a panic included: a process that does not work must not look alive.
        let _ended = ended;
        working.await
    });
    process.serve(listener).await;
    working.await?
}

/// The settings, the listener on the setting named `listen_key`, and the start of a process; `None` after `--dump-config`.
async fn start(args: &ServiceArgs, listen_key: &str) -> Result<Option<(Process, TcpListener)>> {
    let flags: Vec<String> = args.listen.iter().map(|address| format!("{listen_key}={address}")).collect();
    let Some(config) = open::settings(&args.config, &flags)? else { return Ok(None) };
    let services = &config.services;
    let address = match listen_key {
        "services.ingest" => &services.ingest,
        "services.capture" => &services.capture,
        "services.processor" => &services.processor,
        "services.internal" => &services.internal,
        _ => &services.query,
    };
    let listener = http::bind(address).await?;
    let shutdown = open::shutdown_on_signal();
    Ok(Some((Process::new(config, shutdown).await?, listener)))
}
