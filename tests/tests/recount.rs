//! `tally verify`, `tally rebuild` and `tally replay` on a running process that goes on taking events: what was planted in its
//! tables is found and mended, and no event is lost or counted twice on the way.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::json;
use tally_tests::instance::Instance;
use tally_tests::process::{binary, clickhouse};
use tally_tests::wait;

const PATIENCE: Duration = Duration::from_mins(1);
/// Events of one request.
const EVENTS: u64 = 20;

/// A client that goes on sending until it is stopped, and counts what was acknowledged.
struct Sender {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    sending: tokio::task::JoinHandle<Result<()>>,
}

impl Sender {
    fn start(instance: &Instance) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let url = format!("{}/api/v4/usage_data/track_events", instance.tally.url());
        let token = instance.token.clone();
        let sending = tokio::spawn(async move {
            let client = Client::new();
            let event = json!({"event": "view_dashboard", "project_id": 5, "send_to_snowplow": true});
            let body = json!({ "events": vec![event; EVENTS as usize] });
            while !stopped.load(Ordering::Relaxed) {
                let answer = client.post(&url).header("PRIVATE-TOKEN", &token).json(&body).send().await?;
                ensure!(answer.status() == 200, "{}", answer.status());
                counter.fetch_add(EVENTS, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        });
        Self { stop, acknowledged, sending }
    }

    /// How many events were acknowledged in all.
    async fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.await??;
        Ok(self.acknowledged.load(Ordering::Relaxed))
    }
}

async fn tally(data: PathBuf, arguments: &'static [&'static str]) -> Result<Output> {
    let run = move || {
        let data = format!("standalone.data_dir={}", data.display());
        Command::new(binary()).args(arguments).args(["--set", &data]).output()
    };
    Ok(tokio::task::spawn_blocking(run).await??)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_planted_in_a_running_process_is_found_and_mended_while_events_come_in() -> Result<()> {
    let instance = Instance::start().await?;
    let data = instance.folder.path().join("data");
    let store = &instance.store;
    let verify = async |arguments| tally(data.clone(), arguments).await;
    let client = Sender::start(&instance);
    let kept =
        async || -> Result<u64> { Ok(clickhouse(store, "SELECT count() FROM events").await?.parse()?) };
    wait::until("some events in the tables", PATIENCE, || async {
        Ok((kept().await? >= 10 * EVENTS).then_some(()))
    })
    .await?;
    let clean = verify(&["verify"]).await?;
    ensure!(clean.status.success() && said(&clean).starts_with("0 differences\n"), "{}", said(&clean));

    // A day of which nobody writes, doubled, and events of that day.
    clickhouse(store, "INSERT INTO counters VALUES ('2026-01-02', 'view_dashboard', 7, 0)").await?;
    let found = verify(&["verify", "--to", "2026-01-31"]).await?;
    let line = "counters 2026-01-02 view_dashboard: kept 7, recounted nothing";
    ensure!(found.status.code() == Some(1) && said(&found).contains(line), "{}", said(&found));
    let rebuilt = verify(&["rebuild", "--from", "2026-01-01", "--to", "2026-01-31"]).await?;
    ensure!(said(&rebuilt).contains("replaced 202601 of counters"), "{}", said(&rebuilt));

    let half = "ALTER TABLE events DELETE WHERE offset % 2 = 0 SETTINGS mutations_sync = 2";
    clickhouse(store, half).await?;
    let found = verify(&["verify", "--log"]).await?;
    ensure!(said(&found).contains("records of the log"), "{}", said(&found));
    let replayed = verify(&["replay", "--topic", "tally.events"]).await?;
    ensure!(replayed.status.success(), "{}", said(&replayed));

    let acknowledged = client.stop().await?;
    wait::until("every acknowledged event in the tables", PATIENCE, || async {
        Ok((kept().await? >= acknowledged).then_some(()))
    })
    .await
    .with_context(|| instance.tally.log_tail())?;
    let clean = verify(&["verify", "--log", "--json"]).await?;
    ensure!(clean.status.success(), "{}", said(&clean));
    let counted = "SELECT (SELECT count() FROM events), (SELECT sum(count) FROM counters WHERE counter = 'view_dashboard'), \
        (SELECT sum(events_count) FROM session_parts)";
    ensure!(clickhouse(store, counted).await? == format!("{acknowledged}\t{acknowledged}\t{acknowledged}"));
    ensure!(instance.tally.log_text().contains("the processor goes on"));
    Ok(())
}
