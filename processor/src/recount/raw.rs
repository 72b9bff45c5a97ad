//! What can be said of the raw tables by themselves: that no record of the log has two rows, and that no id which a client
//! chose was counted twice within the time for which it is remembered.

use clickhouse::Row;
use serde::Deserialize;
use tally_store::{Store, StoreError};

use super::Days;
use super::compare::{Difference, Found, SPILLING};
use crate::repetitions::REMEMBERED_MS;

/// A raw table, and how its rows are told apart.
struct Raw {
    table: &'static str,
    /// Which of its rows.
    condition: &'static str,
    what: &'static str,
    day: &'static str,
    /// What a client's id is the id of; empty where clients choose none.
    id: &'static str,
}

const RAW: [Raw; 4] = [
    Raw { table: "events", condition: "true", what: "", day: "toDate(timestamp)", id: "event_id" },
    Raw {
        table: "page_events",
        condition: "source = 'tracker'",
        what: "",
        day: "toDate(timestamp)",
        id: "project_id, event_id",
    },
    Raw {
        table: "page_events",
        condition: "source = 'tracked_event'",
        what: "tracked event, ",
        day: "toDate(timestamp)",
        id: "",
    },
    Raw { table: "contributions", condition: "true", what: "", day: "toDate(created_at)", id: "" },
];

/// Offsets of one group; a bitmap of so many is small.
const OFFSETS_A_GROUP: u64 = 1 << 24;

#[derive(Row, Deserialize)]
struct Twice {
    day: String,
    what: String,
    rows: u64,
    total: u64,
}

#[derive(Row, Deserialize)]
struct Suspect {
    partition: u32,
    first_offset: u64,
}

/// What is twice in the raw tables.
pub async fn check(store: &Store, days: Days) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    for raw in &RAW {
        found.push(offsets_twice(store, raw, days).await?);
        if !raw.id.is_empty() {
            found.push(ids_twice(store, raw, days).await?);
        }
    }
    Ok(found)
}

/// Counts a group of offsets and the distinct ones among them first, which takes hardly any memory; where they differ, looks
/// closer.
async fn offsets_twice(store: &Store, raw: &Raw, days: Days) -> Result<Found, StoreError> {
    let Raw { table, condition, what, day, .. } = raw;
    let in_days = days.condition(day);
    let suspects = format!(
        "SELECT partition, intDiv(offset, {OFFSETS_A_GROUP}) * {OFFSETS_A_GROUP} AS first_offset FROM {table} \
         WHERE {condition} AND {in_days} GROUP BY partition, first_offset \
         HAVING count() != groupBitmap(toUInt32(offset % {OFFSETS_A_GROUP})) ORDER BY partition, first_offset"
    );
    let suspects: Vec<Suspect> = store.client().query_raw(&suspects).fetch_all().await?;
    let mut found = Found::default();
    for Suspect { partition, first_offset } in suspects {
        let sql = format!(
            "SELECT toString(min({day})) AS day, concat('{what}partition {partition}, offset ', toString(offset)) AS what, \
                count() AS rows, count() OVER () AS total \
             FROM {table} WHERE {condition} AND {in_days} AND partition = {partition} \
                AND offset >= {first_offset} AND offset < {first_offset} + {OFFSETS_A_GROUP} \
             GROUP BY offset HAVING rows > 1 ORDER BY offset LIMIT 1000 SETTINGS {SPILLING}"
        );
        add(&mut found, table, store.client().query_raw(&sql).fetch_all().await?);
    }
    Ok(found)
}

/// Ids that clients chose, with two rows of different records received less than seven days apart.
async fn ids_twice(store: &Store, raw: &Raw, days: Days) -> Result<Found, StoreError> {
    let Raw { table, condition, day, id, .. } = raw;
    let sql = format!(
        "SELECT toString(min({day})) AS day, concat('client id ', arrayStringConcat(array({}), ' ')) AS what, \
            uniqExact(partition, offset) AS rows, count() OVER () AS total \
         FROM {table} WHERE {condition} AND client_event_id AND {} GROUP BY {id} \
         HAVING rows > 1 AND arrayExists(apart -> apart <= {REMEMBERED_MS}, \
            arrayPopFront(arrayDifference(arraySort(groupArray(toUnixTimestamp64Milli(received_at)))))) \
         ORDER BY day, what LIMIT 1000 SETTINGS {SPILLING}",
        id.split(", ").map(|column| format!("toString({column})")).collect::<Vec<_>>().join(", "),
        days.condition(day),
    );
    let mut found = Found::default();
    add(&mut found, table, store.client().query_raw(&sql).fetch_all().await?);
    Ok(found)
}

fn add(found: &mut Found, table: &str, rows: Vec<Twice>) {
    found.count += rows.first().map_or(0, |first| first.total);
    found.listed.extend(rows.into_iter().map(|row| Difference {
        table: table.to_owned(),
        day: row.day,
        what: row.what,
        kept: format!("{} rows", row.rows),
        recounted: "1 row".to_owned(),
    }));
}
