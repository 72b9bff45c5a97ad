//! The work on one partition: read, send until the collector has taken everything, commit.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tally_eventlog::{
    AppendError, Assignment, CommitError, FetchLimits, LogError, LogRecord, PartitionReader, Position, Record,
};
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DeadLetter, DropReason, Framing, TrackedEvent, topics};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Inner;
use super::collector::SendError;
use super::payload::{SnowplowEvent, payload};

const LIMITS: FetchLimits =
    FetchLimits { max_records: 10_000, max_bytes: 4 << 20, max_wait: Duration::from_millis(500) };

/// The pause after a first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How often the position is committed while nothing is sent: what is read again after a crash costs nobody but us.
const IDLE_COMMIT: Duration = Duration::from_secs(5);

/// Why work on a partition ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Shutdown came.
    Stopped,
    /// The partition belongs to somebody else now; they go on from the committed position.
    TakenAway,
    /// The log failed.
    Log(LogError),
}

impl From<LogError> for Ended {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Revoked => Self::TakenAway,
            other => Self::Log(other),
        }
    }
}

impl From<CommitError> for Ended {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Fenced | CommitError::Revoked => Self::TakenAway,
            CommitError::Log(error) => error.into(),
        }
    }
}

/// An event to send, and where it is in the log.
struct Outgoing {
    event: SnowplowEvent,
    record: LogRecord,
}

pub(super) struct Worker {
    inner: Arc<Inner>,
    partition: u32,
    reader: Box<dyn PartitionReader>,
    /// Everything before it is forwarded or need not be.
    done: u64,
    committed: u64,
    committed_at: Instant,
    shutdown: CancellationToken,
}

impl Worker {
    pub fn new(inner: Arc<Inner>, assignment: Assignment, shutdown: CancellationToken) -> Self {
        let Assignment { partition, position, reader } = assignment;
        let done = position.next_offset;
        Self { inner, partition, reader, done, committed: done, committed_at: Instant::now(), shutdown }
    }

    /// Forwards until the partition is taken away, the log fails, or shutdown.
    pub async fn run(mut self) -> Ended {
        let ended = match self.forward_all().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        if matches!(ended, Ended::Stopped)
            && let Err(error) = self.commit().await
        {
            tracing::warn!(
                partition = self.partition,
                ?error,
                "the position of forwarding was not committed"
            );
        }
        ended
    }

    async fn forward_all(&mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            let fetched = tokio::select! {
                fetched = self.reader.fetch(LIMITS) => fetched,
                () = self.shutdown.cancelled() => return Err(Ended::Stopped),
            };
            match fetched {
                Ok(records) => self.forward(records).await?,
                Err(LogError::OffsetOutOfRange { low, requested, .. }) if low > requested => {
                    self.skip_expired(low).await?;
                }
                Err(error) => return Err(error.into()),
            }
            self.report_lag();
        }
    }

    async fn forward(&mut self, records: Vec<LogRecord>) -> Result<(), Ended> {
        let Some(last) = records.last() else { return self.commit_when_idle().await };
        let next = last.offset + 1;
        let mut translated = self.inner.schemas.translate(topics::EVENTS, &records).await?;
        let readable = records.into_iter().map(|record| match translated.remove(&record.offset) {
            Some(value) => LogRecord { value, ..record },
            None => record,
        });
        let outgoing: Vec<Outgoing> = readable.filter_map(|record| self.outgoing(record)).collect();
        let is_idle = outgoing.is_empty();
        for request in requests(outgoing, self.inner.config.max_events, self.inner.config.max_bytes) {
            let end = request.last().map_or(next, |last| last.record.offset + 1);
            self.deliver(request).await?;
            self.done = end;
        }
        self.done = next;
        if is_idle { self.commit_when_idle().await } else { self.commit().await }
    }

    /// The record's event, if it asks to be forwarded. What can't be read is set aside by whoever counts it.
    fn outgoing(&self, record: LogRecord) -> Option<Outgoing> {
        let event = match TrackedEvent::decode_framed(self.inner.framing, &record.value) {
            Ok(event) if event.send_to_snowplow => SnowplowEvent::of(&event, &self.inner.config.app_id),
            Ok(_) => return None,
            Err(error) => {
                tracing::warn!(partition = self.partition, offset = record.offset, %error, "a record can't be forwarded");
                self.inner.metrics.drop_by(DropReason::Undecodable, 1);
                return None;
            }
        };
        Some(Outgoing { event, record })
    }

    /// Sends the events until the collector has all of them, in parts where they are too many for it.
    async fn deliver(&mut self, request: Vec<Outgoing>) -> Result<(), Ended> {
        let mut waiting = vec![request];
        let mut pause = FIRST_PAUSE;
        while let Some(mut part) = waiting.pop() {
            let events: Vec<SnowplowEvent> = part.iter().map(|outgoing| outgoing.event.clone()).collect();
            let body = Bytes::from(payload(&events, self.inner.clock.now()));
            // A send that is cut off may have arrived. It is made again, by whoever goes on here.
            let sent = tokio::select! {
                sent = self.inner.collector.send(body) => sent,
                () = self.reader.revoked().cancelled() => return Err(Ended::TakenAway),
                () = self.shutdown.cancelled() => return Err(Ended::Stopped),
            };
            let Err(error) = sent else {
                self.inner.metrics.forwarded.inc_by(part.len() as u64);
                pause = FIRST_PAUSE;
                continue;
            };
            self.inner.metrics.failures.with_label_values(&[error.reason()]).inc();
            if error == SendError::TooLarge {
                let later = part.split_off(part.len() / 2);
                if part.is_empty() {
                    self.set_aside(later, &mut pause).await?;
                } else {
                    waiting.push(later);
                    waiting.push(part);
                }
                continue;
            }
            tracing::warn!(partition = self.partition, %error, "the Snowplow collector did not take events; trying again");
            waiting.push(part);
            self.wait(&mut pause).await?;
        }
        Ok(())
    }

    /// Writes dead letters of events that the collector will never take.
    async fn set_aside(&mut self, refused: Vec<Outgoing>, pause: &mut Duration) -> Result<(), Ended> {
        for Outgoing { event, record } in refused {
            tracing::warn!(event_id = event.eid, "an event is larger than the Snowplow collector takes");
            let letter = self.letter(record);
            while let Some(Err(error)) =
                self.inner.log.append(topics::DEAD_LETTERS, vec![letter.clone()]).await.pop()
            {
                // The letter is longer than its event. The event lies in the log and in the table of events all the same.
                if matches!(error, AppendError::TooLarge { .. }) {
                    tracing::error!(%error, "a dead letter is longer than the log takes");
                    break;
                }
                tracing::error!(%error, "the log did not take a dead letter; trying again");
                self.wait(pause).await?;
            }
            self.inner.metrics.drop_by(DropReason::Oversized, 1);
        }
        Ok(())
    }

    fn letter(&self, record: LogRecord) -> Record {
        let now = self.inner.clock.now().as_millisecond();
        let LogRecord { offset, value, key, .. } = record;
        // The same for the same record, so that a repetition is known.
        let id = Uuid::from_u64_pair(u64::from(self.partition) << 32 | 0xf04d, offset);
        let mut letter = Vec::new();
        DeadLetter {
            id,
            reason: DropReason::Oversized,
            detail: "larger than the Snowplow collector takes; it was counted, and not forwarded".to_owned(),
            origin: Origin::Log { topic: topics::EVENTS.to_owned(), partition: self.partition, offset },
            recorded_at: now,
            payload: value.to_vec(),
            project_id: TrackedEvent::decode_framed(self.inner.framing, &value)
                .ok()
                .and_then(|event| event.project_id),
            key: key.map(|key| key.to_vec()),
            whole_size: None,
        }
        .encode_framed(Framing::SingleObject, &mut letter);
        Record { key: None, value: letter.into(), timestamp: now }
    }

    async fn wait(&mut self, pause: &mut Duration) -> Result<(), Ended> {
        let waited =
            mem::replace(pause, (*pause * 2).min(Duration::from_secs(self.inner.config.max_pause_s)));
        tokio::select! {
            () = sleep(waited) => Ok(()),
            () = self.reader.revoked().cancelled() => Err(Ended::TakenAway),
            () = self.shutdown.cancelled() => Err(Ended::Stopped),
        }
    }

    /// Goes on at `offset`, since the log has deleted what lies before it.
    async fn skip_expired(&mut self, offset: u64) -> Result<(), Ended> {
        let lost = offset.saturating_sub(self.done);
        tracing::error!(
            partition = self.partition,
            lost,
            from = self.done,
            to = offset,
            "the log deleted records before they were forwarded"
        );
        self.inner.metrics.drop_by(DropReason::Expired, lost);
        self.reader.seek(offset).await?;
        self.done = offset;
        self.commit().await
    }

    async fn commit_when_idle(&mut self) -> Result<(), Ended> {
        if self.committed_at.elapsed() >= IDLE_COMMIT { self.commit().await } else { Ok(()) }
    }

    async fn commit(&mut self) -> Result<(), Ended> {
        self.committed_at = Instant::now();
        if self.committed != self.done {
            self.reader.commit(&Position::at(self.done)).await?;
            self.committed = self.done;
        }
        Ok(())
    }

    fn report_lag(&self) {
        if let Some(end) = self.reader.high_watermark() {
            let lag = i64::try_from(end.saturating_sub(self.done)).unwrap_or(i64::MAX);
            self.inner.metrics.lag.with_label_values(&[&self.partition.to_string()]).set(lag);
        }
    }
}

/// The events of one request after the other, in their order.
fn requests(outgoing: Vec<Outgoing>, max_events: usize, max_bytes: usize) -> Vec<Vec<Outgoing>> {
    let mut requests: Vec<Vec<Outgoing>> = Vec::new();
    let mut bytes = 0;
    for one in outgoing {
        let size = one.event.size();
        if let Some(last) =
            requests.last_mut().filter(|last| last.len() < max_events && bytes + size <= max_bytes)
        {
            last.push(one);
            bytes += size;
        } else {
            requests.push(vec![one]);
            bytes = size;
        }
    }
    requests
}
