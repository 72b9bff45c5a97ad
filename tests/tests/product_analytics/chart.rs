//! A page in a real browser that draws a chart from what Cube's client reads, as a part of GitLab and from another origin.

use anyhow::{Context, Result, ensure};
use jiff::ToSpan;
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::outside::{chromium, node_modules, require, root};
use tokio::process::Command;

use crate::visits::{self, CUBE_PATH, GITLAB_PATH, PROJECT};

/// How high the page draws the highest bar, in pixels.
const FULL_HEIGHT: i64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_page_draws_the_week_as_bars() -> Result<()> {
    let Some(modules) = require("the chart", node_modules("puppeteer-core")) else { return Ok(()) };
    let Some(chromium) = require("the chart", chromium()) else { return Ok(()) };
    let instance = Instance::start_with(&visits::settings(), &[]).await?;
    let first_day = visits::first_day();
    visits::write(&instance, first_day).await?;
    let last_day = first_day.saturating_add(6.days());
    let output = Command::new("node")
        .env("TALLY_NODE_MODULES", modules)
        .env("TALLY_CHROMIUM", chromium)
        .arg(root().join("tests/clients/cube_chart.mjs"))
        .args([&instance.tally.url(), GITLAB_PATH, &instance.token])
        .args([CUBE_PATH, &visits::cube_token(PROJECT)?])
        .args([first_day.to_string(), last_day.to_string()])
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        instance.tally.log_tail()
    );
    let drawn: Value = serde_json::from_slice(&output.stdout).context("bars")?;
    // Nothing happened on the fourth day; its bar is there all the same.
    let bars: Vec<Value> = [10, 20, 30, 0, 50, 60, 70]
        .into_iter()
        .zip(0..)
        .map(|(views, day)| {
            let day = first_day.saturating_add(day.days());
            let height = (f64::from(views) * FULL_HEIGHT as f64 / 70.0).round() as i64;
            json!({"day": day.to_string(), "height": height, "label": format!("{day}: {views}")})
        })
        .collect();
    for layer in ["gitlab", "cube"] {
        ensure!(drawn[layer] == json!(bars), "{layer}: {}\nexpected {}", drawn[layer], json!(bars));
    }
    instance.tally.stop().await
}
