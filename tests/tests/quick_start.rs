//! What `make run` promises a newcomer: the requests it prints give the answers it prints.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tally_tests::process::{Tally, free_port};
use tally_tests::wait;

const DEADLINE: Duration = Duration::from_secs(20);

/// The `curl` commands in what was printed, continuation lines joined.
fn printed_commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(ToOwned::to_owned).collect()
}

fn shell(command: &str) -> Result<String> {
    let output = Command::new("bash").arg("-c").arg(format!("{command} --silent --show-error")).output()?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_requests_give_the_printed_answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    // As `make run` has it, with a relative data folder.
    let arguments = ["standalone", "--data-dir", "data", "--welcome", "--listen", &listen];
    let tally = Tally::start(folder.path(), port, &arguments).await?;
    let commands = printed_commands(&tally.log_text());
    let [track, load, ping, view, views] = commands.as_slice() else {
        panic!("five requests are printed: {commands:?}")
    };

    ensure!(shell(track)? == "200");
    wait::until("the event in the Cube answer", DEADLINE, || async {
        let answer: Value = serde_json::from_str(&shell(load)?)?;
        let row = &answer["results"][0]["data"][0];
        let counted =
            row["InternalEvents.eventName"] == "view_dashboard" && row["InternalEvents.count"] == "1";
        Ok(counted.then_some(()))
    })
    .await
    .with_context(|| tally.log_tail())?;
    let answer: Value = serde_json::from_str(&shell(ping)?)?;
    ensure!(answer["counts"]["count_total_view_dashboard"] == 1, "{answer}");

    shell(view)?;
    wait::until("the page view in the Cube answer", DEADLINE, || async {
        let answer: Value = serde_json::from_str(&shell(views)?)?;
        let row = &answer["results"][0]["data"][0];
        let counted = row["TrackedEvents.pageUrlpath"] == "/" && row["TrackedEvents.pageViewsCount"] == "1";
        Ok(counted.then_some(()))
    })
    .await
    .with_context(|| tally.log_tail())?;
    tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_knows_the_token_and_the_numbers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let arguments = ["standalone", "--data-dir", "data", "--welcome", "--listen", &listen];
    let first = Tally::start(folder.path(), port, &arguments).await?;
    let commands = printed_commands(&first.log_text());
    ensure!(shell(&commands[0])? == "200");
    first.stop().await?;

    let second = Tally::start(folder.path(), port, &arguments).await?;
    wait::until("the event in the Service Ping", DEADLINE, || async {
        let answer: Value = serde_json::from_str(&shell(&commands[2])?)?;
        Ok((answer["counts"]["count_total_view_dashboard"] == 1).then_some(()))
    })
    .await?;
    second.stop().await
}
