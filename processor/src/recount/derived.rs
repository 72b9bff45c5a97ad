//! The tables that are derived of raw rows: what they should hold, and what is compared of them.

use crate::fold::counters::{COUNTERS, UNIQUE_TOTALS, UNIQUES};

/// How a table's rows come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Raw events by the definitions.
    Fold,
    /// A selection of all the table's columns, or of `columns`.
    Select { columns: &'static str, sql: &'static str },
}

/// A derived table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derived {
    pub table: &'static str,
    pub origin: Origin,
    /// From `{table}`: `first` and `last` (days), `what`, `measure` (which only grows while processors write) and `contents`
    /// (all there is to compare).
    pub summary: &'static str,
    /// What tells one thing that is compared from another.
    pub key: &'static str,
    /// Whether the table is partitioned by the month of its rows' days.
    pub monthly: bool,
}

const OF_COUNTERS: Derived = Derived {
    table: COUNTERS,
    origin: Origin::Fold,
    summary: "SELECT day AS first, day AS last, toString(counter) AS what, sum(t.count) AS measure, \
            if(sum(t.sum) = 0, toString(measure), concat(toString(measure), ', sum ', toString(sum(t.sum)))) AS contents \
        FROM {table} AS t WHERE counter IN {known} AND {days:day} GROUP BY day, counter",
    key: "first, what",
    monthly: true,
};

const OF_UNIQUE_TOTALS: Derived = Derived {
    table: UNIQUE_TOTALS,
    origin: Origin::Fold,
    summary: "SELECT day AS first, day AS last, concat(counter, ' = ', value) AS what, sum(t.count) AS measure, \
            toString(measure) AS contents \
        FROM {table} AS t WHERE counter IN {known} AND {days:day} GROUP BY day, counter, value",
    key: "first, what",
    monthly: true,
};

/// Their states can't be compared as texts, so [`super::compare::uniques`] merges them.
const OF_UNIQUES: Derived =
    Derived { table: UNIQUES, origin: Origin::Fold, summary: "", key: "first, what", monthly: true };

/// Tracked events that asked to be page events, too.
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
            concat(toString(measure), ' rows of checksum ', hex(sum(cityHash64(*)))) AS contents \
        FROM {table} WHERE source = 'tracked_event' AND {days:toDate(timestamp)} GROUP BY first",
    key: "first, what",
    monthly: true,
};

const OF_SESSION_PARTS: Derived = Derived {
    table: "session_parts",
    origin: Origin::Select { columns: "", sql: crate::sessions::PARTS_OF_EVENTS },
    summary: "SELECT toDate(start_at) AS first, toDate(end_at) AS last, \
            concat('project ', toString(project_id), if(by_visitor, ', visitor ', ', session '), key, \
                if(by_visitor, concat(', half hour ', toString(slot)), '')) AS what, \
            t.events_count AS measure, toString(tuple(* EXCEPT (project_id, by_visitor, key, slot))) AS contents \
        FROM {table} AS t FINAL",
    key: "what",
    monthly: false,
};

const OF_PAGE_EVENT_IDS: Derived = Derived {
    table: "page_event_ids",
    origin: Origin::Select {
        columns: "(event_id, project_id, received_at, partition, offset)",
        sql: "SELECT event_id, project_id, received_at, partition, offset FROM page_events \
            WHERE source = 'tracker' AND client_event_id AND received_at > now() - INTERVAL 13 DAY",
    },
    summary: IDS_SUMMARY,
    key: "first, what",
    monthly: false,
};

/// Ids are forgotten after a time; whole days that nothing is missing of yet are compared.
const IDS_SUMMARY: &str = "SELECT toDate(received_at) AS first, first AS last, 'ids' AS what, count() AS measure, \
        concat(toString(measure), ' rows of checksum ', hex(sum(cityHash64(*)))) AS contents \
    FROM {table} WHERE {days:toDate(received_at)} AND toDate(received_at) > today() - 12 GROUP BY first";

const OF_PROJECT_CONTRIBUTIONS: Derived = Derived {
    table: "project_contributions",
    origin: Origin::Select {
        columns: "",
        sql: "SELECT id, event_id, action, target_type, target_id, target_iid, target_title, project_id, author_id, \
                created_at, imported_from, confidential, target_author_id, assignee_ids, note, push_data, wiki_page, \
                partition, offset \
            FROM contributions WHERE project_id != 0 AND {days:toDate(created_at)} AND created_at > now() - INTERVAL 1065 DAY",
    },
    summary: "SELECT toDate(created_at) AS first, first AS last, 'contributions' AS what, count() AS measure, \
            concat(toString(measure), ' rows of checksum ', hex(sum(cityHash64(*)))) AS contents \
        FROM {table} WHERE {days:toDate(created_at)} AND toDate(created_at) > today() - 1060 GROUP BY first",
    key: "first, what",
    monthly: true,
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
        FROM {table} AS t GROUP BY author_id, project_id HAVING first > today() - 1060",
    key: "what",
    monthly: false,
};

/// Every derived table, those first that others are derived of.
pub const DERIVED: [Derived; 8] = [
    OF_COUNTERS,
    OF_UNIQUE_TOTALS,
    OF_UNIQUES,
    OF_PAGE_EVENTS,
    OF_SESSION_PARTS,
    OF_PAGE_EVENT_IDS,
    OF_PROJECT_CONTRIBUTIONS,
    OF_CONTRIBUTION_PROJECTS,
];
