//! Recounting: the rows that the processor derives, once more from the raw rows that they are derived of. `verify` compares
//! them, `rebuild` puts them in place. Counters are folded here by the same definitions, all else is said in SQL.

mod compare;
mod derived;
mod fold;
mod lost;
mod missing;
mod properties;
mod raw;
mod rebuild;
mod replay;
mod staging;
mod verify;

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};
use tally_eventlog::LogError;
use tally_schemas::Matcher;
use tally_store::{InsertError, Store, StoreError};

pub use compare::Difference;
pub use missing::Source;
pub use rebuild::{Rebuilt, Selection, rebuild};
pub use replay::{Replayed, Stretch, raw_topic, replay};
pub use verify::{Report, verify};

/// Days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    pub from: Date,
    pub to: Date,
}

impl Days {
    /// All that the tables can hold.
    pub const ALL: Self = Self { from: date(1970, 1, 1), to: date(2149, 6, 6) };

    /// A condition on a column of days.
    fn condition(self, column: &str) -> String {
        format!("{column} BETWEEN toDate('{}') AND toDate('{}')", self.from, self.to)
    }

    /// The days as `YYYYMMDD`.
    fn dates(self) -> RangeInclusive<u32> {
        let number = |date: Date| {
            let [year, month, day] =
                [date.year().into(), date.month().into(), date.day().into()].map(i32::unsigned_abs);
            (year * 100 + month) * 100 + day
        };
        number(self.from)..=number(self.to)
    }

    /// Their months as `YYYYMM`.
    fn months(self) -> RangeInclusive<u32> {
        let dates = self.dates();
        dates.start() / 100..=dates.end() / 100
    }
}

/// A recount: of what, and with what.
pub struct Recount<'a> {
    pub store: &'a Store,
    pub matcher: &'a Matcher,
    pub days: Days,
    /// Names the staging tables: the letters and digits of a `UUIDv7`, whose time keeps others from dropping them as left over.
    pub run: String,
    /// How long batches under way may take until what they lack is a difference.
    pub patience: Duration,
    /// Hears how far the work is.
    pub progress: &'a (dyn Fn(String) + Send + Sync),
}

/// Why a recount ended early.
#[derive(Debug, thiserror::Error)]
pub enum RecountError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Insert(#[from] InsertError),
    #[error(transparent)]
    Log(#[from] LogError),
    /// A row of `events` that no version of Tally has written.
    #[error("the properties of a raw event can't be read: {0}")]
    Properties(#[from] serde_json::Error),
}

impl From<clickhouse::error::Error> for RecountError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self::Store(error.into())
    }
}
