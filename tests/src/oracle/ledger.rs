//! What was sent and what was acknowledged: in memory for the judge, and in a file for people.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use anyhow::Result;

/// What is sent; each is counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Event,
    Page,
    Contribution,
}

/// How far one of them got. It only ever goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    Unsent,
    Sent,
    /// The only request with it was refused.
    Refused,
    Acknowledged,
}

/// The producer's record.
pub struct Ledger {
    fates: [Vec<AtomicU8>; 3],
    /// Requests that were acknowledged once and sent again.
    pub repeated: AtomicU64,
    answers: Mutex<BTreeMap<String, u64>>,
    file: Mutex<BufWriter<File>>,
    started: Instant,
}

impl Ledger {
    /// For so many events, page events and contributions; a line a request goes to `file`.
    pub fn new(counts: [u64; 3], file: &Path) -> Result<Self> {
        Ok(Self {
            fates: counts.map(|count| (0..count).map(|_| AtomicU8::new(0)).collect()),
            repeated: AtomicU64::new(0),
            answers: Mutex::default(),
            file: Mutex::new(BufWriter::new(File::create(file)?)),
            started: Instant::now(),
        })
    }

    /// They are about to be sent.
    pub fn sending(&self, kind: Kind, numbers: &[u64]) {
        self.raise(kind, numbers, Fate::Sent);
    }

    /// Their request, the only one, was refused.
    pub fn refused(&self, kind: Kind, numbers: &[u64]) {
        self.raise(kind, numbers, Fate::Refused);
    }

    /// Their request was acknowledged by `whom`.
    pub fn acknowledged(&self, kind: Kind, numbers: &[u64], whom: &str) {
        self.raise(kind, numbers, Fate::Acknowledged);
        self.answered(kind, numbers, whom, "acknowledged");
    }

    /// What a request to `whom` came to, for people.
    pub fn answered(&self, kind: Kind, numbers: &[u64], whom: &str, answer: &str) {
        *self.answers().entry(answer.to_owned()).or_default() += 1;
        let (first, last) = (numbers.first().unwrap_or(&0), numbers.last().unwrap_or(&0));
        let at = self.started.elapsed().as_secs_f64();
        let mut file = self.file.lock().expect("nobody panics while holding it");
        // The test does not depend on it.
        let _ = writeln!(file, "{at:.3} {kind:?} {first}-{last}, {} to {whom}: {answer}", numbers.len());
    }

    /// How often each answer came.
    pub fn answers(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.answers.lock().expect("nobody panics while holding it")
    }

    /// How many there are to send.
    pub fn count(&self, kind: Kind) -> u64 {
        self.fates[kind as usize].len() as u64
    }

    /// How far this one got; what there is no such thing of was never sent.
    pub fn fate(&self, kind: Kind, number: u64) -> Fate {
        let fate = self.fates[kind as usize].get(number as usize);
        match fate.map(|fate| fate.load(Ordering::Acquire)) {
            None | Some(0) => Fate::Unsent,
            Some(1) => Fate::Sent,
            Some(2) => Fate::Refused,
            Some(_) => Fate::Acknowledged,
        }
    }

    /// How many got as far as this.
    pub fn reached(&self, kind: Kind, fate: Fate) -> u64 {
        (0..self.count(kind)).filter(|number| self.fate(kind, *number) >= fate).count() as u64
    }

    /// Writes out what people may want to read.
    pub fn flush(&self) -> Result<()> {
        Ok(self.file.lock().expect("nobody panics while holding it").flush()?)
    }

    fn raise(&self, kind: Kind, numbers: &[u64], fate: Fate) {
        for number in numbers {
            self.fates[kind as usize][*number as usize].fetch_max(fate as u8, Ordering::AcqRel);
        }
    }
}
