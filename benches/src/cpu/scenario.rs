//! The measurements: what is started, what is sent, and over what the CPU time is taken.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::installation::{Installation, Service};
use super::sender_to;
use super::store::Tables;
use super::table::Row;
use crate::load::{Delivery, Pace, Progress};

/// How long a count may stand still before a measurement fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is sent in every measurement. The bodies are made before, so that nothing but sending them happens meanwhile.
pub struct Scenario {
    /// Sent first, not measured.
    pub warm_up: Delivery,
    /// Sent and measured.
    pub measured: Delivery,
    /// Requests in flight at a time.
    pub connections: usize,
}

/// The folder whose log ingest fills and the processor reads.
const FOLDER: &str = "one-by-one";

impl Scenario {
    /// Ingest: from HTTP to the acknowledgement by the embedded log. Leaves the events in the log for
    /// [`Scenario::processor`].
    pub async fn ingest(&self, installation: &Installation, store: &Service) -> Result<Row> {
        let service = installation.only("ingest", FOLDER, store.url()).await?;
        self.send(&service, &self.warm_up).await?;
        let (cpu, start) = (service.process.cpu()?, Instant::now());
        self.send(&service, &self.measured).await?;
        let row = Row {
            what: "ingest",
            events: self.measured.events(),
            cpu: service.process.cpu()?.saturating_sub(cpu),
            elapsed: start.elapsed(),
            peak_memory: service.process.peak_memory()?,
            at_most: 5.0,
        };
        service.process.stop().await?;
        Ok(row)
    }

    /// The processor: from the log to rows in ClickHouse, which is the process `store`. What the processor needs
    /// just to start (loading the definitions) is measured on an empty log and taken off.
    pub async fn processor(&self, installation: &Installation, store: &Service) -> Result<Row> {
        let idle = installation.only("processor", "empty", store.url()).await?;
        let start_up = idle.process.cpu()?;
        idle.process.stop().await?;

        let start = Instant::now();
        let service = installation.only("processor", FOLDER, store.url()).await?;
        let events = self.warm_up.events() + self.measured.events();
        Tables::new(store.url()).await_events(events, PATIENCE).await?;
        let row = Row {
            what: "processor",
            events,
            cpu: service.process.cpu()?.saturating_sub(start_up),
            elapsed: start.elapsed(),
            peak_memory: service.process.peak_memory()?,
            at_most: 3.0,
        };
        service.process.stop().await?;
        Ok(row)
    }

    /// `tally standalone`, warmed up.
    pub async fn start_standalone(&self, installation: &Installation) -> Result<Service> {
        let service = installation.standalone("standalone").await?;
        self.send(&service, &self.warm_up).await?;
        let tables = Tables::new(service.store_url());
        tables.await_events(self.warm_up.events(), PATIENCE).await?;
        tables.await_merges(PATIENCE).await?;
        Ok(service)
    }

    /// Standalone: from HTTP to rows that a query finds, engine, log and merges included. The elapsed time ends when
    /// the last event is visible; the CPU time when the merges are done.
    pub async fn end_to_end(&self, service: &Service) -> Result<Row> {
        let tables = Tables::new(service.store_url());
        let (cpu, start) = (service.process.cpu()?, Instant::now());
        self.send(service, &self.measured).await?;
        tables.await_events(self.warm_up.events() + self.measured.events(), PATIENCE).await?;
        let elapsed = start.elapsed();
        tables.await_merges(PATIENCE).await?;
        Ok(Row {
            what: "standalone, end to end",
            events: self.measured.events(),
            cpu: service.process.cpu()?.saturating_sub(cpu),
            elapsed,
            peak_memory: service.process.peak_memory()?,
            at_most: 10.0,
        })
    }

    async fn send(&self, service: &Service, delivery: &Delivery) -> Result<()> {
        let sender = sender_to(service.url(), self.connections)?;
        let summary = sender.send(delivery.clone(), Pace::new(0.0), &Progress::silent()).await?;
        ensure!(summary.acked == summary.events, "not every event was acknowledged: {summary}");
        Ok(())
    }
}
