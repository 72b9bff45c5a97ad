//! One run: the producer and the faults side by side, then the judgement.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::fault::{self, Fault, Planned};
use super::judge::{Judge, Verdict};
use super::ledger::Ledger;
use super::producer::{Delivery, Producer};
use super::topology::{self, Topology};
use super::workload::Workload;
use crate::outside::{corpus, python, require, root};
use crate::process::write_directory;
use crate::setting;

/// How long the producer and the processors may take after the last fault.
const DRAIN_DEADLINE: Duration = Duration::from_mins(3);

/// What a run is made of before anything runs.
pub struct Setup {
    pub folder: PathBuf,
    pub definitions: Vec<String>,
    pub seed: u64,
    pub workload: Workload,
    python: PathBuf,
}

impl Setup {
    /// `None` after saying what is missing on this machine. `identified` of a hundred requests have ids of the client's.
    pub fn prepare(test: &str, events: u64, identified: u64) -> Result<Option<Self>> {
        let Some(python) = require(test, python()) else { return Ok(None) };
        let Some(corpus) = require(test, corpus()) else { return Ok(None) };
        let seed = setting("TALLY_ORACLE_SEED", u64::from(std::process::id()));
        // Kept when the test fails, so no folder that removes itself.
        let folder = tempfile::Builder::new().prefix("tally-oracle-").tempdir()?.keep();
        println!("{test}: {events} events, TALLY_ORACLE_SEED={seed}, everything is in {}", folder.display());
        let folders =
            [corpus.join("events"), corpus.join("metrics"), root().join("tests/fixtures/definitions")];
        let definitions: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let now = Timestamp::now().round(jiff::Unit::Second)?;
        let workload = Workload::new(&definitions, seed, events, identified, now)?;
        write_directory(&folder.join("directory.yml"))?;
        Ok(Some(Self { folder, definitions, seed, workload, python }))
    }

    /// The settings of every process.
    pub fn common(&self) -> Vec<String> {
        topology::common_settings(&self.folder, &self.definitions)
    }

    /// Plays the faults while the workload is sent, then waits until everything is counted, and judges.
    pub async fn play(
        &self,
        topology: &Arc<Topology>,
        schedule: &[Planned],
    ) -> Result<(Verdict, Arc<Ledger>)> {
        let listing: Vec<String> = schedule.iter().map(ToString::to_string).collect();
        std::fs::write(self.folder.join("schedule.txt"), listing.join("\n"))?;
        let lasts = fault::end(schedule).max(Duration::from_secs(3));
        let ledger = self.ledger()?;
        let delivery = Delivery {
            ingests: topology.ingest_urls(),
            capture: topology.capture_url(),
            lasts,
            connections: setting("TALLY_ORACLE_CONNECTIONS", 16),
            deadline: lasts + DRAIN_DEADLINE,
        };
        let producer = Producer::new(self.workload.clone(), Arc::clone(&ledger), delivery);
        let outcome = self.run_and_judge(topology, schedule, &producer, &ledger).await;
        let verdict = outcome.with_context(|| {
            let logs: Vec<String> = topology.all().iter().map(|service| service.log_path()).collect();
            format!(
                "TALLY_ORACLE_SEED={}\n{}\nends that nobody asked for: {:#?}\nlogs: {}",
                self.seed,
                listing.join("\n"),
                topology.surprises(),
                logs.join(" ")
            )
        })?;
        Ok((verdict, ledger))
    }

    async fn run_and_judge(
        &self,
        topology: &Arc<Topology>,
        schedule: &[Planned],
        producer: &Arc<Producer>,
        ledger: &Arc<Ledger>,
    ) -> Result<Verdict> {
        let started = Instant::now();
        let say = |what: &str| println!("{:9.3} s {what}", started.elapsed().as_secs_f64());
        let producing = tokio::spawn(Arc::clone(producer).run());
        play_faults(topology, schedule, producer).await?;
        say("the faults are over");
        topology.recover().await?;
        say("everything is ready");
        producing.await??;
        say("everything is sent");
        topology::drained(topology, ledger, DRAIN_DEADLINE).await?;
        say("everything is counted");
        let verdict = self.judge(topology, ledger).await?;
        say("judged");
        Ok(verdict)
    }

    /// Judges what is in the tables now.
    pub async fn judge(&self, topology: &Topology, ledger: &Ledger) -> Result<Verdict> {
        self.judge_of(topology, ledger).judge().await
    }

    /// Who judges it.
    pub fn judge_of<'j>(&'j self, topology: &Topology, ledger: &'j Ledger) -> Judge<'j> {
        Judge {
            workload: &self.workload,
            ledger,
            folder: &self.folder,
            definitions: &self.definitions,
            python: self.python.clone(),
            store: topology.store_url(),
            query: topology.query_url(),
            settings: topology.command_settings(),
        }
    }

    /// An empty record for this workload.
    pub fn ledger(&self) -> Result<Arc<Ledger>> {
        let workload = &self.workload;
        let counts = [workload.events(), workload.pages, workload.contributions];
        Ok(Arc::new(Ledger::new(counts, &self.folder.join("acknowledged.txt"))?))
    }

    /// Removes everything, once all went well and the processes are gone; unless `TALLY_ORACLE_KEEP` is set.
    pub fn remove(self) -> Result<()> {
        if std::env::var_os("TALLY_ORACLE_KEEP").is_none() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }
}

/// Lets every fault begin at its time and end after its own.
async fn play_faults(topology: &Arc<Topology>, schedule: &[Planned], producer: &Arc<Producer>) -> Result<()> {
    let started = Instant::now();
    let mut playing = JoinSet::new();
    for planned in schedule.iter().copied() {
        let (topology, producer) = (Arc::clone(topology), Arc::clone(producer));
        playing.spawn(async move {
            sleep_until(started + planned.at).await;
            let at = started.elapsed().as_secs_f64();
            println!("{at:9.3} s {}", planned.fault);
            if planned.fault == Fault::Repeat {
                producer.is_repeating.store(true, Ordering::Relaxed);
            }
            topology.begin(planned.fault).await.with_context(|| planned.to_string())?;
            sleep(planned.lasts).await;
            if planned.fault == Fault::Repeat {
                producer.is_repeating.store(false, Ordering::Relaxed);
            }
            topology.end(planned.fault).await.with_context(|| planned.to_string())
        });
    }
    while let Some(played) = playing.join_next().await {
        played??;
    }
    Ok(())
}
