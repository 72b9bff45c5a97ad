//! How far the spool is drained, and what of it is being sent: written before anything is sent, so that after a crash it
//! is known which records the log may have.
//!
//! The file has two slots that are written in turns, in place: a torn write leaves the other one, and none needs room
//! that a full disk would not give.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::files::private;

/// A place in the spool: a file's number and how far into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Everything before `at` is in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    pub(super) at: Place,
    /// From `at` on, what may be in the log.
    pub(super) sending: Option<Sending>,
}

/// Records under way to the log, and all that is needed to tell which partition each goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sending {
    pub(super) to: Place,
    /// How many partitions the topic has.
    pub(super) partitions: u32,
    /// Where records without a key go.
    pub(super) keyless: u32,
}

const SLOT_BYTES: usize = 512;
/// Checksum, sequence number and length.
const SLOT_HEADER_BYTES: usize = 18;

/// The file.
pub(super) struct ProgressFile {
    file: File,
    /// Of the newest slot.
    sequence: u64,
}

impl ProgressFile {
    /// Opens the file, and reads what it says; a new one says that nothing is drained.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Progress)> {
        let file = private().read(true).write(true).create(true).truncate(false).open(path)?;
        if file.metadata()?.len() < 2 * SLOT_BYTES as u64 {
            // Room for both slots, for good.
            file.write_all_at(&[0; 2 * SLOT_BYTES], 0)?;
            file.sync_all()?;
        }
        let mut slots = [0; 2 * SLOT_BYTES];
        file.read_exact_at(&mut slots, 0)?;
        let newest = slots.chunks(SLOT_BYTES).filter_map(read_slot).max_by_key(|(sequence, _)| *sequence);
        let (sequence, progress) = newest.unwrap_or_default();
        Ok((Self { file, sequence }, progress))
    }

    /// Returns once it is on disk.
    pub(super) fn write(&mut self, progress: &Progress) -> io::Result<()> {
        let sequence = self.sequence + 1;
        let slot = write_slot(sequence, progress)?;
        self.file.write_all_at(&slot, sequence % 2 * SLOT_BYTES as u64)?;
        self.file.sync_data()?;
        self.sequence = sequence;
        Ok(())
    }
}

fn write_slot(sequence: u64, progress: &Progress) -> io::Result<[u8; SLOT_BYTES]> {
    let text = serde_json::to_vec(progress)?;
    let mut slot = [0; SLOT_BYTES];
    slot[8..16].copy_from_slice(&sequence.to_le_bytes());
    slot[16..18].copy_from_slice(&(text.len() as u16).to_le_bytes());
    slot[SLOT_HEADER_BYTES..SLOT_HEADER_BYTES + text.len()].copy_from_slice(&text);
    let checksum = xxh3_64(&slot[8..]);
    slot[..8].copy_from_slice(&checksum.to_le_bytes());
    Ok(slot)
}

fn read_slot(slot: &[u8]) -> Option<(u64, Progress)> {
    let number = |from: usize| Some(u64::from_le_bytes(slot.get(from..from + 8)?.try_into().ok()?));
    if number(0)? != xxh3_64(slot.get(8..)?) {
        return None;
    }
    let length = usize::from(u16::from_le_bytes(slot.get(16..18)?.try_into().ok()?));
    let text = slot.get(SLOT_HEADER_BYTES..SLOT_HEADER_BYTES + length)?;
    Some((number(8)?, serde_json::from_slice(text).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Progress {
        let most = Place { segment: u64::MAX, offset: u64::MAX };
        let sending = Sending { to: most, partitions: u32::MAX, keyless: u32::MAX };
        Progress { at: Place { segment: 1, offset }, sending: Some(sending) }
    }

    #[test]
    fn the_newest_progress_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        assert_eq!(ProgressFile::open(&path).unwrap().1, Progress::default());
        for offset in 1..5 {
            let (mut file, _) = ProgressFile::open(&path).unwrap();
            file.write(&at(offset)).unwrap();
            assert_eq!(ProgressFile::open(&path).unwrap().1, at(offset));
        }
    }

    #[test]
    fn a_torn_write_leaves_the_progress_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let (mut file, _) = ProgressFile::open(&path).unwrap();
        file.write(&at(1)).unwrap();
        file.write(&at(2)).unwrap();
        // The second slot written is the first in the file.
        file.file.write_all_at(b"torn", 30).unwrap();
        let (mut file, found) = ProgressFile::open(&path).unwrap();
        assert_eq!(found, at(1));
        file.write(&at(3)).unwrap();
        assert_eq!(ProgressFile::open(&path).unwrap().1, at(3));
    }
}
