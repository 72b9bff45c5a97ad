//! Cuts a torn last write off fjall's journal.
//!
//! After a power failure some pages of the last write may be on disk while others, written earlier, are not. fjall
//! cuts off a write whose end is missing; where the end is there and the middle is not, it refuses to open. Such a
//! write was never acknowledged, as fsync had not returned, so it may go, provided that nothing follows it. Damage
//! anywhere else is left alone and reported.
//!
//! The framing read here is that of fjall's disk format 3: a start (tag 1, item count, sequence number), items (tag 2),
//! cleared keyspaces (tag 4), and an end (tag 3, xxh3 of items and cleared keyspaces, magic bytes).

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::error::LogError;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const MAGIC: &[u8] = b"FJL\x03";
const START_BYTES: usize = 1 + 4 + 8;
const END_BYTES: usize = 1 + 8 + MAGIC.len();
const CLEAR_BYTES: usize = 1 + 8;
/// Tag, value type, compression, keyspace, key length, value length, stored value length.
const ITEM_BYTES: usize = 1 + 1 + 1 + 8 + 2 + 4 + 4;

/// Truncates the newest journal to its last whole write, if what comes after is one damaged write.
pub(super) fn cut_torn_tail(directory: &Path) -> Result<(), LogError> {
    let io = |error: std::io::Error| LogError::Unavailable(format!("{}: {error}", directory.display()));
    let Some(path) = newest_journal(directory).map_err(io)? else { return Ok(()) };
    let journal = fs::read(&path).map_err(io)?;
    let whole = whole_writes(&journal);
    if holds_whole_write(&journal[whole..]) {
        let place = format!("{}: write at byte {whole}, with later ones behind it", path.display());
        return Err(LogError::Corrupt(place));
    }
    tracing::warn!(journal = %path.display(), at = whole, "cutting a torn last write off the journal");
    let file = OpenOptions::new().write(true).open(&path).map_err(io)?;
    file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(io)
}

fn newest_journal(directory: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".jnl"));
        if let Some(number) = name.and_then(|number| number.parse::<u64>().ok()) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Length of the leading part that is made of whole writes with right checksums.
fn whole_writes(journal: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = whole_write(&journal[at..]) {
        at += length;
    }
    at
}

/// Whether a whole write with a right checksum begins anywhere after the first byte.
fn holds_whole_write(journal: &[u8]) -> bool {
    (1..journal.len()).any(|at| whole_write(&journal[at..]).is_some())
}

/// Length of the whole write that the bytes begin with.
fn whole_write(bytes: &[u8]) -> Option<usize> {
    if *bytes.first()? != START || bytes.len() < START_BYTES {
        return None;
    }
    let count = u32::from_le_bytes(bytes[1..5].try_into().ok()?);
    let mut at = START_BYTES;
    for _ in 0..count {
        at += entry_length(bytes.get(at..)?)?;
    }
    let end = bytes.get(at..at + END_BYTES)?;
    let checksum = xxh3_64(&bytes[START_BYTES..at]).to_le_bytes();
    (end[0] == END && end[1..9] == checksum && end[9..] == *MAGIC).then_some(at + END_BYTES)
}

fn entry_length(entry: &[u8]) -> Option<usize> {
    match *entry.first()? {
        CLEAR => Some(CLEAR_BYTES),
        ITEM => {
            let header = entry.get(..ITEM_BYTES)?;
            let key = u16::from_le_bytes(header[11..13].try_into().ok()?);
            let value = u32::from_le_bytes(header[17..21].try_into().ok()?);
            Some(ITEM_BYTES + usize::from(key) + value as usize)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write of one item, framed by hand as fjall does it.
    fn write(value: &[u8]) -> Vec<u8> {
        let mut item = vec![ITEM, 0, 0];
        item.extend_from_slice(&1_u64.to_le_bytes());
        item.extend_from_slice(&3_u16.to_le_bytes());
        item.extend_from_slice(&(value.len() as u32).to_le_bytes());
        item.extend_from_slice(&(value.len() as u32).to_le_bytes());
        item.extend_from_slice(b"key");
        item.extend_from_slice(value);
        let mut write = vec![START, 1, 0, 0, 0];
        write.extend_from_slice(&9_u64.to_le_bytes());
        write.extend_from_slice(&item);
        write.push(END);
        write.extend_from_slice(&xxh3_64(&item).to_le_bytes());
        write.extend_from_slice(MAGIC);
        write
    }

    fn cut(journal: &[u8]) -> (Result<(), LogError>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("9.jnl"), b"older").unwrap();
        fs::write(directory.path().join("10.jnl"), journal).unwrap();
        let result = cut_torn_tail(directory.path());
        (result, fs::read(directory.path().join("10.jnl")).unwrap())
    }

    #[test]
    fn a_damaged_last_write_goes_and_the_ones_before_it_stay() {
        let whole = [write(b"one"), write(b"two")].concat();
        for damaged in 0..write(b"three").len() {
            let mut last = write(b"three");
            last[damaged] ^= 0x40;
            // The sequence number is not covered by the checksum; nothing can tell that it was damaged.
            if (5..START_BYTES).contains(&damaged) {
                continue;
            }
            let (result, left) = cut(&[whole.clone(), last, vec![0; 100]].concat());
            assert_eq!(result, Ok(()), "byte {damaged}");
            assert_eq!(left, whole, "byte {damaged}");
        }
    }

    #[test]
    fn damage_with_whole_writes_behind_it_is_reported_and_left_alone() {
        let mut journal = [write(b"one"), write(b"two"), write(b"three")].concat();
        let at = write(b"one").len() + START_BYTES + ITEM_BYTES;
        journal[at] ^= 1;
        let (result, left) = cut(&journal);
        assert!(matches!(result, Err(LogError::Corrupt(_))), "{result:?}");
        assert_eq!(left, journal);
    }
}
