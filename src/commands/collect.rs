//! `tally collect`: the receiver of Service Pings, over an embedded engine unless the settings name a ClickHouse server.

use std::sync::Arc;

use anyhow::Result;
use tally_directory::Directory;
use tally_service::http;
use tally_store::Store;

use crate::cli::CollectArgs;
use crate::commands::standalone::{open_store, prepare_data_dir};
use crate::config::Config;
use crate::open;
use crate::services::Process;

/// Runs until SIGTERM or Ctrl-C.
pub async fn run(args: CollectArgs) -> Result<()> {
    let data_dir = args.data_dir.map(|folder| format!("standalone.data_dir={}", folder.display()));
    let listen = args.listen.map(|address| format!("services.collect={address}"));
    let flags: Vec<String> = data_dir.into_iter().chain(listen).collect();
    let Some(mut config) = open::settings(&args.config, &flags)? else { return Ok(()) };
    let listener = http::bind(&config.services.collect).await?;
    if config.store.url.is_empty() {
        prepare_data_dir(&config)?;
    }
    let (engine, store) = open_store(&mut config).await?;
    let served = serve(config, listener, store).await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    served
}

async fn serve(config: Config, listener: tokio::net::TcpListener, store: Store) -> Result<()> {
    store.migrate(&open::migrations()).await?;
    let mut process = Process::new(config, open::shutdown_on_signal()).await?;
    process.needs_store(&store);
    // Whoever sends a ping has no token here; the guard bounds what one address may ask for.
    process.use_directory(&Arc::new(Directory::in_memory()))?;
    let collector = process.add_collector(store)?;
    process.serve(listener).await;
    collector.flush().await;
    Ok(())
}
