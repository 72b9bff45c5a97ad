//! `tally sessions`: recounts the sessions of product analytics from the raw page events, to compare or to make them anew.

use anyhow::{Context, Result};
use tally_processor::sessions::{self, Difference};
use tally_schemas::topics;
use tally_store::Store;

use crate::administer::Request;
use crate::cli::SessionsCommand;
use crate::commands::standalone::open_store;
use crate::config::Config;
use crate::holding::{check_held, hold_processors_off};
use crate::{control, open};

/// The topics whose events become sessions.
const OF_SESSIONS: [&str; 2] = [topics::PAGE_EVENTS, topics::EVENTS];

/// Runs `tally sessions …`.
pub async fn run(command: SessionsCommand) -> Result<()> {
    match command {
        SessionsCommand::Verify { config } => {
            let mut config = open::load_config(&config, &[])?;
            let running = if config.store.url.is_empty() {
                control::ask_running(&config, &Request::VerifySessions).await?
            } else {
                None
            };
            let report = match running {
                Some(report) => report,
                None => on_store(&mut config, async |_, store| verify(store).await).await?,
            };
            print!("{report}");
        }
        SessionsCommand::Recompute { config } => {
            let mut config = open::load_config(&config, &[])?;
            let report = on_store(&mut config, async |config, store| {
                let log = open::log(config).await.context("stop tally first: it has the log")?;
                let mut held = hold_processors_off(&config.processor.group, &*log, &OF_SESSIONS).await?;
                sessions::recompute(store).await?;
                check_held(&mut held).await.context("sessions may lack what was written meanwhile")?;
                drop(held);
                verify(store).await
            });
            print!("{}", report.await?);
        }
    }
    Ok(())
}

/// Lists the differences between the sessions and the page events.
pub async fn verify(store: &Store) -> Result<String> {
    let differences = sessions::compare(store).await?;
    let mut lines: Vec<String> = differences.iter().map(line).collect();
    lines.push(format!("{} differences\n", differences.len()));
    Ok(lines.concat())
}

fn line(difference: &Difference) -> String {
    let Difference { project_id, by_visitor, key, slot, kept, recomputed } = difference;
    let of = if *by_visitor { "visitor" } else { "session" };
    format!("project {project_id}, {of} {key}, half hour {slot}: kept {kept}, recounted {recomputed}\n")
}

/// Opens the store, an embedded engine included, for as long as `work` takes.
async fn on_store<T>(config: &mut Config, work: impl AsyncFnOnce(&Config, &Store) -> Result<T>) -> Result<T> {
    let (engine, store) = open_store(config).await?;
    let outcome = work(config, &store).await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    outcome
}
