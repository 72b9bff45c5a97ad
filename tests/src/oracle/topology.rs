//! The processes of a run, with a proxy on every connection between two of them, and how faults begin and end there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::chaos_proxy::{ChaosProxy, Weather};
use super::fault::{Fault, Field, Link, SESSION_TIMEOUT, Target};
use super::ledger::{Fate, Kind, Ledger};
use super::service::{Service, signal};
use super::workload::{PROJECT, TRACKING_KEY};
use crate::kafka::{Kafka, Via};
use crate::process::{STORE_PASSWORD, clickhouse, free_port, run};
use crate::wait;

/// How long everything may take to be ready once the faults are over.
const RECOVERY_DEADLINE: Duration = Duration::from_mins(2);
/// How long a processor may take to stop in order while other things go wrong.
const STOP_DEADLINE: Duration = Duration::from_secs(40);
/// Files that are longer can't be written to while the disk is full.
const FULL_AT_BYTES: u64 = 4096;

/// Real processes and what is between them.
pub struct Topology {
    folder: PathBuf,
    /// Settings of every process.
    common: Vec<String>,
    services: Mutex<BTreeMap<Target, Arc<Service>>>,
    kafka: Option<Arc<Kafka>>,
    links: BTreeMap<Link, ChaosProxy>,
    store_port: u16,
}

/// How many of what a run on Kafka has.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub ingests: usize,
    /// At the end; it begins with one.
    pub processors: usize,
    pub partitions: u32,
    /// Records in a batch of a processor at most.
    pub batch_records: u64,
}

impl Topology {
    /// Separate processes on a Kafka of their own: engine, ingests, capture, query, and one processor to begin with.
    pub async fn on_kafka(folder: &Path, common: &[String], size: Size) -> Result<Self> {
        let (kafka_port, store_port) = (free_port(), free_port());
        let mut links = BTreeMap::new();
        let mut via = Vec::new();
        let to_kafka = (0..size.ingests)
            .map(|number| (Link::IngestKafka(number), format!("INGEST{number}")))
            .chain(
                (0..size.processors)
                    .map(|number| (Link::ProcessorKafka(number), format!("PROCESSOR{number}"))),
            )
            .chain([(Link::CaptureKafka, "CAPTURE".to_owned()), (Link::QueryKafka, "QUERY".to_owned())]);
        for (link, name) in to_kafka {
            let (port, advertised) = (free_port(), free_port());
            via.push(Via { name, port, advertised });
            links.insert(link, ChaosProxy::start(advertised, port).await?);
        }
        let to_store = (0..size.processors).map(Link::ProcessorStore).chain([Link::QueryStore]);
        for link in to_store {
            links.insert(link, ChaosProxy::start(free_port(), store_port).await?);
        }
        let mut topology = Self {
            folder: folder.to_owned(),
            common: [common, &on_kafka_settings(size.partitions), &processor_settings(size.batch_records)]
                .concat(),
            services: Mutex::default(),
            kafka: None,
            links,
            store_port,
        };
        let kafka = tokio::task::spawn_blocking(move || Kafka::start_on(kafka_port, &via));
        topology.start_store().await?;
        topology.kafka = Some(Arc::new(kafka.await?.map_err(|error| anyhow!(error))?));

        let settings =
            [topology.kafka_settings(Link::QueryKafka), topology.store_settings(Link::QueryStore)].concat();
        let query = topology.start("query", "query", free_port(), &settings).await?;
        topology.services().insert(Target::Query, query);
        for number in 0..size.ingests {
            let port = free_port();
            let node = format!("ingest.node={number}");
            let settings = [topology.kafka_settings(Link::IngestKafka(number)), vec![node]].concat();
            let name = Target::Ingest(number);
            let ingest = topology.start(&name.to_string(), "ingest", port, &settings).await?;
            topology.services().insert(name, ingest);
            let proxy = ChaosProxy::start(free_port(), port).await?;
            topology.links.insert(Link::Producer(number), proxy);
        }
        let port = free_port();
        let settings = topology.kafka_settings(Link::CaptureKafka);
        let capture = topology.start("capture", "capture", port, &settings).await?;
        topology.services().insert(Target::Capture, capture);
        topology.links.insert(Link::Trackers, ChaosProxy::start(free_port(), port).await?);
        topology.join(0)?;
        topology.named(Target::Processor(0))?.ready(RECOVERY_DEADLINE).await?;
        Ok(topology)
    }

    /// One process with the log inside, and an engine beside it.
    pub async fn embedded(folder: &Path, common: &[String], batch_records: u64) -> Result<Self> {
        let store_port = free_port();
        let port = free_port();
        let link = Link::ProcessorStore(0);
        let links = BTreeMap::from([
            (link, ChaosProxy::start(free_port(), store_port).await?),
            (Link::Producer(0), ChaosProxy::start(free_port(), port).await?),
        ]);
        let topology = Self {
            folder: folder.to_owned(),
            common: [common, &processor_settings(batch_records)].concat(),
            services: Mutex::default(),
            kafka: None,
            links,
            store_port,
        };
        topology.start_store().await?;
        let settings = topology.store_settings(link);
        let standalone = topology.start("standalone", "standalone", port, &settings).await?;
        topology.services().insert(Target::Ingest(0), standalone);
        Ok(topology)
    }

    /// The engine, and the tables in it.
    async fn start_store(&self) -> Result<()> {
        let store = self.start("store", "store", self.store_port, &[]).await?;
        self.services().insert(Target::Store, store);
        let [url, password] =
            [format!("store.url={}", self.store_url()), format!("store.password={STORE_PASSWORD}")];
        tokio::task::spawn_blocking(move || run(&["migrate", "--set", &url, "--set", &password])).await??;
        Ok(())
    }

    async fn start(&self, name: &str, command: &str, port: u16, settings: &[String]) -> Result<Arc<Service>> {
        Service::start(name, &self.folder, port, &self.arguments(name, command, port, settings)).await
    }

    fn arguments(&self, name: &str, command: &str, port: u16, settings: &[String]) -> Vec<String> {
        let data = format!("standalone.data_dir={}", self.folder.join(name).display());
        let mut arguments = vec![command.to_owned(), "--listen".to_owned(), format!("127.0.0.1:{port}")];
        for setting in self.common.iter().chain(settings).chain([&data]) {
            arguments.extend(["--set".to_owned(), setting.clone()]);
        }
        arguments
    }

    /// One more processor; it may not be ready for a while.
    pub fn join(&self, number: usize) -> Result<()> {
        // Every second one keeps its partitions when it is away for less than a session.
        let instance = (number % 2 == 1).then(|| format!("kafka.group_instance_id=processor-{number}"));
        let settings = [
            self.kafka_settings(Link::ProcessorKafka(number)),
            self.store_settings(Link::ProcessorStore(number)),
            instance.into_iter().collect(),
        ];
        let (name, port) = (Target::Processor(number), free_port());
        let arguments = self.arguments(&name.to_string(), "processor", port, &settings.concat());
        let processor = Service::launch(&name.to_string(), &self.folder, port, &arguments)?;
        self.services().insert(name, processor);
        Ok(())
    }

    fn kafka_settings(&self, link: Link) -> Vec<String> {
        vec![format!("kafka.bootstrap_servers=127.0.0.1:{}", self.links[&link].port)]
    }

    fn store_settings(&self, link: Link) -> Vec<String> {
        vec![format!("store.url=http://127.0.0.1:{}", self.links[&link].port)]
    }

    /// The engine's address, past all proxies.
    pub fn store_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.store_port)
    }

    /// The settings under which commands work on what the processes have, past all proxies.
    pub fn command_settings(&self) -> Vec<String> {
        let mut settings = self.common.clone();
        settings.push(format!("store.url={}", self.store_url()));
        settings.push(match &self.kafka {
            Some(kafka) => format!("kafka.bootstrap_servers={}", kafka.address),
            None => format!("standalone.data_dir={}", self.folder.join("standalone").display()),
        });
        settings
    }

    /// Where pings are asked for.
    pub fn query_url(&self) -> String {
        let standalone = || self.service(Target::Ingest(0)).expect("standalone runs from the start");
        self.service(Target::Query).unwrap_or_else(standalone).url()
    }

    /// The ingests as clients reach them: through proxies.
    pub fn ingest_urls(&self) -> Vec<String> {
        let proxies = self.links.iter().filter(|(link, _)| matches!(link, Link::Producer(_)));
        proxies.map(|(_, proxy)| format!("http://127.0.0.1:{}", proxy.port)).collect()
    }

    /// Capture as trackers reach it.
    pub fn capture_url(&self) -> String {
        let link = if self.links.contains_key(&Link::Trackers) { Link::Trackers } else { Link::Producer(0) };
        format!("http://127.0.0.1:{}", self.links[&link].port)
    }

    /// A process.
    pub fn service(&self, target: Target) -> Option<Arc<Service>> {
        self.services().get(&target).cloned()
    }

    /// All processes but the broker.
    pub fn all(&self) -> Vec<Arc<Service>> {
        self.services().values().cloned().collect()
    }

    /// Those that count: the processors, or the standalone process.
    pub fn counting(&self) -> Vec<Arc<Service>> {
        let is_counting = |target: &Target| match target {
            Target::Processor(_) => true,
            Target::Ingest(_) => self.kafka.is_none(),
            _ => false,
        };
        let services = self.services();
        services
            .iter()
            .filter(|(target, _)| is_counting(target))
            .map(|(_, service)| service.clone())
            .collect()
    }

    /// Those that append to the log.
    pub fn appending(&self) -> Vec<Arc<Service>> {
        let services = self.services();
        services
            .iter()
            .filter(|(target, _)| target.is_appending())
            .map(|(_, service)| service.clone())
            .collect()
    }

    /// The proxy on a connection.
    pub fn link(&self, link: Link) -> &ChaosProxy {
        &self.links[&link]
    }

    /// What may go wrong here.
    pub fn field(&self, processors: usize) -> Field {
        let mut targets: Vec<Target> = self.services().keys().copied().collect();
        let disks = targets.iter().copied().filter(Target::is_appending).collect();
        if self.kafka.is_some() {
            targets.push(Target::Broker);
            targets.extend((1..processors).map(Target::Processor));
        }
        Field { targets, links: self.links.keys().copied().collect(), disks, processors }
    }

    /// A fault begins.
    pub async fn begin(&self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Kill(Target::Broker) => {
                let kafka = self.kafka();
                let killed = tokio::task::spawn_blocking(move || kafka.kill()).await?;
                killed.map_err(|error| anyhow!(error)).context("killing kafka")?;
            }
            Fault::Freeze(Target::Broker) => self.signal_broker("STOP")?,
            Fault::Kill(target) => self.named(target)?.kill(),
            Fault::Freeze(target) => self.named(target)?.freeze()?,
            Fault::Weather(link, weather) => self.links[&link].set(weather),
            Fault::DiskFull(target) => {
                self.set_kafka(target, Weather::Cut);
                self.named(target)?.limit_files(Some(FULL_AT_BYTES))?;
            }
            Fault::Leave(number) => self.named(Target::Processor(number))?.stop(STOP_DEADLINE).await?,
            Fault::Join(number) => self.join(number)?,
            Fault::Repeat => {}
        }
        Ok(())
    }

    /// A fault ends.
    pub async fn end(&self, fault: Fault) -> Result<()> {
        match fault {
            Fault::Kill(Target::Broker) => {
                let kafka = self.kafka();
                let started = tokio::task::spawn_blocking(move || kafka.start_again()).await?;
                started.map_err(|error| anyhow!(error)).context("starting kafka again")?;
            }
            Fault::Freeze(Target::Broker) => self.signal_broker("CONT")?,
            Fault::Kill(target) => self.named(target)?.want(),
            Fault::Freeze(target) => self.named(target)?.thaw()?,
            Fault::Weather(link, _) => self.links[&link].set(Weather::Clear),
            Fault::DiskFull(target) => {
                self.named(target)?.limit_files(None)?;
                self.set_kafka(target, Weather::Clear);
            }
            Fault::Leave(number) => self.named(Target::Processor(number))?.want(),
            Fault::Join(_) | Fault::Repeat => {}
        }
        Ok(())
    }

    /// Nothing goes wrong any more; waits until everything is ready.
    pub async fn recover(&self) -> Result<()> {
        self.links.values().for_each(|link| link.set(Weather::Clear));
        for service in self.all() {
            service.thaw()?;
            service.want();
            service.limit_files(None)?;
        }
        for service in self.all() {
            service.ready(RECOVERY_DEADLINE).await?;
        }
        Ok(())
    }

    /// On the process's connection to Kafka, if it has one.
    fn set_kafka(&self, target: Target, weather: Weather) {
        if let Some(link) = target.to_kafka().and_then(|link| self.links.get(&link)) {
            link.set(weather);
        }
    }

    /// What processes did that nobody had asked for. One that finds at its start that what it stands on is away may end, with
    /// exit status 1; any other end, and any panic, is an error.
    pub fn surprises(&self) -> Result<Vec<String>> {
        let surprises: Vec<String> = self.all().iter().flat_map(|service| service.surprises()).collect();
        let is_bad = |surprise: &&String| !surprise.contains("ended by itself with exit status: 1");
        let bad: Vec<&String> = surprises.iter().filter(is_bad).collect();
        ensure!(bad.is_empty(), "{bad:#?}");
        Ok(surprises)
    }

    fn named(&self, target: Target) -> Result<Arc<Service>> {
        self.service(target).with_context(|| format!("there is no {target} here"))
    }

    fn kafka(&self) -> Arc<Kafka> {
        Arc::clone(self.kafka.as_ref().expect("faults of the broker are drawn where there is one"))
    }

    fn signal_broker(&self, name: &str) -> Result<()> {
        self.kafka().id().map_or(Ok(()), |id| signal(id, name))
    }

    fn services(&self) -> std::sync::MutexGuard<'_, BTreeMap<Target, Arc<Service>>> {
        self.services.lock().expect("nobody panics while holding it")
    }
}

/// What all processes on Kafka have in common.
fn on_kafka_settings(partitions: u32) -> Vec<String> {
    vec![
        "log_storage.kind=kafka".to_owned(),
        format!("log_storage.partitions={partitions}"),
        format!("kafka.session_timeout_s={}", SESSION_TIMEOUT.as_secs()),
        "kafka.append_timeout_s=2".to_owned(),
        // No proxy holds anything back for longer once its weather has cleared.
        "spool.settle_s=3".to_owned(),
    ]
}

/// What everything that counts has in common.
fn processor_settings(batch_records: u64) -> Vec<String> {
    vec![
        format!("processor.announcement_ttl_s={}", SESSION_TIMEOUT.as_secs()),
        format!("processor.batch_max_records={batch_records}"),
    ]
}

/// What all processes of a run have in common.
pub fn common_settings(folder: &Path, definitions: &[String]) -> Vec<String> {
    vec![
        format!("directory.file={}", folder.join("directory.yml").display()),
        format!("definitions.paths={definitions:?}"),
        format!("store.password={STORE_PASSWORD}"),
        format!("capture.keys.{TRACKING_KEY}={PROJECT}"),
        "guard.tracking_per_token=0".to_owned(),
        "guard.other_per_token=0".to_owned(),
        "guard.without_token_per_address=0".to_owned(),
        "capture.events_per_key=0".to_owned(),
    ]
}

/// Waits until nothing is left to do: spools are empty, every record is counted, and the tables have come to rest with all
/// that was acknowledged. When that takes too long it returns all the same: the judge can tell what is missing.
pub async fn drained(topology: &Topology, ledger: &Ledger, deadline: Duration) -> Result<()> {
    let last_seen = Mutex::new((String::new(), Instant::now()));
    let at_rest = wait::until("everything to be counted", deadline, || async {
        let rows = rows(&topology.store_url()).await?;
        let is_quiet = {
            let mut seen = last_seen.lock().expect("nobody panics while holding it");
            if rows != seen.0 {
                *seen = (rows, Instant::now());
            }
            seen.1.elapsed() >= QUIET && has_acknowledged(&seen.0, ledger)
        };
        Ok((is_quiet && has_nothing_to_do(topology).await?).then_some(()))
    });
    if let Err(error) = at_rest.await {
        println!("{error:#}; rows: {:?}", last_seen.lock().expect("nobody panics while holding it").0);
    }
    Ok(())
}

/// How long the tables have to be as they are to be at rest: longer than a partition takes to go from a processor that is
/// gone to another, when nobody knows its lag.
const QUIET: Duration = Duration::from_secs(SESSION_TIMEOUT.as_secs() + 4);

/// Events, page events of trackers, contributions.
async fn rows(store: &str) -> Result<String> {
    let sql = "SELECT (SELECT count() FROM events), (SELECT count() FROM page_events WHERE source = 'tracker'), \
               (SELECT count() FROM contributions)";
    clickhouse(store, sql).await
}

fn has_acknowledged(rows: &str, ledger: &Ledger) -> bool {
    let kinds = [Kind::Event, Kind::Page, Kind::Contribution];
    rows.split('\t').zip(kinds).all(|(rows, kind)| {
        rows.parse().is_ok_and(|rows: u64| rows >= ledger.reached(kind, Fate::Acknowledged))
    })
}

async fn has_nothing_to_do(topology: &Topology) -> Result<bool> {
    for service in topology.appending() {
        if service.metric("tally_spool_records").await?.is_some_and(|spooled| spooled > 0.0) {
            return Ok(false);
        }
    }
    for service in topology.counting() {
        if service.metric("tally_processor_lag_records").await?.is_some_and(|lag| lag > 0.0) {
            return Ok(false);
        }
    }
    Ok(true)
}
