//! What `tally verify`, `tally rebuild` and `tally replay` stand on, in the process that has the tables or in one of their own.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tally_processor::recount::{Days, Report, Verification, verify};
use tally_schemas::{Definitions, Matcher};
use tally_store::Store;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::administer::Request;
use crate::cli::ConfigArgs;
use crate::commands::standalone::open_store;
use crate::{control, open};

/// The parts that recounts are made with; one recount at a time.
pub struct Recounting {
    pub store: Store,
    pub definitions: Arc<Definitions>,
    pub turn: Mutex<()>,
}

impl Recounting {
    pub fn new(store: Store, definitions: Arc<Definitions>) -> Self {
        Self { store, definitions, turn: Mutex::new(()) }
    }

    /// Does what is asked; the answer as JSON.
    pub async fn perform(&self, request: Request) -> Result<String> {
        let _turn = self.turn.lock().await;
        match request {
            Request::Verify { days } => Ok(serde_json::to_string(&self.verify(days).await?)?),
            _ => bail!("that is no recount"),
        }
    }

    async fn verify(&self, days: Days) -> Result<Report> {
        let matcher = Matcher::new(&self.definitions);
        let progress = |at: String| eprintln!("{at}");
        let run = Uuid::new_v4().simple().to_string();
        let verification =
            Verification { store: &self.store, matcher: &matcher, days, run, progress: &progress };
        Ok(verify(&verification).await?)
    }
}

/// Has a recount made: by the running process that holds the embedded engine, else here.
pub async fn send(args: &ConfigArgs, request: Request) -> Result<String> {
    let mut config = open::load_config(args, &[])?;
    if config.store.url.is_empty()
        && let Some(answer) = control::ask_running(&config, &request).await?
    {
        return Ok(answer);
    }
    let definitions = open::definitions(&config)?;
    let (engine, store) = open_store(&mut config).await.context("can't open the tables")?;
    let outcome = Recounting::new(store, definitions).perform(request).await;
    if let Some(engine) = engine {
        engine.shutdown().await;
    }
    outcome
}
