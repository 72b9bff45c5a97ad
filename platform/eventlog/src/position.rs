//! A consumer group's position in one partition: the next offset, and the range that is being worked on.
//!
//! Both are stored in one atomic step. Kafka keeps the offset in its own field and the range in the metadata string
//! beside it, in the format of [`Position::metadata`].

use std::fmt::Write;
use std::ops::Range;

/// Where a group is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// Everything before this offset is done with.
    pub next_offset: u64,
    /// A range announced, and perhaps partly worked on, by whoever committed this position. Whoever comes next does
    /// it again with the same boundaries before anything else.
    pub pending: Option<Range<u64>>,
    /// Offsets of the pending range, in ascending order, that are to be left out when it is worked on.
    pub without: Vec<u64>,
}

/// A stored metadata string that this version doesn't understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("can't read the position's metadata {0:?}")]
pub struct MalformedPosition(pub String);

impl Position {
    /// The longest metadata that brokers take unless they are told otherwise (`offset.metadata.max.bytes`).
    pub const LONGEST_METADATA: usize = 4096;

    /// Nothing pending, to go on at `next_offset`.
    pub fn at(next_offset: u64) -> Self {
        Self { next_offset, ..Self::default() }
    }

    /// A pending range of which nothing is left out.
    pub fn pending(next_offset: u64, range: Range<u64>) -> Self {
        Self { next_offset, pending: Some(range), without: Vec::new() }
    }

    /// The oldest offset that is needed to go on from here: a pending range is read again from its start.
    pub fn oldest_needed(&self) -> u64 {
        self.pending.as_ref().map_or(self.next_offset, |pending| pending.start.min(self.next_offset))
    }

    /// Whether it can be stored: what is left out may be too much for the metadata.
    pub fn fits(&self) -> bool {
        self.metadata().len() <= Self::LONGEST_METADATA
    }

    /// The pending range as text, for the metadata beside an offset: `v1`, or `v1 pending=from-to` where `to` is the
    /// first offset after the range, or `v1 pending=from-to without=a+b+c` where `a`, `a+b` and `a+b+c` are left out.
    pub fn metadata(&self) -> String {
        let Some(range) = &self.pending else { return "v1".to_owned() };
        let mut text = format!("v1 pending={}-{}", range.start, range.end);
        let mut previous = 0;
        for (index, offset) in self.without.iter().enumerate() {
            let before = if index == 0 { " without=" } else { "+" };
            write!(text, "{before}{}", offset - previous).expect("a string takes everything");
            previous = *offset;
        }
        text
    }

    /// Reads what [`Position::metadata`] wrote. No text at all, as other clients leave it, means nothing pending.
    pub fn from_metadata(next_offset: u64, metadata: &str) -> Result<Self, MalformedPosition> {
        if metadata.is_empty() || metadata == "v1" {
            return Ok(Self::at(next_offset));
        }
        let read = || {
            let text = metadata.strip_prefix("v1 pending=")?;
            let (range, without) = text.split_once(" without=").unzip();
            let range = read_range(range.unwrap_or(text))?;
            let without = without.map_or(Some(Vec::new()), |gaps| read_offsets(gaps, &range))?;
            Some(Self { next_offset, pending: Some(range), without })
        };
        read().ok_or_else(|| MalformedPosition(metadata.to_owned()))
    }
}

fn read_range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once('-')?;
    let range: Range<u64> = from.parse().ok()?..to.parse().ok()?;
    (range.start < range.end).then_some(range)
}

fn read_offsets(text: &str, range: &Range<u64>) -> Option<Vec<u64>> {
    let mut offsets: Vec<u64> = Vec::new();
    for gap in text.split('+') {
        let previous = offsets.last().copied();
        let offset = previous.unwrap_or(0).checked_add(gap.parse().ok()?)?;
        if previous == Some(offset) || !range.contains(&offset) {
            return None;
        }
        offsets.push(offset);
    }
    Some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_reads_back_as_written() {
        for pending in [None, Some(0..1), Some(7..19), Some(u64::MAX - 1..u64::MAX)] {
            let position = Position { next_offset: 7, pending, without: Vec::new() };
            assert_eq!(Position::from_metadata(7, &position.metadata()), Ok(position));
        }
        for without in [vec![7], vec![18], vec![7, 8, 18], (7..19).collect()] {
            let position = Position { without, ..Position::pending(7, 7..19) };
            assert_eq!(Position::from_metadata(7, &position.metadata()), Ok(position));
        }
    }

    #[test]
    fn what_is_left_out_is_written_as_the_distances_between() {
        let position =
            Position { without: vec![1_000_006, 1_000_008], ..Position::pending(1, 1_000_005..1_000_009) };
        assert_eq!(position.metadata(), "v1 pending=1000005-1000009 without=1000006+2");
    }

    #[test]
    fn a_position_that_leaves_out_too_much_does_not_fit() {
        let leaving_out =
            |count| Position { without: (0..count).collect(), ..Position::pending(0, 0..9_999) };
        assert!(leaving_out(2_035).fits());
        assert!(!leaving_out(2_036).fits());
    }

    #[test]
    fn metadata_of_other_clients_means_nothing_pending() {
        assert_eq!(Position::from_metadata(3, ""), Ok(Position::at(3)));
    }

    #[test]
    fn unknown_metadata_is_refused() {
        for text in [
            "v2",
            "v1 pending=",
            "v1 pending=3",
            "v1 pending=5-5",
            "v1 pending=9-3",
            "v1 pending=a-b",
            "x",
            "v1 without=3",
            "v1 pending=5-9 without=",
            "v1 pending=5-9 without=4",
            "v1 pending=5-9 without=9",
            "v1 pending=5-9 without=6+0",
            "v1 pending=5-9 without=6+",
            "v1 pending=5-9 without=6+18446744073709551615",
        ] {
            assert_eq!(Position::from_metadata(0, text), Err(MalformedPosition(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_pending_range_is_needed_from_its_start() {
        assert_eq!(Position::pending(5, 5..9).oldest_needed(), 5);
        assert_eq!(Position::pending(9, 5..9).oldest_needed(), 5);
        assert_eq!(Position::at(9).oldest_needed(), 9);
    }
}
