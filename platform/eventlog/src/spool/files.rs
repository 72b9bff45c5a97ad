//! The spool's folder: numbered files of entries, written one after the other and removed once they are drained.
//!
//! What a crash has torn off at the end is cut away at the next start. After a failed write nothing is appended to that
//! file any more, as nobody knows what it holds beyond the entries that were confirmed.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::SpoolError;
use super::entry::{Entry, HEADER_BYTES};
use super::progress::{Place, Progress, ProgressFile};

const EXTENSION: &str = "spool";

/// The files, and the lock that keeps other processes out.
pub(super) struct Files {
    directory: PathBuf,
    segment_bytes: u64,
    segments: Mutex<Segments>,
    /// Held by whoever tries whether there is room.
    trying: Mutex<()>,
    /// Let go of when the file is closed.
    _lock: File,
}

#[derive(Default)]
struct Segments {
    /// Oldest first.
    all: VecDeque<Segment>,
    /// The last of them, while it can be written to.
    open: Option<File>,
    /// The number of the next one.
    next: u64,
}

#[derive(Clone, Copy)]
struct Segment {
    number: u64,
    /// Bytes of whole entries that are on disk.
    bytes: u64,
}

/// What was found at the start.
pub(super) struct Found {
    pub(super) progress: Progress,
    pub(super) progress_file: ProgressFile,
    pub(super) waiting: Waiting,
}

/// What is yet to be drained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// When the oldest was spooled, in milliseconds since the epoch.
    pub(super) oldest: Option<i64>,
}

/// An entry, and where it ends, which is where the next one begins unless that is in another file.
pub(super) type Located = (Entry, Place);

impl Files {
    /// Opens the folder and repairs what a crash has left. Blocks.
    pub(super) fn open(directory: &Path, segment_bytes: u64) -> Result<(Self, Found), SpoolError> {
        let failed = |error: io::Error| SpoolError::Disk(directory.to_owned(), error);
        create_private(directory).map_err(failed)?;
        let lock = private().write(true).create(true).truncate(true).open(directory.join("lock"));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (progress_file, progress) = ProgressFile::open(&directory.join("progress")).map_err(failed)?;
        let (segments, waiting) = recover(directory, &progress).map_err(failed)?;
        sync_directory(directory).map_err(failed)?;
        let files = Self {
            directory: directory.to_owned(),
            segment_bytes,
            segments: Mutex::new(segments),
            trying: Mutex::default(),
            _lock: lock,
        };
        Ok((files, Found { progress, progress_file, waiting }))
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.lock().all.iter().map(|segment| segment.bytes).sum()
    }

    /// Writes whole entries, and returns once they are on disk. Blocks.
    pub(super) fn append(&self, entries: &[u8]) -> io::Result<()> {
        let mut segments = self.segments.lock();
        let is_full = segments.all.back().is_some_and(|last| last.bytes >= self.segment_bytes);
        if is_full || segments.open.is_none() {
            self.begin_segment(&mut segments)?;
        }
        let Segments { all, open: Some(file), .. } = &mut *segments else { return Ok(()) };
        let last = all.back_mut().expect("the open file is the last segment");
        let written = file.write_all_at(entries, last.bytes).and_then(|()| file.sync_data());
        if written.is_ok() {
            last.bytes += entries.len() as u64;
            return Ok(());
        }
        // Where this fails, too, the next start finds what was torn, or entries that nobody was told of.
        let _ = file.set_len(last.bytes);
        segments.open = None;
        self.drop_empty(&mut segments);
        written
    }

    fn begin_segment(&self, segments: &mut Segments) -> io::Result<()> {
        let number = segments.next;
        let file = private().write(true).create_new(true).open(self.path(number))?;
        segments.next += 1;
        segments.all.push_back(Segment { number, bytes: 0 });
        segments.open = Some(file);
        sync_directory(&self.directory).inspect_err(|_| {
            segments.open = None;
            self.drop_empty(segments);
        })
    }

    fn drop_empty(&self, segments: &mut Segments) {
        let last = segments.all.back().copied();
        if let Some(Segment { number, bytes: 0 }) = last {
            segments.all.pop_back();
            self.remove(number);
        }
    }

    /// Reads entries from a place on: as many as fit into so many bytes, at least one if there is any. Blocks.
    pub(super) fn read(&self, from: Place, max_bytes: usize) -> io::Result<Vec<Located>> {
        let segment = {
            let segments = self.segments.lock();
            let has_more = |segment: &&Segment| {
                segment.number > from.segment || segment.number == from.segment && segment.bytes > from.offset
            };
            segments.all.iter().find(has_more).copied()
        };
        let Some(Segment { number, bytes }) = segment else { return Ok(Vec::new()) };
        let offset = if number == from.segment { from.offset } else { 0 };
        let file = File::open(self.path(number))?;
        let place = Place { segment: number, offset };
        let mut frames = read_frames(&file, offset, bytes, max_bytes)?;
        let mut decoded = decode(&frames, place);
        if decoded.entries.is_empty() {
            frames = vec![0; (bytes - offset) as usize];
            file.read_exact_at(&mut frames, offset)?;
            decoded = decode(&frames, place);
        }
        if decoded.entries.is_empty() {
            let (path, rest) = (self.path(number), decoded.rest);
            let reason = format!("no entry at {offset} of {}, {rest} bytes are left", path.display());
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        for Range { start, end } in decoded.damaged {
            keep_damaged(&self.path(number), offset + start as u64, &frames[start..end])?;
        }
        Ok(decoded.entries)
    }

    /// Removes the files of which everything is before the given place. Returns how many bytes they had. Blocks.
    pub(super) fn release(&self, at: Place) -> u64 {
        let mut segments = self.segments.lock();
        let mut freed = 0;
        let is_drained = |segment: &&Segment| {
            segment.number < at.segment || segment.number == at.segment && segment.bytes <= at.offset
        };
        while let Some(Segment { number, bytes }) = segments.all.front().filter(is_drained).copied() {
            segments.all.pop_front();
            self.remove(number);
            freed += bytes;
        }
        if segments.all.is_empty() {
            segments.open = None;
        }
        freed
    }

    /// Whether the disk takes so many bytes. Blocks.
    pub(super) fn try_room(&self, bytes: u64) -> io::Result<()> {
        // Where the disk hangs, one thread that hangs with it is enough.
        let Some(_trying) = self.trying.try_lock() else { return Err(ErrorKind::TimedOut.into()) };
        let path = self.directory.join("room");
        let file = private().write(true).create(true).truncate(true).open(&path)?;
        let written = file.write_all_at(&vec![0; bytes as usize], 0).and_then(|()| file.sync_data());
        fs::remove_file(&path)?;
        written
    }

    /// Plays a disk that does not answer until `waited` returns.
    #[cfg(test)]
    pub(super) fn hang(&self, waited: impl FnOnce()) {
        let _hanging = (self.segments.lock(), self.trying.lock());
        waited();
    }

    /// Keeps an entry that the log refuses for good where it is found again. Blocks.
    pub(super) fn set_aside(&self, entry: &Entry) -> io::Result<PathBuf> {
        let path = self.directory.join("refused");
        let file = private().append(true).create(true).open(&path)?;
        io::Write::write_all(&mut &file, &entry.encode())?;
        file.sync_all()?;
        sync_directory(&self.directory)?;
        Ok(path)
    }

    /// A file that is still there at the next start is removed then.
    fn remove(&self, number: u64) {
        let path = self.path(number);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "a drained file of the spool can't be removed");
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        path(&self.directory, number)
    }
}

/// For a file that its owner alone may read, because events are kept in it.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}.{EXTENSION}"))
}

/// What is left of an earlier run.
fn recover(directory: &Path, progress: &Progress) -> io::Result<(Segments, Waiting)> {
    let at = progress.at;
    let mut numbers = numbers(directory)?;
    numbers.sort_unstable();
    let last = numbers.last().copied().unwrap_or_default();
    let mut segments = Segments { next: last.max(at.segment) + 1, ..Segments::default() };
    let mut waiting = Waiting::default();
    for number in numbers {
        let path = path(directory, number);
        let offset = if number == at.segment { at.offset } else { 0 };
        let bytes =
            if number < at.segment { 0 } else { repair(&path, offset, number == last, &mut waiting)? };
        if bytes <= offset {
            fs::remove_file(&path)?;
        } else {
            segments.all.push_back(Segment { number, bytes });
        }
    }
    Ok((segments, waiting))
}

fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        numbers.extend(number.filter(|_| is_segment));
    }
    Ok(numbers)
}

/// Counts the entries from an offset on, and cuts off what comes after the last of them. Returns the length that is left.
fn repair(path: &Path, offset: u64, is_last: bool, waiting: &mut Waiting) -> io::Result<u64> {
    let content = fs::read(path)?;
    let begin = (offset as usize).min(content.len());
    let Decoded { entries, rest, .. } = decode(&content[begin..], Place::default());
    let bytes = content.len() - rest;
    waiting.bytes += entries.iter().map(|(entry, _)| entry.bytes() as u64).sum::<u64>();
    waiting.records += entries.iter().map(|(entry, _)| entry.records.len() as u64).sum::<u64>();
    waiting.oldest = waiting.oldest.or(entries.first().map(|(entry, _)| entry.spooled_at));
    if rest > 0 {
        if is_last && !Entry::lies_within(&content[bytes..]) {
            tracing::warn!(file = %path.display(), bytes = rest, "cut off what a crash left of an entry of the spool");
        } else {
            keep_damaged(path, bytes as u64, &content[bytes..])?;
        }
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(bytes as u64)?;
        file.sync_all()?;
    }
    Ok(bytes as u64)
}

/// Keeps what can't be read of a file, once.
fn keep_damaged(path: &Path, offset: u64, frames: &[u8]) -> io::Result<()> {
    let kept = path.with_extension(format!("{offset}.damaged"));
    let file = match private().write(true).create_new(true).open(&kept) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(()),
        opened => opened?,
    };
    let written = file.write_all_at(frames, 0).and_then(|()| file.sync_all());
    written.inspect_err(|_| drop(fs::remove_file(&kept)))?;
    tracing::error!(file = %kept.display(), bytes = frames.len(), "records of the spool are damaged; they were set aside");
    Ok(())
}

/// What a stretch of a file holds.
struct Decoded {
    entries: Vec<Located>,
    /// What is damaged between them.
    damaged: Vec<Range<usize>>,
    /// Bytes after the last of them.
    rest: usize,
}

fn decode(frames: &[u8], place: Place) -> Decoded {
    let (mut entries, mut damaged, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        if let Some((entry, length)) = Entry::decode(&frames[at..]) {
            at += length;
            entries.push((entry, Place { offset: place.offset + at as u64, ..place }));
        } else if let Some(length) = damaged_bytes(&frames[at..]) {
            damaged.push(at..at + length);
            at += length;
        } else {
            return Decoded { entries, damaged, rest: frames.len() - at };
        }
    }
}

/// How long the damaged entries at the beginning are; `None` where no whole one follows.
fn damaged_bytes(frames: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += Entry::frame_bytes(frames.get(at..)?)?;
        if Entry::decode(frames.get(at..)?).is_some() {
            return Some(at);
        }
    }
}

/// So many bytes of a file, or one entry if that is longer.
fn read_frames(file: &File, offset: u64, end: u64, max_bytes: usize) -> io::Result<Vec<u8>> {
    let left = (end - offset) as usize;
    let read = |bytes: usize| {
        let mut frames = vec![0; bytes.min(left)];
        file.read_exact_at(&mut frames, offset).map(|()| frames)
    };
    let frames = read(max_bytes.max(HEADER_BYTES))?;
    match Entry::frame_bytes(&frames) {
        Some(first) if first > frames.len() => read(first),
        _ => Ok(frames),
    }
}

/// For its owner alone, as events are kept in it.
fn create_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

/// A new file is there after a power failure only when its folder is on disk, too.
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use bytes::Bytes;

    use super::super::entry::{Fate, Spooled};
    use super::*;
    use crate::record::Record;

    fn entry(text: &str) -> Entry {
        let record = Record { key: None, value: Bytes::copy_from_slice(text.as_bytes()), timestamp: 1 };
        Entry { topic: "t".to_owned(), spooled_at: 5, records: vec![Spooled { record, fate: Fate::Unsent }] }
    }

    /// Where the next entry will lie.
    fn end(files: &Files) -> Place {
        let segments = files.segments.lock();
        let last = segments.all.back().expect("a file");
        Place { segment: last.number, offset: last.bytes }
    }

    fn open(folder: &Path) -> (Files, Found) {
        Files::open(folder, 100).unwrap()
    }

    fn texts(files: &Files, mut from: Place) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let entries = files.read(from, 70).unwrap();
            let Some((_, end)) = entries.last() else { return texts };
            from = *end;
            for (entry, _) in &entries {
                texts.push(String::from_utf8(entry.records[0].record.value.to_vec()).unwrap());
            }
        }
    }

    #[test]
    fn entries_are_read_in_order_after_a_restart_and_drained_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = open(folder.path());
        let all: Vec<String> = (0..12).map(|number| format!("record {number}")).collect();
        for text in &all {
            files.append(&entry(text).encode()).unwrap();
        }
        drop(files);
        let (files, found) = open(folder.path());
        assert_eq!(texts(&files, found.progress.at), all);
        assert_eq!(
            (found.waiting.records, found.waiting.bytes, found.waiting.oldest),
            (12, files.bytes(), Some(5))
        );
        files.append(&entry("after").encode()).unwrap();
        let middle = files.read(Place::default(), 1).unwrap()[0].1;
        files.release(middle);
        assert_eq!(texts(&files, middle).len(), 12);
        files.release(end(&files));
        assert_eq!((files.bytes(), numbers(folder.path()).unwrap()), (0, vec![]));
        files.append(&entry("anew").encode()).unwrap();
        assert_eq!(texts(&files, middle), ["anew"]);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_what_comes_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = open(folder.path());
        files.append(&entry("whole").encode()).unwrap();
        let Place { segment, offset } = end(&files);
        drop(files);
        let torn = entry("torn").encode();
        let file = OpenOptions::new().write(true).open(path(folder.path(), segment)).unwrap();
        file.write_all_at(&torn[..torn.len() - 1], offset).unwrap();
        let (files, found) = open(folder.path());
        assert_eq!(found.waiting.records, 1);
        files.append(&entry("later").encode()).unwrap();
        drop(files);
        let (files, found) = open(folder.path());
        assert_eq!(texts(&files, found.progress.at), ["whole", "later"]);
    }

    /// Writes entries, and changes one byte of the second, so far into it.
    fn damage_second(folder: &Path, texts: [&str; 3], at: u64) -> (Files, Found) {
        let (files, _) = open(folder);
        files.append(&entry(texts[0]).encode()).unwrap();
        let Place { segment, offset } = end(&files);
        for text in &texts[1..] {
            files.append(&entry(text).encode()).unwrap();
        }
        drop(files);
        let file = OpenOptions::new().write(true).open(path(folder, segment)).unwrap();
        file.write_all_at(b"?", offset + at).unwrap();
        open(folder)
    }

    fn damaged(folder: &Path) -> Vec<Vec<u8>> {
        let paths = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "damaged"))
            .map(|path| fs::read(path).unwrap())
            .collect()
    }

    #[test]
    fn a_damaged_entry_is_passed_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (files, found) = damage_second(folder.path(), ["1", "second", "3"], 30);
        assert_eq!(found.waiting.records, 2);
        for _ in 0..2 {
            assert_eq!(texts(&files, found.progress.at), ["1", "3"]);
        }
        let kept = damaged(folder.path());
        assert_eq!(kept.len(), 1);
        assert!(kept[0].ends_with(b"second"));
        files.release(end(&files));
        assert_eq!((files.bytes(), numbers(folder.path()).unwrap()), (0, vec![]));
    }

    #[test]
    fn what_lies_behind_an_entry_without_a_length_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (files, found) = damage_second(folder.path(), ["1", "second", "third"], 2);
        assert_eq!(texts(&files, found.progress.at), ["1"]);
        let kept = damaged(folder.path());
        assert_eq!(kept.len(), 1);
        assert!(kept[0].ends_with(b"third"));
    }

    #[test]
    fn files_are_their_owners_alone_in_any_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (files, _) = open(folder.path());
        files.append(&entry("private").encode()).unwrap();
        files.set_aside(&entry("refused")).unwrap();
        let mut names = Vec::new();
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            names.push(name);
        }
        assert_eq!(names.len(), 4, "{names:?}");
    }

    #[test]
    fn a_folder_is_one_processes_own() {
        let folder = tempfile::tempdir().unwrap();
        let (files, _) = open(folder.path());
        assert!(matches!(Files::open(folder.path(), 100), Err(SpoolError::InUse(_))));
        drop(files);
        open(folder.path());
    }
}
