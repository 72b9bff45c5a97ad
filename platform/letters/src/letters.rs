//! Letters on their way to the log: charged, cut, encoded, and appended by a task of their own, which goes on trying for a
//! while when the log is out of reach.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounterVec, Opts, Registry};
use tally_eventlog::{AppendError, Intake, Record};
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DeadLetter, DropReason, Framing, topics};
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;
use tokio_util::task::TaskTracker;
use uuid::Builder;

use crate::LettersConfig;
use crate::budget::Budget;

/// What a letter takes besides the bytes that it keeps.
const BYTES_BESIDES: usize = 512;

/// Characters of a detail that are kept.
const MAX_DETAIL_CHARS: usize = 2_000;

/// How often a letter is offered to a log that is out of reach, and the pause between.
const TRIES: usize = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Whose budget a letter is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The user of a token.
    User(i64),
    /// Somebody who sends with a project's tracking key.
    Project(i64),
    /// Nobody knows.
    Unknown,
}

/// A piece of input that was refused.
#[derive(Debug)]
pub struct Refused {
    /// Whose budget it is on.
    pub sender: Sender,
    /// Why it was refused.
    pub reason: DropReason,
    /// The same for a person to read.
    pub detail: String,
    /// Where it came from.
    pub origin: Origin,
    /// The one project that all of it is about, where that is known.
    pub project_id: Option<i64>,
    /// The bytes, as far as they are there.
    pub payload: Vec<u8>,
    /// How many bytes there were, where those are not all of them.
    pub whole_size: Option<u64>,
}

/// What letters stand on.
pub struct LettersParts<'p> {
    /// The service's name, which its metric bears.
    pub service: &'static str,
    /// Where letters go.
    pub log: Arc<dyn Intake>,
    /// Tells when something was refused.
    pub clock: Arc<dyn Clock>,
    /// Makes letters' ids.
    pub randomness: Arc<dyn Randomness>,
    /// Where the metric is registered.
    pub registry: &'p Registry,
}

/// The way of a service's refused input to the log. Cloning shares it.
#[derive(Clone)]
pub struct Letters(Arc<Inner>);

struct Inner {
    config: LettersConfig,
    log: Arc<dyn Intake>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
    budget: Budget,
    pause: Duration,
    outcomes: IntCounterVec,
    on_their_way: TaskTracker,
}

impl Letters {
    /// Registers the metric `tally_<service>_dead_letters_total`; a registry takes it once.
    pub fn new(config: LettersConfig, parts: LettersParts<'_>) -> Result<Self, prometheus::Error> {
        Self::with_pause(config, parts, PAUSE)
    }

    fn with_pause(
        config: LettersConfig,
        parts: LettersParts<'_>,
        pause: Duration,
    ) -> Result<Self, prometheus::Error> {
        let outcomes = IntCounterVec::new(
            Opts::new(
                format!("tally_{}_dead_letters_total", parts.service),
                "What was refused, by what became of its bytes: kept as a dead letter, over_budget, or failed where the log \
                 did not take the letter.",
            ),
            &["outcome"],
        )?;
        parts.registry.register(Box::new(outcomes.clone()))?;
        for outcome in ["kept", "over_budget", "failed"] {
            outcomes.with_label_values(&[outcome]);
        }
        Ok(Self(Arc::new(Inner {
            budget: Budget::new(&config),
            config,
            log: parts.log,
            clock: parts.clock,
            randomness: parts.randomness,
            pause,
            outcomes,
            on_their_way: TaskTracker::new(),
        })))
    }

    /// Bytes that are kept of one refused body; nobody needs to hold more of it.
    pub fn max_bytes(&self) -> usize {
        self.0.config.max_bytes
    }

    /// Keeps what was refused, if there is room for it. Returns at once; must be called within a runtime.
    pub fn keep(&self, refused: Refused) {
        let letters = &self.0;
        let bytes = refused.payload.len().min(letters.config.max_bytes) + BYTES_BESIDES;
        if !letters.budget.charge(refused.sender, bytes, letters.clock.now()) {
            return letters.count("over_budget");
        }
        let letter = letters.letter(refused);
        let keeping = Arc::clone(letters);
        letters.on_their_way.spawn(async move {
            let outcome = if keeping.append(letter).await { "kept" } else { "failed" };
            keeping.count(outcome);
        });
    }

    /// Waits until every letter is in the log, or given up.
    pub async fn settled(&self) {
        let on_their_way = &self.0.on_their_way;
        on_their_way.close();
        on_their_way.wait().await;
        on_their_way.reopen();
    }
}

impl Inner {
    fn count(&self, outcome: &str) {
        self.outcomes.with_label_values(&[outcome]).inc();
    }

    fn letter(&self, refused: Refused) -> DeadLetter {
        let now = self.clock.now().as_millisecond();
        let mut random = [0; 10];
        self.randomness.fill(&mut random);
        let mut letter = DeadLetter {
            // A `UUIDv7`: ids made later sort later.
            id: Builder::from_unix_timestamp_millis(u64::try_from(now).unwrap_or(0), &random).into_uuid(),
            reason: refused.reason,
            detail: refused.detail.chars().take(MAX_DETAIL_CHARS).collect(),
            origin: refused.origin,
            recorded_at: now,
            payload: refused.payload,
            project_id: refused.project_id,
            key: None,
            whole_size: refused.whole_size,
        };
        cut(&mut letter, self.config.max_bytes);
        letter
    }

    /// Appends the letter; whether the log has it. Of one that is longer than the log takes, less is kept.
    async fn append(&self, mut letter: DeadLetter) -> bool {
        for _ in 0..TRIES {
            let record = record(&letter);
            let outcome = self.log.accept(topics::DEAD_LETTERS, vec![record]).await.pop();
            match outcome {
                Some(Ok(())) => return true,
                Some(Err(AppendError::TooLarge { .. })) if !letter.payload.is_empty() => {
                    let half = letter.payload.len() / 2;
                    cut(&mut letter, half);
                }
                Some(Err(error)) if error.is_retriable() => tokio::time::sleep(self.pause).await,
                Some(Err(error)) => {
                    tracing::error!(%error, id = %letter.id, "the log did not take a dead letter");
                    return false;
                }
                None => return false,
            }
        }
        tracing::error!(id = %letter.id, "the log did not take a dead letter in {TRIES} tries");
        false
    }
}

fn record(letter: &DeadLetter) -> Record {
    let mut value = Vec::with_capacity(letter.payload.len() + BYTES_BESIDES);
    letter.encode_framed(Framing::default(), &mut value);
    Record { key: None, value: value.into(), timestamp: letter.recorded_at }
}

/// Keeps the first `max_bytes` of the payload.
fn cut(letter: &mut DeadLetter, max_bytes: usize) {
    if letter.payload.len() > max_bytes {
        letter.whole_size.get_or_insert(letter.payload.len() as u64);
        letter.payload.truncate(max_bytes);
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use jiff::Timestamp;
    use parking_lot::Mutex;
    use tally_eventlog::LogError;
    use tally_service::clock::FixedClock;
    use tally_service::randomness::ThreadRandomness;

    use super::*;

    /// Takes records of at most so many bytes, after failing some times.
    struct FakeLog {
        max_bytes: usize,
        failures: Mutex<usize>,
        taken: Mutex<Vec<Record>>,
    }

    #[async_trait]
    impl Intake for FakeLog {
        async fn accept(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>> {
            assert_eq!(topic, topics::DEAD_LETTERS);
            let mut failures = self.failures.lock();
            if *failures > 0 {
                *failures -= 1;
                return vec![Err(AppendError::Unavailable("away".to_owned()))];
            }
            let (bytes, limit) = (records[0].size(), self.max_bytes);
            if bytes > limit {
                return vec![Err(AppendError::TooLarge { bytes, limit })];
            }
            self.taken.lock().extend(records);
            vec![Ok(())]
        }

        async fn ready(&self) -> Result<(), LogError> {
            Ok(())
        }
    }

    fn letters(config: LettersConfig, max_bytes: usize, failures: usize) -> (Letters, Arc<FakeLog>) {
        let log = Arc::new(FakeLog { max_bytes, failures: failures.into(), taken: Mutex::default() });
        let parts = LettersParts {
            service: "test",
            log: Arc::clone(&log) as Arc<dyn Intake>,
            clock: Arc::new(FixedClock(Timestamp::from_second(1_795_132_800).unwrap())),
            randomness: Arc::new(ThreadRandomness),
            registry: &Registry::new(),
        };
        (Letters::with_pause(config, parts, Duration::ZERO).unwrap(), log)
    }

    fn refused(payload: &[u8]) -> Refused {
        Refused {
            sender: Sender::User(7),
            reason: DropReason::Invalid,
            detail: "event is missing".to_owned(),
            origin: Origin::Request {
                endpoint: "/x".to_owned(),
                user_id: Some(7),
                content_type: String::new(),
            },
            project_id: Some(5),
            payload: payload.to_vec(),
            whole_size: None,
        }
    }

    async fn kept(letters: &Letters, log: &FakeLog) -> Vec<DeadLetter> {
        letters.settled().await;
        let taken = log.taken.lock();
        let read = |record: &Record| DeadLetter::decode_framed(Framing::default(), &record.value).unwrap();
        taken.iter().map(read).collect()
    }

    fn count(letters: &Letters, outcome: &str) -> u64 {
        letters.0.outcomes.with_label_values(&[outcome]).get()
    }

    #[tokio::test]
    async fn what_was_refused_is_kept_with_its_bytes_though_the_log_was_away() {
        let (letters, log) = letters(LettersConfig::default(), 1 << 20, 3);
        letters.keep(refused(b"{}"));
        let kept = kept(&letters, &log).await;
        assert_eq!((kept.len(), &kept[0].payload[..], kept[0].whole_size), (1, &b"{}"[..], None));
        assert_eq!((kept[0].project_id, kept[0].recorded_at), (Some(5), 1_795_132_800_000));
        assert_eq!((count(&letters, "kept"), count(&letters, "failed")), (1, 0));
    }

    #[tokio::test]
    async fn a_log_that_stays_away_costs_the_letter_and_no_more() {
        let (letters, log) = letters(LettersConfig::default(), 1 << 20, usize::MAX);
        letters.keep(refused(b"{}"));
        assert_eq!(kept(&letters, &log).await, []);
        assert_eq!((count(&letters, "kept"), count(&letters, "failed")), (0, 1));
    }

    #[tokio::test]
    async fn of_a_long_body_the_beginning_is_kept_and_its_whole_length_told() {
        let config = LettersConfig { max_bytes: 1_000, ..LettersConfig::default() };
        let (letters, log) = letters(config, 700, 0);
        letters.keep(refused(&[b'x'; 5_000]));
        let kept = kept(&letters, &log).await;
        assert_eq!((kept[0].payload.len(), kept[0].whole_size), (500, Some(5_000)));
    }

    #[tokio::test]
    async fn past_the_budget_refusals_are_only_counted() {
        let config = LettersConfig { bytes_per_sender: 1_500, ..LettersConfig::default() };
        let (letters, log) = letters(config, 1 << 20, 0);
        (0..5).for_each(|_| letters.keep(refused(b"x")));
        assert_eq!(kept(&letters, &log).await.len(), 2);
        assert_eq!((count(&letters, "kept"), count(&letters, "over_budget")), (2, 3));
    }
}
