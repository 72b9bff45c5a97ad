//! `tally migrate`: creates and upgrades the ClickHouse tables.

use anyhow::Result;

use crate::cli::ConfigArgs;
use crate::open;

/// Applies the migrations that are missing, and says which.
pub async fn run(args: ConfigArgs) -> Result<()> {
    let Some(config) = open::settings(&args, &[])? else { return Ok(()) };
    let report = open::store(&config)?.migrate(&open::migrations()).await?;
    println!("applied {}, found applied {}", report.applied.len(), report.already_applied);
    Ok(())
}
