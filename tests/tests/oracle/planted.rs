//! What is wrong is found: rows taken away, rows doubled, counters doubled, each planted by hand into tables that were right.

use anyhow::{Context, Result, ensure};
use tally_tests::oracle::ledger::{Fate, Kind, Ledger};
use tally_tests::oracle::run::Setup;
use tally_tests::oracle::topology::Topology;
use tally_tests::oracle::workload::NUMBER;
use tally_tests::process::clickhouse;

/// Plants one fault after the other into tables that were judged to be right. They stay spoiled.
pub async fn the_judge_finds_it(setup: &Setup, topology: &Topology, ledger: &Ledger) -> Result<()> {
    let store = topology.store_url();
    let spoil = async |sql: &str| clickhouse(&store, &format!("{sql} SETTINGS mutations_sync = 2")).await;
    let verified = async || setup.judge_of(topology, ledger).ask(["verify", "--log"]).await;
    let judged = async || {
        let judged = setup.judge(topology, ledger).await;
        Ok::<_, anyhow::Error>(format!("{:#}", judged.err().context("the judge finds nothing wrong")?))
    };

    // A state that counts the same identifiers twice is the same state; a count is not.
    spoil("INSERT INTO counters SELECT * FROM counters WHERE counter = (SELECT min(counter) FROM counters)")
        .await?;
    let found = (judged().await?, verified().await?);
    ensure!(found.0.contains("differ") && found.1.contains("counters"), "{found:?}");

    let numbers = (0..setup.workload.events()).rev();
    let number = numbers.into_iter().find(|number| ledger.fate(Kind::Event, *number) == Fate::Acknowledged);
    let of_it =
        format!("JSONExtractInt(additional_properties, '{NUMBER}') = {}", number.context("an event")?);
    spoil(&format!("INSERT INTO events SELECT * FROM events WHERE {of_it}")).await?;
    let found = judged().await?;
    ensure!(found.contains("1 differences") && found.contains("there more than once"), "{found}");
    let found = verified().await?;
    ensure!(found.lines().any(|line| line.starts_with("events")), "{found}");

    spoil(&format!("ALTER TABLE events DELETE WHERE {of_it}")).await?;
    let found = judged().await?;
    ensure!(found.contains("1 differences") && found.contains("acknowledged and lost"), "{found}");
    let found = verified().await?;
    ensure!(found.contains("offsets"), "{found}");
    Ok(())
}
