//! What a service refused before it became a record of its own: dead letters of the log, as rows of the table `dead_letters`.

use tally_eventlog::LogRecord;
use tally_schemas::{DeadLetter, DropReason, Framing, topics};

use super::dead_letters::{self, DeadLetters, TABLE, reason_of};
use super::{Fold, Folded, Folder, RawTable};

/// Folds the topic of dead letters.
pub struct RefusedFolder;

impl Folder for RefusedFolder {
    fn topic(&self) -> &'static str {
        topics::DEAD_LETTERS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[TABLE]
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        &[dead_letters::RAW]
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        Box::new(RefusedFold {
            letters: DeadLetters::new(self.topic(), partition),
            folded: Folded::default(),
        })
    }
}

struct RefusedFold {
    letters: DeadLetters,
    folded: Folded,
}

impl Fold for RefusedFold {
    /// Whoever refused the input has counted the drop; an unreadable letter is a drop of its own.
    fn add(&mut self, record: &LogRecord) {
        match DeadLetter::decode_framed(Framing::SingleObject, &record.value) {
            Ok(letter) => {
                self.folded.received_at(letter.recorded_at);
                self.letters.add_letter(&letter);
            }
            Err(error) => {
                let reason: DropReason = reason_of(&error);
                *self.folded.drops.entry(reason).or_default() += 1;
                self.letters.add(record, reason, &error.to_string());
            }
        }
    }

    fn finish(self: Box<Self>) -> Folded {
        Folded { inserts: self.letters.finish().collect(), ..self.folded }
    }
}
