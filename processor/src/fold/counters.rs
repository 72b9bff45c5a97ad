//! The aggregates of one batch: counts, sums, totals by value and unique identifiers, by day and counter.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use tally_schemas::{CounterId, Effect};

use super::TableInsert;
use super::calendar::Months;
use crate::row_binary::RowWriter;

pub const COUNTERS: &str = "counters";
pub const UNIQUE_TOTALS: &str = "unique_totals";
pub const UNIQUES: &str = "uniques";

type Key = (u16, CounterId);

/// What a batch adds to each (day, counter).
#[derive(Debug, Default)]
pub struct Aggregates {
    counts: FxHashMap<Key, Count>,
    totals: FxHashMap<Key, FxHashMap<String, u64>>,
    uniques: FxHashMap<Key, FxHashSet<u64>>,
}

#[derive(Debug, Default)]
struct Count {
    count: u64,
    /// Billionths.
    sum: i128,
}

impl Aggregates {
    /// Applies what one event does to one counter.
    pub fn apply(&mut self, day: u16, counter: CounterId, effect: Effect<'_>) {
        let key = (day, counter);
        match effect {
            Effect::Count => self.counts.entry(key).or_default().count += 1,
            Effect::Sum(nanos) => {
                let count = self.counts.entry(key).or_default();
                count.count += 1;
                count.sum += nanos;
            }
            Effect::Unique(hash) => {
                self.uniques.entry(key).or_default().insert(hash);
            }
            Effect::UniqueTotal(value) => self.add_total(key, &value),
        }
    }

    fn add_total(&mut self, key: Key, value: &str) {
        let totals = self.totals.entry(key).or_default();
        match totals.get_mut(value) {
            Some(count) => *count += 1,
            None => {
                totals.insert(value.to_owned(), 1);
            }
        }
    }

    /// The rows, sorted so that the same batch always gives the same bytes. `names` are the counters' keys by id.
    pub fn finish(self, names: &[String]) -> Vec<TableInsert> {
        let counts = rows_by_month(
            self.counts,
            |rows, (day, name), count| {
                rows.date(day);
                rows.string(name);
                rows.u64(count.count);
                rows.i128(count.sum);
                rows.end_row();
            },
            names,
        );
        let totals = rows_by_month(
            self.totals,
            |rows, (day, name), totals| {
                for (value, count) in sorted(totals) {
                    rows.date(day);
                    rows.string(name);
                    rows.string(&value);
                    rows.u64(count);
                    rows.end_row();
                }
            },
            names,
        );
        let uniques = rows_by_month(
            self.uniques,
            |rows, (day, name), hashes| {
                let mut hashes: Vec<u64> = hashes.into_iter().collect();
                hashes.sort_unstable();
                rows.date(day);
                rows.string(name);
                rows.length(hashes.len());
                for hash in hashes {
                    rows.u64(hash);
                }
                rows.end_row();
            },
            names,
        );
        let inserts = |table, columns, months: BTreeMap<u32, RowWriter>| {
            months.into_iter().map(move |(month, rows)| rows.into_insert(table, columns, month))
        };
        inserts(COUNTERS, &["day", "counter", "count", "sum"] as &[_], counts)
            .chain(inserts(UNIQUE_TOTALS, &["day", "counter", "value", "count"], totals))
            .chain(inserts(UNIQUES, &["day", "counter", "hashes"], uniques))
            .collect()
    }
}

fn rows_by_month<V>(
    aggregates: FxHashMap<Key, V>,
    mut write: impl FnMut(&mut RowWriter, (u16, &str), V),
    names: &[String],
) -> BTreeMap<u32, RowWriter> {
    let mut months = Months::default();
    let mut rows: BTreeMap<u32, RowWriter> = BTreeMap::new();
    for ((day, counter), value) in sorted(aggregates) {
        let month = months.month_of(day);
        write(rows.entry(month).or_default(), (day, &names[counter.0 as usize]), value);
    }
    rows
}

fn sorted<K: Ord, V>(map: FxHashMap<K, V>) -> Vec<(K, V)> {
    let mut entries: Vec<(K, V)> = map.into_iter().collect();
    entries.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    entries
}
