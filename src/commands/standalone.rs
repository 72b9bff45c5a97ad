//! `tally standalone`: ingest, processor and query in one process on one port, over an embedded log and engine unless the
//! settings name others.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use tally_directory::token_from_random;
use tally_service::http;
use tally_store::{Engine, Store};
use tokio::net::TcpListener;

use crate::administer::Administered;
use crate::cli::StandaloneArgs;
use crate::commands::services::serve_beside;
use crate::config::{Config, Service};
use crate::dead_letters::DeadLetters;
use crate::randomness::fresh_random;
use crate::services::Process;
use crate::welcome::{self, Welcome};
use crate::{control, instance, open};

/// Runs until SIGTERM or Ctrl-C.
pub async fn run(args: StandaloneArgs) -> Result<()> {
    let Some(mut config) = open::settings(&args.config, &flags(&args))? else { return Ok(()) };
    let listener = http::bind(&config.standalone.listen).await?;
    if args.welcome {
        welcome::add_tracking_key(&mut config);
    }
    prepare_data_dir(&config)?;
    let data_dir = config.standalone.data_dir.clone();
    if config.query.instance.uuid.is_empty() {
        config.query.instance.uuid = instance::uuid(&data_dir)?;
    }
    for (file, name) in
        [(&mut config.internal.shared_secret_file, "shell"), (&mut config.internal.kas_secret_file, "kas")]
    {
        if file.as_os_str().is_empty() {
            *file = instance::secret_file(&data_dir, name)?;
        }
    }
    let internal = if config.standalone.services.contains(&Service::Internal) {
        Some(http::bind(&config.services.internal).await?)
    } else {
        None
    };

    let (engine, store) = open_store(&mut config).await?;
    let listeners = Listeners { public: listener, internal };
    let served = Box::pin(serve(config, listeners, store, args.welcome)).await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    served
}

/// Where standalone serves: the internal API has a port of its own.
struct Listeners {
    public: TcpListener,
    internal: Option<TcpListener>,
}

/// Runs the services over an open store.
async fn serve(config: Config, listeners: Listeners, store: Store, welcomes: bool) -> Result<()> {
    store.migrate(&open::migrations()).await?;
    let (log, upstream) = open::log_with_upstream(&config).await?;
    let definitions = open::definitions(&config)?;
    let services = config.standalone.services.clone();

    let mut process = Process::new(config, open::shutdown_on_signal()).await?;
    let intake = process.use_intake("standalone", &log, upstream)?;
    process.needs_store(&store);
    let directory = open::directory(&process.config, Arc::clone(&log), &process.shutdown).await?;
    open::import_directory_file(&process.config, &directory, &process.shutdown).await?;
    process.use_directory(&directory)?;
    let welcome = if welcomes { Some(Welcome::prepare(&process.config, &directory).await?) } else { None };
    if services.contains(&Service::Ingest) {
        process.add_ingest(Arc::clone(&intake), Arc::clone(&directory), &definitions)?;
    }
    if services.contains(&Service::Capture) {
        process.add_capture(Arc::clone(&intake), Arc::clone(&directory))?;
        process.run_forwarder(&log)?;
    }
    if services.contains(&Service::Query) {
        process.add_query(&store, Arc::clone(&directory), Arc::clone(&definitions))?;
    }
    let ping = if services.contains(&Service::Query) || services.contains(&Service::Ping) {
        Some(process.ping(Arc::clone(&log), &store, Arc::clone(&directory), &definitions)?)
    } else {
        None
    };
    if services.contains(&Service::Query)
        && let Some(ping) = &ping
    {
        process.add_ping(ping.clone())?;
    }
    if services.contains(&Service::Ping)
        && let Some(ping) = &ping
    {
        process.run_ping(ping.clone());
    }
    let replaying = process.replaying(Arc::clone(&log), &directory, &definitions)?;
    let dead_letters = DeadLetters::new(&process.config, store.clone(), Some(replaying));
    let (processing, working) = if services.contains(&Service::Processor) {
        let (processing, working) =
            process.processor(Arc::clone(&log), store.clone(), Arc::clone(&definitions))?;
        (Some(processing), Some(working))
    } else {
        (None, None)
    };
    let recounting =
        process.recounting(Arc::clone(&log), store.clone(), Arc::clone(&definitions), processing);
    let administered = Administered {
        directory: Arc::clone(&directory),
        ping,
        store: Some(store.clone()),
        recounting: Some(recounting),
        dead_letters: Some(dead_letters),
    };
    control::serve(&process.config, administered, process.shutdown.clone())?;
    if let Some(listener) = listeners.internal {
        process.serve_internal(intake, directory, &definitions, listener)?;
    }
    if let Some(welcome) = welcome {
        welcome.print(http::local_address(&listeners.public));
    }
    if let Some(working) = working {
        serve_beside(process, listeners.public, working).await
    } else {
        process.serve(listeners.public).await;
        Ok(())
    }
}

fn flags(args: &StandaloneArgs) -> Vec<String> {
    let data_dir = args.data_dir.as_ref().map(|folder| format!("standalone.data_dir={}", folder.display()));
    let listen = args.listen.as_ref().map(|address| format!("standalone.listen={address}"));
    data_dir.into_iter().chain(listen).collect()
}

/// Makes the data folder, unless it is there.
pub fn prepare_data_dir(config: &Config) -> Result<()> {
    let folder = &config.standalone.data_dir;
    create_private(folder).with_context(|| format!("can't create {}", folder.display()))
}

/// For its owner alone, because events and hashes of secrets are kept in it.
fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// A password that only this process knows, so that nobody else on the machine reads the embedded engine's tables.
fn fresh_password() -> Result<String> {
    Ok(token_from_random(fresh_random()?))
}

/// The store at the configured URL, else an engine of our own, under a fresh password unless the settings have one.
pub async fn open_store(config: &mut Config) -> Result<(Option<Engine>, Store)> {
    if !config.store.url.is_empty() {
        return Ok((None, open::store(config)?));
    }
    if config.store.password.is_empty() {
        config.store.password = fresh_password()?;
    }
    let engine = Engine::start(config.engine()).await?;
    tracing::info!(url = engine.url(), "the embedded engine serves clickhouse's http interface");
    let store = Store::new(config.store(&engine.url()));
    Ok((Some(engine), store))
}
