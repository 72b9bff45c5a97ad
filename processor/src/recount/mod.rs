//! Recounting: the rows that the processor derives, once more from the raw rows that they are derived of. `verify` compares
//! them, `rebuild` puts them in place. Counters are folded here by the same definitions, all else is said in SQL.

mod compare;
mod derived;
mod fold;
mod properties;
mod raw;
mod staging;
mod verify;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tally_store::{InsertError, StoreError};

pub use compare::Difference;
pub use verify::{Report, Verification, verify};

/// Days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    pub from: Date,
    pub to: Date,
}

impl Days {
    /// All that the tables can hold.
    pub const ALL: Self = Self { from: jiff::civil::date(1970, 1, 1), to: jiff::civil::date(2149, 6, 6) };

    /// A condition on a column of days.
    fn condition(&self, column: &str) -> String {
        format!("{column} BETWEEN toDate('{}') AND toDate('{}')", self.from, self.to)
    }

    /// A condition on the months of a table, as `YYYYMM`.
    fn months(&self) -> std::ops::RangeInclusive<u32> {
        let month =
            |date: Date| u32::from(date.year().unsigned_abs()) * 100 + u32::from(date.month().unsigned_abs());
        month(self.from)..=month(self.to)
    }
}

/// Why a recount ended early.
#[derive(Debug, thiserror::Error)]
pub enum RecountError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Insert(#[from] InsertError),
    /// A row of `events` that no version of Tally has written.
    #[error("the properties of a raw event can't be read: {0}")]
    Properties(#[from] serde_json::Error),
}

impl From<clickhouse::error::Error> for RecountError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}
