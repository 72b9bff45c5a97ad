//! `tally store`: the embedded ClickHouse engine as a process of its own.

use anyhow::Result;
use tally_store::Engine;

use crate::cli::ServiceArgs;
use crate::open;

/// Serves ClickHouse's HTTP interface until SIGTERM or Ctrl-C.
pub async fn run(args: ServiceArgs) -> Result<()> {
    let flags: Vec<String> = args.listen.iter().map(|address| format!("engine.listen={address}")).collect();
    let Some(config) = open::settings(&args.config, &flags)? else { return Ok(()) };
    let engine = Engine::start(config.engine()).await?;
    tracing::info!(url = engine.url(), "serving clickhouse's http interface");
    open::shutdown_on_signal().cancelled().await;
    engine.shutdown().await;
    Ok(())
}
