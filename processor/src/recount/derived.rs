//! The tables that are derived of raw rows: what they should hold, and what is compared of them.

use std::collections::BTreeSet;

use jiff::civil::Date;

use super::Days;
use crate::fold::counters::{COUNTERS, UNIQUE_TOTALS, UNIQUES};

/// How a table's rows come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Raw events by the definitions.
    Fold,
    /// A selection, of all the table's columns unless `columns` names them.
    Select { columns: &'static str, sql: &'static str },
}

/// What a table is partitioned by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partitioning {
    Month,
    Day,
    Nothing,
}

/// A derived table. In its texts `{table}` stands for its name or that of a staging table, `{known}` for the table of the
/// counters that are recounted, `{days:column}` for the condition that a column is one of the days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    pub table: &'static str,
    pub origin: Origin,
    /// Selects `first` and `last` (days), `what`, `measure` (which only grows while processors write) and `contents` (all
    /// there is to compare).
    pub summary: &'static str,
    /// What tells one thing that is compared from another.
    pub key: &'static str,
    pub partitioning: Partitioning,
    /// Which of the table's rows the recount replaces.
    pub replaced: &'static str,
    /// Rows are forgotten some time after so many days.
    pub kept_days: Option<i32>,
}

impl Derived {
    /// Those of the days of which the table holds everything.
    pub fn days(&self, days: Days, today: Date) -> Days {
        let oldest = self.kept_days.and_then(|kept| today.checked_sub(jiff::Span::new().days(kept)).ok());
        Days { from: oldest.map_or(days.from, |oldest| oldest.max(days.from)), to: days.to }
    }

    /// Whether the partition may hold rows of those days.
    pub fn concerns(&self, partition: &str, days: Days) -> bool {
        match self.partitioning {
            Partitioning::Nothing => true,
            Partitioning::Month => partition.parse().is_ok_and(|month| days.months().contains(&month)),
            Partitioning::Day => partition.parse().is_ok_and(|day| days.dates().contains(&day)),
        }
    }
}

/// A text of a [`Derived`] with its placeholders filled in.
pub fn rendered(text: &str, table: &str, known: &str, days: Days) -> String {
    with_days(text, days).replace("{table}", table).replace("{known}", known)
}

/// Replaces `{days:column}` by a condition on that column.
fn with_days(sql: &str, days: Days) -> String {
    let mut pieces = sql.split("{days:");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (column, rest) = piece.split_once('}').unwrap_or((piece, ""));
        out.push_str(&days.condition(column));
        out.push_str(rest);
    }
    out
}

/// The partitions that concern those days, of all that are named.
pub fn concerned(derived: &Derived, named: impl IntoIterator<Item = String>, days: Days) -> BTreeSet<String> {
    named.into_iter().filter(|partition| derived.concerns(partition, days)).collect()
}

const OF_COUNTERS: Derived = Derived {
    table: COUNTERS,
    origin: Origin::Fold,
    summary: "SELECT day AS first, day AS last, toString(counter) AS what, sum(t.count) AS measure, \
            if(sum(t.sum) = 0, toString(measure), concat(toString(measure), ', sum ', toString(sum(t.sum)))) AS contents \
        FROM {table} AS t WHERE counter IN {known} AND {days:day} GROUP BY day, counter",
    key: "first, what",
    partitioning: Partitioning::Month,
    replaced: OF_COUNTER,
    kept_days: None,
};

const OF_COUNTER: &str = "counter IN {known} AND {days:day}";

const OF_UNIQUE_TOTALS: Derived = Derived {
    table: UNIQUE_TOTALS,
    summary: "SELECT day AS first, day AS last, concat(counter, ' = ', value) AS what, sum(t.count) AS measure, \
            toString(measure) AS contents \
        FROM {table} AS t WHERE counter IN {known} AND {days:day} GROUP BY day, counter, value",
    ..OF_COUNTERS
};

/// Their states can't be compared as texts, so `compare` merges them.
const OF_UNIQUES: Derived = Derived { table: UNIQUES, summary: "", ..OF_COUNTERS };

/// Tracked events that asked to be page events, too. What they have no value for would make the hash of all of a row nothing.
const OF_PAGE_EVENTS: Derived = Derived {
    table: "page_events",
    origin: Origin::Select {
        columns: "(project_id, timestamp, received_at, event_id, client_event_id, event, event_name, user_id, platform, \
            custom_event_name, custom_event_props, source, partition, offset)",
        sql: "SELECT project_id, timestamp, received_at, event_id, client_event_id, 'custom', name, \
                if(user_id = 0, '', toString(user_id)), 'srv', name, additional_properties, 'tracked_event', partition, offset \
            FROM events WHERE send_to_snowplow AND project_id != 0 AND {days:toDate(timestamp)}",
    },
    summary: "SELECT toDate(timestamp) AS first, first AS last, 'tracked events' AS what, count() AS measure, \
            concat(toString(measure), ' rows of checksum ', hex(sum(cityHash64(* EXCEPT (value, load_ms))))) AS contents \
        FROM {table} WHERE source = 'tracked_event' AND {days:toDate(timestamp)} GROUP BY first",
    key: "first, what",
    partitioning: Partitioning::Month,
    replaced: "source = 'tracked_event' AND {days:toDate(timestamp)}",
    kept_days: None,
};

/// A session may last over any days, so all of them are recounted.
const OF_SESSION_PARTS: Derived = Derived {
    table: "session_parts",
    origin: Origin::Select { columns: "", sql: crate::sessions::PARTS_OF_EVENTS },
    summary: "SELECT toDate(start_at) AS first, toDate(end_at) AS last, \
            concat('project ', toString(project_id), if(by_visitor, ', visitor ', ', session '), key, \
                if(by_visitor, concat(', half hour ', toString(slot)), '')) AS what, \
            t.events_count AS measure, toString(tuple(* EXCEPT (project_id, by_visitor, key, slot))) AS contents \
        FROM {table} AS t FINAL",
    key: "what",
    partitioning: Partitioning::Nothing,
    replaced: "true",
    kept_days: None,
};

const IDS_SUMMARY: &str = "SELECT toDate(received_at) AS first, first AS last, 'ids' AS what, count() AS measure, \
        concat(toString(measure), ' rows of checksum ', hex(sum(cityHash64(*)))) AS contents \
    FROM {table} WHERE {days:toDate(received_at)} GROUP BY first";

/// Ids are forgotten after 15 days.
const OF_PAGE_EVENT_IDS: Derived = Derived {
    table: "page_event_ids",
    origin: Origin::Select {
        columns: "(event_id, project_id, received_at, partition, offset)",
        sql: "SELECT event_id, project_id, received_at, partition, offset FROM page_events \
            WHERE source = 'tracker' AND client_event_id AND {days:toDate(received_at)}",
    },
    summary: IDS_SUMMARY,
    key: "first, what",
    partitioning: Partitioning::Day,
    replaced: "{days:toDate(received_at)}",
    kept_days: Some(13),
};

const OF_EVENT_IDS: Derived = Derived {
    table: "event_ids",
    origin: Origin::Select {
        columns: "(event_id, received_at, partition, offset)",
        sql: "SELECT event_id, received_at, partition, offset FROM events \
            WHERE client_event_id AND {days:toDate(received_at)}",
    },
    ..OF_PAGE_EVENT_IDS
};

/// Contributions are forgotten after three years.
const OF_PROJECT_CONTRIBUTIONS: Derived = Derived {
    table: "project_contributions",
    origin: Origin::Select {
        columns: "",
        sql: "SELECT id, event_id, action, target_type, target_id, target_iid, target_title, project_id, author_id, \
                created_at, imported_from, confidential, target_author_id, assignee_ids, note, push_data, wiki_page, \
                partition, offset \
            FROM contributions WHERE project_id != 0 AND {days:toDate(created_at)}",
    },
    summary: "SELECT toDate(created_at) AS first, first AS last, 'contributions' AS what, count() AS measure, \
            concat(toString(measure), ' rows of checksum ', hex(sum(cityHash64(*)))) AS contents \
        FROM {table} WHERE {days:toDate(created_at)} GROUP BY first",
    key: "first, what",
    partitioning: Partitioning::Month,
    replaced: "{days:toDate(created_at)}",
    kept_days: Some(3 * 365 - 2),
};

const OF_CONTRIBUTION_PROJECTS: Derived = Derived {
    table: "contribution_projects",
    origin: Origin::Select {
        columns: "",
        sql: "SELECT author_id, project_id, max(created_at) FROM contributions WHERE project_id != 0 \
            GROUP BY author_id, project_id",
    },
    summary: "SELECT toDate(max(t.latest)) AS first, first AS last, \
            concat('author ', toString(author_id), ' in project ', toString(project_id)) AS what, \
            toUInt64(toUnixTimestamp64Milli(max(t.latest))) AS measure, toString(max(t.latest)) AS contents \
        FROM {table} AS t GROUP BY author_id, project_id HAVING {days:first}",
    key: "what",
    partitioning: Partitioning::Nothing,
    replaced: "true",
    kept_days: Some(3 * 365 - 2),
};

/// Every derived table, those first that others are derived of.
pub const DERIVED: [Derived; 9] = [
    OF_COUNTERS,
    OF_UNIQUE_TOTALS,
    OF_UNIQUES,
    OF_PAGE_EVENTS,
    OF_SESSION_PARTS,
    OF_EVENT_IDS,
    OF_PAGE_EVENT_IDS,
    OF_PROJECT_CONTRIBUTIONS,
    OF_CONTRIBUTION_PROJECTS,
];
