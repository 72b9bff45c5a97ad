//! A consumer group's position in one partition: the next offset, and the range that is being worked on.
//!
//! Both are stored in one atomic step. Kafka keeps the offset in its own field and the range in the metadata string
//! beside it, in the format of [`Position::metadata`].

use std::ops::Range;

/// Where a group is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// Everything before this offset is done with.
    pub next_offset: u64,
    /// A range announced, and perhaps partly worked on, by whoever committed this position. Whoever comes next does
    /// it again with the same boundaries before anything else.
    pub pending: Option<Range<u64>>,
}

/// A stored metadata string that this version doesn't understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't read the position's metadata {0:?}")]
pub struct MalformedPosition(pub String);

impl Position {
    /// Nothing pending, to go on at `next_offset`.
    pub fn at(next_offset: u64) -> Self {
        Self { next_offset, pending: None }
    }

    /// The oldest offset that is needed to go on from here: a pending range is read again from its start.
    pub fn oldest_needed(&self) -> u64 {
        self.pending.as_ref().map_or(self.next_offset, |pending| pending.start.min(self.next_offset))
    }

    /// The pending range as text, for the metadata beside an offset: `v1`, or `v1 pending=from-to` where `to` is the
    /// first offset after the range.
    pub fn metadata(&self) -> String {
        match &self.pending {
            Some(range) => format!("v1 pending={}-{}", range.start, range.end),
            None => "v1".to_owned(),
        }
    }

    /// Reads what [`Position::metadata`] wrote. No text at all, as other clients leave it, means nothing pending.
    pub fn from_metadata(next_offset: u64, metadata: &str) -> Result<Self, MalformedPosition> {
        let malformed = || MalformedPosition(metadata.to_owned());
        if metadata.is_empty() || metadata == "v1" {
            return Ok(Self::at(next_offset));
        }
        let (from, to) = metadata
            .strip_prefix("v1 pending=")
            .and_then(|range| range.split_once('-'))
            .ok_or_else(malformed)?;
        let from: u64 = from.parse().map_err(|_| malformed())?;
        let to: u64 = to.parse().map_err(|_| malformed())?;
        if from >= to {
            return Err(malformed());
        }
        Ok(Self { next_offset, pending: Some(from..to) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_back_as_written() {
        for pending in [None, Some(0..1), Some(7..19), Some(u64::MAX - 1..u64::MAX)] {
            let position = Position { next_offset: 7, pending };
            assert_eq!(Position::from_metadata(7, &position.metadata()), Ok(position));
        }
    }

    #[test]
    fn metadata_of_other_clients_means_nothing_pending() {
        assert_eq!(Position::from_metadata(3, ""), Ok(Position::at(3)));
    }

    #[test]
    fn unknown_metadata_is_refused() {
        for text in
            ["v2", "v1 pending=", "v1 pending=3", "v1 pending=5-5", "v1 pending=9-3", "v1 pending=a-b", "x"]
        {
            assert_eq!(Position::from_metadata(0, text), Err(MalformedPosition(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_pending_range_is_needed_from_its_start() {
        assert_eq!(Position { next_offset: 5, pending: Some(5..9) }.oldest_needed(), 5);
        assert_eq!(Position { next_offset: 9, pending: Some(5..9) }.oldest_needed(), 5);
        assert_eq!(Position::at(9).oldest_needed(), 9);
    }
}
