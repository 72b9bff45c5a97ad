//! Data models while the process runs: their projections after a start, and all of them anew at SIGHUP.

use std::future::pending;

use tally_query::QueryState;
use tally_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Gives tables the projections that the models ask for, now and whenever the models have been loaded again. A model that can't
/// be used is complained about, and changes nothing.
pub async fn follow(state: QueryState, store: Store) {
    let mut hangups = signal(SignalKind::hangup()).ok();
    loop {
        state.ensure_projections(&store).await;
        loop {
            next(&mut hangups).await;
            match state.reload_models() {
                Ok(()) => break,
                Err(error) => tracing::error!(%error, "the data models stay as they were"),
            }
        }
        tracing::info!("data models loaded again");
    }
}

async fn next(hangups: &mut Option<Signal>) {
    match hangups {
        Some(hangups) => {
            hangups.recv().await;
        }
        None => pending().await,
    }
}
