//! What goes wrong, when, and for how long: a function of the seed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::chaos_proxy::Weather;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// `tally ingest`, by its number; or the standalone process.
    Ingest(usize),
    /// `tally capture`.
    Capture,
    /// `tally query`.
    Query,
    /// `tally processor`, by its number.
    Processor(usize),
    /// Kafka.
    Broker,
    /// The ClickHouse engine.
    Store,
}

/// A connection between two processes, with a proxy on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// From the producer to an ingest.
    Producer(usize),
    /// From the producer to capture.
    Trackers,
    /// From an ingest to Kafka.
    IngestKafka(usize),
    CaptureKafka,
    QueryKafka,
    /// From a processor to Kafka.
    ProcessorKafka(usize),
    /// From a processor to the store.
    ProcessorStore(usize),
    /// From the query service to the store.
    QueryStore,
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// kill -9; it comes back after a while.
    Kill(Target),
    /// SIGSTOP, then SIGCONT.
    Freeze(Target),
    Weather(Link, Weather),
    /// Nothing more can be written; on Kafka, while it can't reach Kafka either, since only then anything is.
    DiskFull(Target),
    /// A processor stops in order and comes back after a while.
    Leave(usize),
    /// Clients send every acknowledged request that names its events once more, to whomever.
    Repeat,
    /// One more processor, for good. Not counted among the faults.
    Join(usize),
}

/// A fault with its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// Since the start.
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

impl Target {
    /// Whether it appends to the log, and so may have to write to disk what the log does not take.
    pub fn is_appending(&self) -> bool {
        matches!(self, Self::Ingest(_) | Self::Capture)
    }

    /// Its connection to Kafka, where it has one of its own.
    pub fn to_kafka(self) -> Option<Link> {
        match self {
            Self::Ingest(number) => Some(Link::IngestKafka(number)),
            Self::Capture => Some(Link::CaptureKafka),
            Self::Query => Some(Link::QueryKafka),
            Self::Processor(number) => Some(Link::ProcessorKafka(number)),
            Self::Broker | Self::Store => None,
        }
    }
}

/// What can go wrong in a topology.
#[derive(Clone, Debug)]
pub struct Field {
    pub targets: Vec<Target>,
    pub links: Vec<Link>,
    /// Whose disk may be full.
    pub disks: Vec<Target>,
    /// Processors at the end; it begins with one.
    pub processors: usize,
}

/// What two faults may not have in common at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Process(Target),
    Connection(Link),
    Clients,
}

/// The time after which a member of a group is given up, in these tests.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Until a process that was killed has come back.
const RECOVERY: Duration = Duration::from_secs(3);

/// Mean time between the beginnings of two faults.
const MEAN_PAUSE: Duration = Duration::from_millis(1200);

/// A fault, and whether it is to outlast a session.
type Card = (Fault, bool);

/// Draws `count` faults, ordered by their time: everything that can go wrong once, in any order, then all of it again.
pub fn draw(seed: u64, count: usize, field: &Field) -> Vec<Planned> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut busy: BTreeMap<Place, Duration> = BTreeMap::new();
    let mut at = Duration::from_secs(2);
    let mut schedule = Vec::with_capacity(count + field.processors);
    let mut processors = 1;
    let mut deck = Vec::new();
    for number in 0..count {
        if number * field.processors >= processors * count {
            schedule.push(Planned { at, lasts: Duration::ZERO, fault: Fault::Join(processors) });
            busy.insert(Place::Process(Target::Processor(processors)), at + RECOVERY);
            processors += 1;
        }
        let (fault, is_long) = loop {
            let is_possible = |(fault, _): &Card| {
                is_there(*fault, processors)
                    && places(*fault).iter().all(|place| busy.get(place).is_none_or(|until| *until < at))
            };
            if let Some(position) = deck.iter().position(is_possible) {
                break deck.remove(position);
            }
            if deck.iter().any(|(fault, _)| is_there(*fault, processors)) {
                // Where everything is busy, time has to pass.
                at += Duration::from_millis(50);
            } else {
                deck.extend(shuffled(&mut random, field));
            }
        };
        let lasts = draw_duration(&mut random, fault, is_long);
        for place in places(fault) {
            busy.insert(place, at + lasts + RECOVERY);
        }
        schedule.push(Planned { at, lasts, fault });
        at += MEAN_PAUSE.mul_f64(random.random_range(0.1..1.9));
    }
    schedule
}

/// Everything that can go wrong, once.
fn shuffled(random: &mut SmallRng, field: &Field) -> Vec<Card> {
    let mut cards: Vec<Card> = vec![(Fault::Repeat, false)];
    for target in &field.targets {
        cards.extend([(Fault::Kill(*target), false), (Fault::Freeze(*target), false)]);
        if let Target::Processor(number) = target {
            cards.extend([(Fault::Freeze(*target), true), (Fault::Leave(*number), false)]);
        }
    }
    cards.extend(field.links.iter().map(|link| (Fault::Weather(*link, draw_weather(random)), false)));
    cards.extend(field.disks.iter().map(|target| (Fault::DiskFull(*target), false)));
    cards.shuffle(random);
    cards
}

/// When the last fault has ended.
pub fn end(schedule: &[Planned]) -> Duration {
    schedule.iter().map(|planned| planned.at + planned.lasts).max().unwrap_or_default()
}

/// Whether what it is about has joined already.
fn is_there(fault: Fault, processors: usize) -> bool {
    match fault {
        Fault::Kill(Target::Processor(number))
        | Fault::Freeze(Target::Processor(number))
        | Fault::Leave(number)
        | Fault::Weather(Link::ProcessorKafka(number) | Link::ProcessorStore(number), _) => {
            // The last one that is left has nobody to leave its partitions to.
            number < processors && (processors > 1 || !matches!(fault, Fault::Leave(_)))
        }
        _ => true,
    }
}

fn draw_weather(random: &mut SmallRng) -> Weather {
    match random.random_range(0..4) {
        0 => Weather::Cut,
        1 => Weather::Stalled,
        2 => Weather::HalfClosed,
        _ => Weather::Slow {
            latency: Duration::from_millis(random.random_range(5..300)),
            bytes_per_second: random.random_range(20_000..2_000_000),
        },
    }
}

fn draw_duration(random: &mut SmallRng, fault: Fault, is_long: bool) -> Duration {
    let past_session = SESSION_TIMEOUT + Duration::from_millis(random.random_range(1000..3000));
    let mut up_to = |seconds: f64| Duration::from_secs_f64(random.random_range(0.1..seconds));
    let (short, chance) = match fault {
        _ if is_long => return past_session,
        Fault::Kill(_) | Fault::Join(_) => return up_to(2.0),
        Fault::Leave(_) | Fault::DiskFull(_) => return up_to(5.0),
        Fault::Repeat => return up_to(4.0),
        Fault::Freeze(_) => (up_to(2.5), 0.25),
        Fault::Weather(..) => (up_to(4.0), 0.15),
    };
    if random.random_bool(chance) { past_session } else { short }
}

fn places(fault: Fault) -> Vec<Place> {
    match fault {
        Fault::DiskFull(target) => {
            let link = target.to_kafka().map(Place::Connection);
            [Place::Process(target)].into_iter().chain(link).collect()
        }
        Fault::Kill(target) | Fault::Freeze(target) => vec![Place::Process(target)],
        Fault::Leave(number) | Fault::Join(number) => vec![Place::Process(Target::Processor(number))],
        Fault::Weather(link, _) => vec![Place::Connection(link)],
        Fault::Repeat => vec![Place::Clients],
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(formatter, "{at:9.3} s, for {lasts:6.3} s: {}", self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(target) => write!(formatter, "kill -9 {target}"),
            Self::Freeze(target) => write!(formatter, "freeze {target}"),
            Self::Weather(link, weather) => write!(formatter, "{link}: {weather:?}"),
            Self::DiskFull(target) => write!(formatter, "disk full for {target}"),
            Self::Leave(number) => write!(formatter, "{} leaves", Target::Processor(*number)),
            Self::Repeat => formatter.write_str("clients repeat what was acknowledged"),
            Self::Join(number) => write!(formatter, "{} joins", Target::Processor(*number)),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ingest(number) => write!(formatter, "ingest-{number}"),
            Self::Capture => formatter.write_str("capture"),
            Self::Query => formatter.write_str("query"),
            Self::Processor(number) => write!(formatter, "processor-{number}"),
            Self::Broker => formatter.write_str("kafka"),
            Self::Store => formatter.write_str("store"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Producer(number) => write!(formatter, "producer to {}", Target::Ingest(*number)),
            Self::Trackers => formatter.write_str("trackers to capture"),
            Self::IngestKafka(number) => write!(formatter, "{} to kafka", Target::Ingest(*number)),
            Self::CaptureKafka => formatter.write_str("capture to kafka"),
            Self::QueryKafka => formatter.write_str("query to kafka"),
            Self::ProcessorKafka(number) => write!(formatter, "{} to kafka", Target::Processor(*number)),
            Self::ProcessorStore(number) => write!(formatter, "{} to store", Target::Processor(*number)),
            Self::QueryStore => formatter.write_str("query to store"),
        }
    }
}
