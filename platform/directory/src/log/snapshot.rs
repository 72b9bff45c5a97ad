//! The file that saves a process from reading the whole log: a header, the state as one change a line, and an end.
//!
//! It is written while changes go on, so that some of them are in it although they come after the position it names.
//! Folding them again, from that position on, does not harm. It comes into place as a whole, and only once it is on disk.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::fold::Fold;
use crate::{Change, Cursor, State};

const FORMAT: u32 = 1;
/// Changes read out of the state in one go, during which nothing is written to it.
const CHUNK: usize = 1000;
/// Bytes of lines understood in one go.
const BLOCK: usize = 256 << 10;
/// Blocks on their way between the two threads that read a file.
const BLOCKS: usize = 8;

/// A state as it was put aside.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// Where to read on in the log.
    pub(super) position: u64,
    pub(super) base: u64,
    pub(super) gaps: bool,
    pub(super) state: State,
}

/// Why a snapshot file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line} can't be read: {source}")]
    Line { line: u64, source: serde_json::Error },
    #[error("the file's format is {0}, and this version reads {FORMAT}")]
    Format(u32),
    #[error("the file is cut off")]
    CutOff,
}

impl SnapshotError {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    position: u64,
    base: u64,
    gaps: bool,
}

/// The last line. A file without it was cut off.
#[derive(Serialize, Deserialize)]
struct End {
    changes: u64,
}

/// Writes what the state holds by and by; `fold` was taken before. The number of changes.
pub(super) fn write(file: &Path, fold: &Fold, state: &RwLock<State>) -> io::Result<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let part = NamedTempFile::new_in(folder)?;
    let mut out = BufWriter::with_capacity(BLOCK, part);
    let header = Header { format: FORMAT, position: fold.next(), base: fold.base(), gaps: fold.gaps() };
    put_line(&mut out, &header)?;
    let mut cursor = Cursor::default();
    let mut written = 0;
    loop {
        let (changes, next) = state.read().changes_after(&cursor, CHUNK);
        if changes.is_empty() {
            break;
        }
        changes.iter().try_for_each(|change| put_line(&mut out, change))?;
        written += changes.len() as u64;
        cursor = next;
    }
    put_line(&mut out, &End { changes: written })?;
    let part = out.into_inner()?;
    part.as_file().sync_all()?;
    part.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()?;
    Ok(written)
}

fn put_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads a whole file. One thread understands the lines while this one fills the state.
pub(super) fn read(file: &Path) -> Result<Snapshot, SnapshotError> {
    let mut input = BufReader::with_capacity(BLOCK, File::open(file)?);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let header: Header =
        serde_json::from_str(&line).map_err(|source| SnapshotError::Line { line: 1, source })?;
    if header.format != FORMAT {
        return Err(SnapshotError::Format(header.format));
    }
    let (blocks, understood) = sync_channel(BLOCKS);
    let mut state = State::default();
    let complete = thread::scope(|scope| {
        scope.spawn(move || understand(input, &blocks));
        fill(&mut state, &understood)
    })?;
    if !complete {
        return Err(SnapshotError::CutOff);
    }
    Ok(Snapshot { position: header.position, base: header.base, gaps: header.gaps, state })
}

/// What a block of lines holds.
struct Block {
    changes: Vec<Change>,
    end: Option<End>,
}

/// Applies what comes. Whether the end came, and nothing was missing before it.
fn fill(state: &mut State, blocks: &Receiver<Result<Block, SnapshotError>>) -> Result<bool, SnapshotError> {
    let mut applied = 0;
    let mut end = None;
    for block in blocks {
        let block = block?;
        applied += block.changes.len() as u64;
        for change in block.changes {
            state.apply(change);
        }
        end = end.or(block.end);
    }
    Ok(end.is_some_and(|end| end.changes == applied))
}

/// Reads the lines after the header until their end, or until nobody takes them any more.
fn understand(mut input: impl Read, blocks: &SyncSender<Result<Block, SnapshotError>>) {
    let mut buffer = Vec::with_capacity(2 * BLOCK);
    let mut line = 1;
    loop {
        let taken = input.by_ref().take(BLOCK as u64).read_to_end(&mut buffer);
        let whole = buffer.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let block = match taken {
            Ok(0) => return,
            Ok(_) => understand_block(&buffer[..whole], &mut line),
            Err(error) => Err(error.into()),
        };
        buffer.drain(..whole);
        let failed = block.is_err();
        if blocks.send(block).is_err() || failed {
            return;
        }
    }
}

fn understand_block(lines: &[u8], number: &mut u64) -> Result<Block, SnapshotError> {
    let mut block = Block { changes: Vec::new(), end: None };
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        *number += 1;
        // A change is named by what it is about; only the end says how many there were.
        match serde_json::from_slice(line) {
            Ok(change) => block.changes.push(change),
            Err(source) => match serde_json::from_slice(line) {
                Ok(end) => block.end = Some(end),
                Err(_) => return Err(SnapshotError::Line { line: *number, source }),
            },
        }
    }
    Ok(block)
}
