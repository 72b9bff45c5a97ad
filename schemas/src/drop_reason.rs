//! The closed list of reasons for which input is refused or set aside. Metrics and dead letters use no other.

use std::fmt;
use std::str::FromStr;

/// Why a piece of input was not counted, or counted only in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// No internal event of that name is defined: kept raw, not counted.
    UnknownEvent,
    /// An additional property the event's definition doesn't declare: kept raw, cut before counting.
    UndeclaredProperty,
    /// A rule needs an identifier the event doesn't have: that rule was skipped.
    MissingIdentifier,
    /// A rule sums `value`, and the event's value is absent, no number or too large: that rule was skipped.
    UnusableValue,
    /// Outside what is accepted (a missing name, a wrong type …): refused with an error.
    Invalid,
    /// Larger than the limits on bodies, events, strings or properties: refused with an error.
    Oversized,
    /// No project has the tracking key of a page event: refused with an error, or set aside where others of its request
    /// were kept.
    UnknownKey,
    /// The same `event_id` was already counted: a retry.
    Duplicate,
    /// The log's bytes are no valid record of the schema they name.
    Undecodable,
    /// The log's bytes name a schema this version of Tally doesn't know.
    UnknownSchema,
    /// The store refused the row for good.
    RejectedByStore,
    /// The log's retention deleted it before it was counted.
    Expired,
}

impl DropReason {
    /// Every reason.
    pub const ALL: &'static [Self] = &[
        Self::UnknownEvent,
        Self::UndeclaredProperty,
        Self::MissingIdentifier,
        Self::UnusableValue,
        Self::Invalid,
        Self::Oversized,
        Self::UnknownKey,
        Self::Duplicate,
        Self::Undecodable,
        Self::UnknownSchema,
        Self::RejectedByStore,
        Self::Expired,
    ];

    /// The reason's fixed name in metrics, dead letters and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEvent => "unknown_event",
            Self::UndeclaredProperty => "undeclared_property",
            Self::MissingIdentifier => "missing_identifier",
            Self::UnusableValue => "unusable_value",
            Self::Invalid => "invalid",
            Self::Oversized => "oversized",
            Self::UnknownKey => "unknown_key",
            Self::Duplicate => "duplicate",
            Self::Undecodable => "undecodable",
            Self::UnknownSchema => "unknown_schema",
            Self::RejectedByStore => "rejected_by_store",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no drop reason is called {0:?}")]
pub struct UnknownReason(pub String);

impl FromStr for DropReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let named = Self::ALL.iter().find(|reason| reason.as_str() == text);
        named.copied().ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_own_name() {
        for reason in DropReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("other".parse::<DropReason>().is_err());
    }
}
