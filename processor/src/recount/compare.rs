//! Compares a derived table with its recount. Processors may be writing: what the table held before the recount began must
//! not be more than the recount, and what it holds afterwards must not be less. Where nothing was written in between, that is
//! equality, and all of the contents are compared.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tally_store::{Store, StoreError};

use super::Days;
use super::derived::{Derived, Partitioning, rendered};
use crate::fold::counters::UNIQUES;

/// The most differences of a table that are listed.
const MOST_LISTED: usize = 1_000;

/// More than fits into so many bytes is put on disk meanwhile.
pub const SPILLING: &str =
    "max_bytes_before_external_group_by = 268435456, max_bytes_before_external_sort = 268435456";

/// Something that is not what the raw rows amount to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub table: String,
    /// Its day; empty where it belongs to none.
    pub day: String,
    /// The counter, the session, or what else there is of the table.
    pub what: String,
    /// What the table holds; empty for nothing.
    pub kept: String,
    /// What it should hold; empty for nothing.
    pub recounted: String,
}

/// The differences of a table.
#[derive(Debug, Default)]
pub struct Found {
    /// The first of them.
    pub listed: Vec<Difference>,
    /// All of them.
    pub count: u64,
    /// How many may go away once the batches under way are written.
    pub lacking: u64,
    /// How many things changed between the two readings, so that only bounds were compared.
    pub moving: u64,
}

impl Found {
    /// Takes in what was found elsewhere in the same table.
    pub fn add(&mut self, other: Self) {
        self.listed.extend(other.listed);
        self.count += other.count;
        self.lacking += other.lacking;
        self.moving += other.moving;
    }

    /// Whether any of what is listed lies in the partition.
    pub fn concerns(&self, derived: &Derived, partition: &str) -> bool {
        let lies_in = |found: &Difference| {
            let digits: String = found.day.split('-').collect();
            digits.starts_with(partition)
        };
        derived.partitioning == Partitioning::Nothing || self.listed.iter().any(lies_in)
    }
}

/// The three readings of a table.
pub struct Sides<'a> {
    pub before: &'a str,
    pub recounted: &'a str,
    pub now: &'a str,
}

#[derive(Row, Deserialize)]
struct FoundRow {
    day: String,
    what: String,
    kept: String,
    recounted: String,
    is_difference: bool,
    differences: u64,
    lacking: u64,
    moving: u64,
}

/// Compares a table whose contents are texts. `known` is the table of the counters that can be recounted.
pub async fn contents(
    store: &Store,
    derived: &Derived,
    sides: &Sides<'_>,
    known: &str,
    days: Days,
) -> Result<Found, StoreError> {
    let side = |number: u8, table: &str| {
        let summary = rendered(derived.summary, table, known, days);
        format!(
            "SELECT {number} AS side, first, last, what, toUInt64(measure) AS measure, contents FROM ({summary})"
        )
    };
    let key = derived.key;
    let sql = format!(
        "SELECT toString(min(first)) AS day, what, \
            anyIf(contents, side = 2) AS kept, anyIf(contents, side = 1) AS recounted, anyIf(contents, side = 0) AS earlier, \
            maxIf(measure, side = 0) AS m0, maxIf(measure, side = 1) AS m1, maxIf(measure, side = 2) AS m2, \
            earlier != kept AS is_moving, \
            if(is_moving, NOT (m0 <= m1 AND m1 <= m2), recounted != kept) AS is_difference, \
            is_difference AND m1 > m2 AS is_lacking \
        FROM ({} UNION ALL {} UNION ALL {}) GROUP BY {key} HAVING max(last) >= toDate('{}') AND min(first) <= toDate('{}')",
        side(0, sides.before),
        side(1, sides.recounted),
        side(2, sides.now),
        days.from,
        days.to,
    );
    found(store, derived.table, &sql).await
}

/// Compares the sets of identifiers. A set is part of another when adding it changes nothing.
pub async fn uniques(
    store: &Store,
    sides: &Sides<'_>,
    known: &str,
    month: u32,
    days: Days,
) -> Result<Found, StoreError> {
    let side = |number: u8, table: &str| {
        format!(
            "SELECT {number} AS side, day, counter, state FROM {table} \
             WHERE counter IN {known} AND toYYYYMM(day) = {month} AND {}",
            days.condition("day")
        )
    };
    let merged = |sides: &str| format!("uniqCombined64MergeIf(state, side IN ({sides}))");
    let sql = format!(
        "SELECT toString(key_day) AS day, what, \
            if(now = 0, '', concat(toString(now), if(now = again AND both_now != now, concat(' of ', toString(both_now)), ''))) AS kept, \
            if(again = 0, '', toString(again)) AS recounted, \
            both_now != now AS is_lacking, both_before != again AS is_more, \
            is_lacking OR is_more AS is_difference, both_sides != earlier AS is_moving \
        FROM \
        ( \
            SELECT day AS key_day, toString(counter) AS what, {} AS earlier, {} AS again, {} AS now, {} AS both_before, {} AS both_now, \
                {} AS both_sides \
            FROM ({} UNION ALL {} UNION ALL {}) GROUP BY day, counter \
        )",
        merged("0"),
        merged("1"),
        merged("2"),
        merged("0, 1"),
        merged("1, 2"),
        merged("0, 2"),
        side(0, sides.before),
        side(1, sides.recounted),
        side(2, sides.now),
    );
    found(store, UNIQUES, &sql).await
}

/// Lists the differences among what `compared` selects, with their number.
async fn found(store: &Store, table: &str, compared: &str) -> Result<Found, StoreError> {
    let sql = format!(
        "SELECT day, what, kept, recounted, toBool(is_difference) AS is_difference, \
            countIf(is_difference) OVER () AS differences, countIf(is_lacking) OVER () AS lacking, \
            countIf(is_moving) OVER () AS moving \
        FROM ({compared}) \
        WHERE is_difference OR is_moving \
        ORDER BY is_difference DESC, day, what LIMIT {MOST_LISTED} SETTINGS {SPILLING}"
    );
    let rows: Vec<FoundRow> = store.client().query_raw(&sql).fetch_all().await?;
    let Some(first) = rows.first() else { return Ok(Found::default()) };
    let (count, lacking, moving) = (first.differences, first.lacking, first.moving);
    let listed = rows.into_iter().filter(|row| row.is_difference).map(|row| Difference {
        table: table.to_owned(),
        day: row.day,
        what: row.what,
        kept: row.kept,
        recounted: row.recounted,
    });
    Ok(Found { listed: listed.collect(), count, lacking, moving })
}
