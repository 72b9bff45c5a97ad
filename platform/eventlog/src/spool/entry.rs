//! How records lie in the spool's files: one entry for the records of one append that the log did not confirm, with its
//! length and a checksum in front, so that a torn one is known.

use bytes::{Buf, BufMut, Bytes};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::record::Record;

/// Length and checksum.
pub(super) const HEADER_BYTES: usize = 12;
/// As long as Kafka lets a topic's name be.
const MAX_TOPIC_BYTES: usize = 249;
/// No partition has this number.
const ANYWHERE: u32 = u32::MAX;

/// What is known of a record's way before it was spooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was never sent.
    Unsent,
    /// It was sent, and the log may have it: in this partition, where that is known.
    InDoubt(Option<u32>),
}

/// One record in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spooled {
    pub(super) record: Record,
    pub(super) fate: Fate,
}

impl Spooled {
    fn bytes(&self) -> usize {
        let partition = if self.fate == Fate::Unsent { 0 } else { 4 };
        let key_length = if self.record.key.is_some() { 4 } else { 0 };
        1 + partition + 8 + key_length + 4 + self.record.size()
    }

    /// What makes the record the same as another: all but its timestamp, which the log may change.
    pub(super) fn identity(&self, topic: &str) -> u128 {
        identity(topic, self.record.key.as_deref(), &self.record.value)
    }
}

/// Equal for records of one topic that are equal byte for byte.
pub(super) fn identity(topic: &str, key: Option<&[u8]>, value: &[u8]) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(topic.as_bytes());
    // No topic's name holds a NUL.
    hash.update(&[0, u8::from(key.is_some())]);
    let key = key.unwrap_or_default();
    hash.update(&(key.len() as u64).to_le_bytes());
    hash.update(key);
    hash.update(value);
    hash.digest128()
}

/// The records of one append, or those of them that were not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) topic: String,
    /// Milliseconds since the epoch.
    pub(super) spooled_at: i64,
    pub(super) records: Vec<Spooled>,
}

impl Entry {
    /// How long it is as written.
    pub(super) fn bytes(&self) -> usize {
        let records: usize = self.records.iter().map(Spooled::bytes).sum();
        HEADER_BYTES + 16 + self.topic.len() + records
    }

    /// The entry as it is written.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(self.bytes());
        frame.put_bytes(0, HEADER_BYTES);
        frame.put_i64_le(self.spooled_at);
        put_bytes(&mut frame, self.topic.as_bytes());
        frame.put_u32_le(self.records.len() as u32);
        for spooled in &self.records {
            put_record(&mut frame, spooled);
        }
        let body = &frame[HEADER_BYTES..];
        let (length, checksum) = (body.len() as u32, xxh3_64(body));
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        frame
    }

    /// The entry at the beginning of `frames`, and its length with the header. `None`: there is no whole one.
    pub(super) fn decode(frames: &[u8]) -> Option<(Self, usize)> {
        let length = Self::frame_bytes(frames)?;
        let checksum = (&frames[4..HEADER_BYTES]).get_u64_le();
        let body = frames.get(HEADER_BYTES..length).filter(|body| xxh3_64(body) == checksum)?;
        Some((Self::read(Bytes::copy_from_slice(body))?, length))
    }

    /// How long the entry at the beginning says it is, header included.
    pub(super) fn frame_bytes(mut frames: &[u8]) -> Option<usize> {
        (frames.len() >= HEADER_BYTES).then(|| HEADER_BYTES + frames.get_u32_le() as usize)
    }

    /// Whether there is a whole entry anywhere in these bytes.
    pub(super) fn lies_within(frames: &[u8]) -> bool {
        let has_topic = |frames: &[u8]| {
            let mut topic = frames.get(HEADER_BYTES + 8..).unwrap_or_default();
            let length = topic.try_get_u32_le().map_or(0, |length| length as usize);
            let topic = topic.get(..length).filter(|topic| (1..=MAX_TOPIC_BYTES).contains(&topic.len()));
            topic.is_some_and(|topic| topic.iter().all(u8::is_ascii_graphic))
        };
        let mut all = (0..frames.len()).map(|at| &frames[at..]);
        all.any(|frames| has_topic(frames) && Self::decode(frames).is_some())
    }

    fn read(mut body: Bytes) -> Option<Self> {
        let spooled_at = body.try_get_i64_le().ok()?;
        let topic = String::from_utf8(get_bytes(&mut body)?.into()).ok()?;
        let count = body.try_get_u32_le().ok()?;
        let records = (0..count).map(|_| get_record(&mut body)).collect::<Option<Vec<_>>>()?;
        body.is_empty().then_some(Self { topic, spooled_at, records })
    }
}

const HAS_KEY: u8 = 1;
const IN_DOUBT: u8 = 2;

fn put_record(frame: &mut Vec<u8>, Spooled { record, fate }: &Spooled) {
    let has_key = if record.key.is_some() { HAS_KEY } else { 0 };
    match fate {
        Fate::Unsent => frame.put_u8(has_key),
        Fate::InDoubt(partition) => {
            frame.put_u8(has_key | IN_DOUBT);
            frame.put_u32_le(partition.unwrap_or(ANYWHERE));
        }
    }
    frame.put_i64_le(record.timestamp);
    if let Some(key) = &record.key {
        put_bytes(frame, key);
    }
    put_bytes(frame, &record.value);
}

fn get_record(body: &mut Bytes) -> Option<Spooled> {
    let flags = body.try_get_u8().ok()?;
    let fate = if flags & IN_DOUBT == 0 {
        Fate::Unsent
    } else {
        let partition = body.try_get_u32_le().ok()?;
        Fate::InDoubt(Some(partition).filter(|partition| *partition != ANYWHERE))
    };
    let timestamp = body.try_get_i64_le().ok()?;
    let key = if flags & HAS_KEY == 0 { None } else { Some(get_bytes(body)?) };
    let value = get_bytes(body)?;
    Some(Spooled { record: Record { key, value, timestamp }, fate })
}

fn put_bytes(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.put_u32_le(bytes.len() as u32);
    frame.put_slice(bytes);
}

fn get_bytes(body: &mut Bytes) -> Option<Bytes> {
    let length = body.try_get_u32_le().ok()? as usize;
    (body.len() >= length).then(|| body.split_to(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            Just(Fate::Unsent),
            Just(Fate::InDoubt(None)),
            (0..1000_u32).prop_map(|partition| Fate::InDoubt(Some(partition))),
        ]
    }

    fn spooled() -> impl Strategy<Value = Spooled> {
        let key = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20));
        let value = proptest::collection::vec(any::<u8>(), 0..200);
        (key, value, any::<i64>(), fate()).prop_map(|(key, value, timestamp, fate)| {
            let record = Record { key: key.map(Bytes::from), value: value.into(), timestamp };
            Spooled { record, fate }
        })
    }

    proptest! {
        #[test]
        fn an_entry_is_read_as_it_was_written(records in proptest::collection::vec(spooled(), 0..5), spooled_at: i64) {
            let entry = Entry { topic: "events".to_owned(), spooled_at, records };
            let frame = entry.encode();
            prop_assert_eq!(entry.bytes(), frame.len());
            prop_assert_eq!(Entry::decode(&frame), Some((entry, frame.len())));
        }

        #[test]
        fn a_torn_or_changed_entry_is_none(records in proptest::collection::vec(spooled(), 1..3), at: usize, bit in 0..8_u8) {
            let frame = Entry { topic: "events".to_owned(), spooled_at: 7, records }.encode();
            let at = at % frame.len();
            prop_assert_eq!(Entry::decode(&frame[..at]), None);
            let mut changed = frame;
            changed[at] ^= 1 << bit;
            prop_assert_eq!(Entry::decode(&changed), None);
        }
    }

    #[test]
    fn only_equal_records_of_one_topic_are_the_same() {
        let of = |topic: &str, key: Option<&str>, value: &str| {
            identity(topic, key.map(str::as_bytes), value.as_bytes())
        };
        let all = [
            of("a", None, "x"),
            of("b", None, "x"),
            of("a", Some(""), "x"),
            of("a", Some("x"), ""),
            of("a", None, "y"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{index}");
        }
        assert_eq!(of("a", Some("k"), "x"), of("a", Some("k"), "x"));
    }
}
