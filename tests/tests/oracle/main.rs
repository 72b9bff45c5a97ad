//! The oracle: exactly once through every fault, on a real Apache Kafka and on the embedded log. A producer records what was
//! acknowledged, faults drawn by a printed seed befall every process and every connection, and a judge compares the tables
//! with the record, and every metric with an independent program.
//!
//! `make oracle` is the full run. Smaller or larger ones: `TALLY_ORACLE_EVENTS`, `TALLY_ORACLE_FAULTS`,
//! `TALLY_ORACLE_PROCESSORS`, `TALLY_ORACLE_INGESTS`, `TALLY_ORACLE_CONNECTIONS`, `TALLY_ORACLE_SEED` (the schedule and all
//! that is sent; when things happen is the machine's).

mod chaos;
mod planted;
mod zombie;

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use tally_tests::oracle::fault;
use tally_tests::oracle::run::Setup;
use tally_tests::oracle::topology::{Size, Topology};
use tally_tests::outside::require;
use tally_tests::setting;

/// Of a hundred requests, those with ids of the client's.
const IDENTIFIED: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_doubled_on_kafka() -> Result<()> {
    let test = "nothing is lost and nothing doubled on kafka";
    let events = setting("TALLY_ORACLE_EVENTS", 40_000);
    let identified = setting("TALLY_ORACLE_IDENTIFIED", IDENTIFIED);
    if require(test, kafka_is_there()).is_none() {
        return Ok(());
    }
    let Some(setup) = Setup::prepare(test, events, identified)? else { return Ok(()) };
    let started = Instant::now();
    let processors = setting("TALLY_ORACLE_PROCESSORS", 3);
    let size = Size {
        ingests: setting("TALLY_ORACLE_INGESTS", 2),
        processors,
        partitions: 4,
        batch_records: (events / 200).clamp(100, 5000),
    };
    let topology = Arc::new(Topology::on_kafka(&setup.folder, &setup.common(), size).await?);
    let faults = setting("TALLY_ORACLE_FAULTS", 40);
    let schedule = fault::draw(setup.seed, faults, &topology.field(processors));
    println!("ready after {:?}", started.elapsed());
    let (verdict, _) = setup.play(&topology, &schedule).await?;
    println!("{faults} faults in {:?}\n{verdict}\n{:?}", started.elapsed(), topology.surprises()?);
    drop(topology);
    setup.remove()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_and_nothing_doubled_on_the_embedded_log() -> Result<()> {
    let test = "nothing is lost and nothing doubled on the embedded log";
    let events = setting("TALLY_ORACLE_EVENTS", 40_000) / 2;
    let identified = setting("TALLY_ORACLE_IDENTIFIED", IDENTIFIED);
    let Some(setup) = Setup::prepare(test, events, identified)? else { return Ok(()) };
    let started = Instant::now();
    let batch_records = (events / 200).clamp(100, 5000);
    let topology = Arc::new(Topology::embedded(&setup.folder, &setup.common(), batch_records).await?);
    let faults = setting("TALLY_ORACLE_FAULTS", 40) / 2;
    let schedule = fault::draw(setup.seed, faults, &topology.field(1));
    println!("ready after {:?}", started.elapsed());
    let (verdict, ledger) = setup.play(&topology, &schedule).await?;
    println!("{faults} faults in {:?}\n{verdict}\n{:?}", started.elapsed(), topology.surprises()?);
    planted::the_judge_finds_it(&setup, &topology, &ledger).await?;
    drop(topology);
    setup.remove()
}

/// Whether a broker could be started here.
fn kafka_is_there() -> Result<(), String> {
    let java = std::process::Command::new("java").arg("-version").output();
    java.map(|_| ()).map_err(|error| format!("java can't be started: {error}"))
}
