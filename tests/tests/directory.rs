//! Two processes write the directory at once through Apache Kafka, and one of them is killed over and over: what was
//! acknowledged is there, on both, once.
//!
//! `TALLY_E2E_DIRECTORY_KILLS` and `TALLY_E2E_DIRECTORY_SECONDS` choose another number of kills and another length.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use tally_tests::kafka::Kafka;
use tally_tests::outside::require;
use tally_tests::process::{Tally, free_port, run};
use tally_tests::{setting, wait};

const SECRET: &str = "of-the-directory-test";
const USERS: u64 = 20;
const WRITERS_PER_PROCESS: u64 = 3;
const DEADLINE: Duration = Duration::from_mins(1);

fn settings(folder: &Path, kafka: &Kafka, name: &str) -> Vec<String> {
    vec![
        "log_storage.kind=kafka".to_owned(),
        format!("kafka.bootstrap_servers={}", kafka.address),
        format!("standalone.data_dir={}", folder.join(name).display()),
        format!("internal.shared_secret_file={}", folder.join("secret").display()),
    ]
}

fn with_settings<'a>(arguments: &[&'a str], settings: &'a [String]) -> Vec<&'a str> {
    let flags = settings.iter().flat_map(|setting| ["--set", setting.as_str()]);
    arguments.iter().copied().chain(flags).collect()
}

async fn start(folder: &Path, settings: &[String]) -> Result<Tally> {
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    Tally::start(folder, port, &with_settings(&["internal", "--listen", &listen], settings)).await
}

/// Asks for tokens one after the other until told to stop; those that were acknowledged.
async fn write(port: u16, writer: u64, asked: Arc<AtomicU64>, stop: Arc<AtomicBool>) -> Vec<String> {
    let client = Client::new();
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let body = json!({"user_id": 1 + number % USERS, "name": format!("{writer}-{number}"), "scopes": ["read_user"],
                          "expires_at": "2100-01-01", "secret_token": SECRET});
        let url = format!("http://127.0.0.1:{port}/api/v4/internal/personal_access_token");
        let answer = async { client.post(url).json(&body).send().await?.json::<Value>().await };
        match answer.await {
            Ok(answer) if answer["success"] == true => {
                acknowledged.extend(answer["token"].as_str().map(ToOwned::to_owned));
            }
            // The process is down, or could not say in time; whether the token was made is not known then.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    acknowledged
}

/// Whether a process knows the token: no administrator's, so 403 and not 401.
async fn knows(port: u16, client: &Client, token: &str) -> Result<bool> {
    let url = format!("http://127.0.0.1:{port}/api/v4/namespaces/1/gitlab_subscription");
    let status = client.get(url).header("PRIVATE-TOKEN", token).send().await?.status();
    ensure!(status == 403 || status == 401, "{status}");
    Ok(status == 403)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_the_directory_at_once_and_one_is_killed() -> Result<()> {
    let Some(kafka) = require("two processes write the directory", Kafka::start()) else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("secret"), SECRET)?;
    let users: Vec<Value> =
        (1..=USERS).map(|id| json!({"id": id, "username": format!("user-{id}")})).collect();
    let import = folder.path().join("users.yml");
    std::fs::write(&import, json!({ "users": users }).to_string())?;
    let (first, second) =
        (settings(folder.path(), &kafka, "first"), settings(folder.path(), &kafka, "second"));
    run(&with_settings(&["directory", "import", &import.display().to_string()], &first))?;

    let steady = start(folder.path(), &first).await?;
    let mut killed = start(folder.path(), &second).await?;
    let (asked, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let began = Instant::now();
    let writers: Vec<_> = [steady.port, killed.port]
        .into_iter()
        .flat_map(|port| (0..WRITERS_PER_PROCESS).map(move |number| (port, number)))
        .map(|(port, number)| tokio::spawn(write(port, number, Arc::clone(&asked), Arc::clone(&stop))))
        .collect();
    let kills: u32 = setting("TALLY_E2E_DIRECTORY_KILLS", 3);
    let pause = Duration::from_secs(setting("TALLY_E2E_DIRECTORY_SECONDS", 8)) / (kills + 1);
    for _ in 0..kills {
        // Work has to be under way when the process is killed.
        tokio::time::sleep(pause).await;
        killed.kill();
        killed.restart().await?;
    }
    tokio::time::sleep(pause).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await?);
    }
    println!("{} tokens acknowledged in {:?}, {kills} kills", acknowledged.len(), began.elapsed());
    ensure!(acknowledged.len() > 100, "only {} tokens were made", acknowledged.len());

    let client = Client::new();
    for port in [steady.port, killed.port] {
        for token in &acknowledged {
            wait::until("the token at both processes", DEADLINE, || async {
                Ok(knows(port, &client, token).await?.then_some(()))
            })
            .await
            .with_context(|| format!("{token} at {port}"))?;
        }
    }
    steady.stop().await?;
    killed.stop().await?;

    // Each from its own snapshot and the log's tail.
    let exported = |settings: &[String]| run(&with_settings(&["directory", "export"], settings));
    let (first, second) = (exported(&first)?, exported(&second)?);
    ensure!(first == second, "the two hold different states");
    let ids: Vec<&str> = first
        .split("\ntokens:")
        .nth(1)
        .context("tokens in the export")?
        .lines()
        .filter_map(|line| line.trim_start_matches("- ").trim().strip_prefix("id: "))
        .collect();
    let distinct: BTreeSet<&&str> = ids.iter().collect();
    ensure!(
        distinct.len() == ids.len() && ids.len() >= acknowledged.len(),
        "{} ids, {} distinct",
        ids.len(),
        distinct.len()
    );
    Ok(())
}
