//! A processor that is frozen in the middle of a batch, for longer than its session lasts, changes no number: neither by the
//! insert of it that arrives late, nor by what it does when it wakes up.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tally_tests::oracle::chaos_proxy::Weather;
use tally_tests::oracle::fault::{Link, Target};
use tally_tests::oracle::ledger::{Fate, Kind, Ledger};
use tally_tests::oracle::run::Setup;
use tally_tests::oracle::service::Service;
use tally_tests::oracle::topology::{self, Size, Topology};
use tally_tests::outside::require;
use tally_tests::process::{ADMIN_TOKEN, clickhouse};
use tally_tests::wait;

use crate::kafka_is_there;

const DEADLINE: Duration = Duration::from_mins(1);
const PROCESSORS: [usize; 2] = [0, 1];

/// The insert that the zombie has sent when it falls asleep, and whether that arrives while it sleeps or after it woke up.
const ROUNDS: [(&str, bool); 3] = [
    ("INSERT+INTO+%60events%60", true),
    ("INSERT+INTO+%60counters%60", true),
    ("INSERT+INTO+%60counters%60", false),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_wakes_up_late_changes_no_number() -> Result<()> {
    let test = "a processor that wakes up late changes no number";
    if require(test, kafka_is_there()).is_none() {
        return Ok(());
    }
    let Some(setup) = Setup::prepare(test, 1000, 0)? else { return Ok(()) };
    let size = Size { ingests: 1, processors: PROCESSORS.len(), partitions: 1, batch_records: 1000 };
    let topology = Topology::on_kafka(&setup.folder, &setup.common(), size).await?;
    topology.join(1)?;
    let ledger = setup.ledger()?;
    let mut run = Run { setup: &setup, topology: &topology, ledger: &ledger, sent: 0 };
    run.all_ready().await?;
    for (insert, arrives_first) in ROUNDS {
        let round = run.freeze_in_a_batch(insert, arrives_first).await;
        round.with_context(|| format!("{insert} {arrives_first}: {}", setup.folder.display()))?;
    }
    topology::drained(&topology, &ledger, DEADLINE).await?;
    let verdict = setup.judge(&topology, &ledger).await.context(setup.folder.display().to_string())?;
    println!("{verdict}");
    drop(topology);
    setup.remove()
}

struct Run<'r> {
    setup: &'r Setup,
    topology: &'r Topology,
    ledger: &'r Ledger,
    /// Requests.
    sent: u64,
}

impl Run<'_> {
    /// The processor that has the partition announces a batch, sends the insert, and sleeps while the other takes over.
    async fn freeze_in_a_batch(&mut self, insert: &'static str, arrives_first: bool) -> Result<()> {
        self.send_and_wait().await?;
        let links = PROCESSORS.map(|number| self.topology.link(Link::ProcessorStore(number)));
        for link in links {
            link.set(Weather::Withheld(insert));
        }
        self.send().await?;
        let number = wait::until("an insert to be withheld", DEADLINE, || async {
            Ok(PROCESSORS.into_iter().find(|number| links[*number].held() > 0))
        })
        .await?;
        let (link, zombie, heir) = (links[number], self.processor(number)?, self.processor(1 - number)?);
        let replayed = replayed_batches(&heir).await?;
        zombie.freeze()?;
        links[1 - number].set(Weather::Clear);
        wait::until("the other to take over and replay the batch", DEADLINE, || async {
            Ok((replayed_batches(&heir).await? > replayed).then_some(()))
        })
        .await?;
        self.send_and_wait().await?;
        if arrives_first {
            link.set(Weather::Clear);
            wait::until("the insert to get through", DEADLINE, || async {
                Ok((link.held() == 0).then_some(()))
            })
            .await?;
        }
        zombie.thaw()?;
        link.set(Weather::Clear);
        self.send_and_wait().await?;
        self.all_ready().await
    }

    fn processor(&self, number: usize) -> Result<Arc<Service>> {
        self.topology.service(Target::Processor(number)).context("a processor")
    }

    async fn all_ready(&self) -> Result<()> {
        for number in PROCESSORS {
            self.processor(number)?.ready(DEADLINE).await?;
        }
        Ok(())
    }

    async fn send_and_wait(&mut self) -> Result<()> {
        self.send().await?;
        self.written().await
    }

    /// Sends the next request, whose events have no ids of the client's.
    async fn send(&mut self) -> Result<()> {
        let workload = &self.setup.workload;
        let numbers = workload.events_of(self.sent);
        self.ledger.sending(Kind::Event, &numbers);
        let url = format!("{}/api/v4/usage_data/track_events", self.topology.ingest_urls()[0]);
        let request = reqwest::Client::new().post(&url).header("PRIVATE-TOKEN", ADMIN_TOKEN);
        let request =
            request.header("Content-Type", "application/json").body(workload.event_body(self.sent, 1));
        let status = request.send().await?.status();
        ensure!(status == 200, "{status}");
        self.ledger.acknowledged(Kind::Event, &numbers, &url);
        self.sent += 1;
        Ok(())
    }

    /// Waits until all that was sent is in the table; what came before it is counted then.
    async fn written(&self) -> Result<()> {
        let sent = self.ledger.reached(Kind::Event, Fate::Sent);
        let store = self.topology.store_url();
        wait::until(&format!("{sent} events in the table"), DEADLINE, || async {
            let rows: u64 = clickhouse(&store, "SELECT count() FROM events").await?.parse()?;
            Ok((rows >= sent).then_some(()))
        })
        .await
    }
}

/// Batches that the processor found announced and not done when it was given their partition.
async fn replayed_batches(processor: &Service) -> Result<f64> {
    Ok(processor.metric("tally_processor_replayed_batches_total").await?.unwrap_or(0.0))
}
