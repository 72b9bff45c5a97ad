//! A processor that is frozen in the middle of a batch, for longer than its session lasts, can't change a number when it
//! wakes up, nor can its insert that arrives late.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tally_tests::oracle::chaos_proxy::Weather;
use tally_tests::oracle::fault::{Link, Target};
use tally_tests::oracle::ledger::{Kind, Ledger};
use tally_tests::oracle::run::Setup;
use tally_tests::oracle::topology::{Size, Topology};
use tally_tests::outside::require;
use tally_tests::process::{ADMIN_TOKEN, clickhouse};
use tally_tests::wait;

use crate::kafka_is_there;

const DEADLINE: Duration = Duration::from_mins(1);
/// An insert of fifty events has more.
const INSERT_BYTES: usize = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_wakes_up_late_changes_no_number() -> Result<()> {
    let test = "a processor that wakes up late changes no number";
    if require(test, kafka_is_there()).is_none() {
        return Ok(());
    }
    let Some(setup) = Setup::prepare(test, 500, 0)? else { return Ok(()) };
    let size = Size { ingests: 1, processors: 2, partitions: 1, batch_records: 1000 };
    let topology = Arc::new(Topology::on_kafka(&setup.folder, &setup.common(), size).await?);
    let ledger = setup.ledger()?;
    let mut run = Run { setup: &setup, topology: &topology, ledger: &ledger, sent: 0 };
    run.send_and_wait().await?;
    topology.join(1)?;
    run.processor(1)?.ready(DEADLINE).await?;
    run.send_and_wait().await?;
    // The late insert comes while the zombie sleeps; then it wakes up before its insert gets through.
    run.freeze_in_a_batch(0, true).await?;
    run.freeze_in_a_batch(1, false).await?;
    run.send_and_wait().await?;
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
    /// The processor that has the partition announces a batch, sends its first insert, and sleeps while the other takes over.
    async fn freeze_in_a_batch(&mut self, zombie: usize, is_insert_first: bool) -> Result<()> {
        let link = self.topology.link(Link::ProcessorStore(zombie));
        let (zombie, other) = (self.processor(zombie)?, self.processor(1 - zombie)?);
        let replayed = other.metric("tally_processor_replayed_batches_total").await?.unwrap_or(0.0);
        link.set(Weather::Stalled);
        self.send().await?;
        wait::until("an insert to be held", DEADLINE, || async {
            Ok((link.held() > INSERT_BYTES).then_some(()))
        })
        .await?;
        zombie.freeze()?;
        self.counted().await.context("nobody took over")?;
        let replays = other.metric("tally_processor_replayed_batches_total").await?.unwrap_or(0.0);
        ensure!(replays > replayed, "the batch was announced, and so it is replayed");
        self.send_and_wait().await?;
        if is_insert_first {
            link.set(Weather::Clear);
            wait::until("the insert to get through", DEADLINE, || async {
                Ok((link.held() == 0).then_some(()))
            })
            .await?;
        }
        zombie.thaw()?;
        link.set(Weather::Clear);
        self.send_and_wait().await?;
        zombie.ready(DEADLINE).await
    }

    fn processor(&self, number: usize) -> Result<Arc<tally_tests::oracle::service::Service>> {
        self.topology.service(Target::Processor(number)).context("a processor")
    }

    async fn send_and_wait(&mut self) -> Result<()> {
        self.send().await?;
        self.counted().await
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

    /// Waits until all that was sent is in the table.
    async fn counted(&self) -> Result<()> {
        let expected = self.setup.workload.events_of(self.sent - 1).last().map_or(0, |last| last + 1);
        let store = self.topology.store_url();
        wait::until(&format!("{expected} events in the table"), DEADLINE, || async {
            let rows: u64 = clickhouse(&store, "SELECT count() FROM events").await?.parse()?;
            Ok((rows >= expected).then_some(()))
        })
        .await
    }
}
