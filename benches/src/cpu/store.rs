//! Asks ClickHouse's HTTP interface what has become visible.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::installation::STORE_PASSWORD;

const POLL: Duration = Duration::from_millis(50);

/// Reads Tally's tables.
#[derive(Clone, Debug)]
pub struct Tables {
    client: reqwest::Client,
    url: String,
}

impl Tables {
    /// The tables of the ClickHouse at `url`.
    pub fn new(url: &str) -> Self {
        Self { client: reqwest::Client::new(), url: format!("{url}/?database=tally") }
    }

    /// The answer to a query as tab-separated text.
    pub async fn query(&self, sql: String) -> Result<String> {
        let request = self.client.post(&self.url).header("X-ClickHouse-Key", STORE_PASSWORD).body(sql);
        let response = request.send().await.context("asking ClickHouse")?;
        let status = response.status();
        let text = response.text().await.context("reading ClickHouse's answer")?;
        ensure!(status.is_success(), "ClickHouse answered {status}: {text}");
        Ok(text)
    }

    /// The number of raw events.
    pub async fn events(&self) -> Result<u64> {
        let answer = self.query("SELECT count() FROM events".to_owned()).await?;
        answer.trim().parse().context("a count is a number")
    }

    /// Waits until that many raw events are there; fails when for `patience` no more arrive, or when there are more.
    pub async fn await_events(&self, expected: u64, patience: Duration) -> Result<()> {
        let (mut seen, mut last_change) = (0, Instant::now());
        loop {
            let events = self.events().await?;
            ensure!(events <= expected, "{events} events are in the table, only {expected} were sent");
            if events == expected {
                return Ok(());
            }
            if events > seen {
                (seen, last_change) = (events, Instant::now());
            }
            ensure!(last_change.elapsed() < patience, "{events} of {expected} events arrived, and no more");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until no merge has been running for a second, `patience` at most.
    pub async fn await_merges(&self, patience: Duration) -> Result<()> {
        let (start, mut idle_since) = (Instant::now(), Instant::now());
        while idle_since.elapsed() < Duration::from_secs(1) && start.elapsed() < patience {
            if self.query("SELECT count() FROM system.merges".to_owned()).await?.trim() != "0" {
                idle_since = Instant::now();
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }
}
