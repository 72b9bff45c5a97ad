//! Sessions once more, from the page events themselves: to compare what the processor made of them, and to make it anew. The SQL
//! here and the fold in `fold::session_parts` say the same independently of each other.

use clickhouse::Row;
use serde::Deserialize;
use tally_store::{Store, StoreError};

/// The parts that the page events amount to, in the order of the table's columns.
pub(crate) const PARTS_OF_EVENTS: &str = "
    SELECT
        project_id,
        session_id = '' AS by_visitor,
        multiIf(session_id != '', session_id, user_id != '', user_id, domain_user_id != '', domain_user_id, network_user_id) AS key,
        if(by_visitor, toUInt32(intDiv(toUnixTimestamp64Milli(timestamp), 1800000)), 0) AS slot,
        min(timestamp), max(timestamp), count(), countIf(event = 'page_view'), max(session_index), max(page_events.user_id),
        max(if(domain_user_id != '', domain_user_id, network_user_id)), max(agent_name), max(agent_version), max(os_family),
        max(os_name), max(os_version), max(device_type), max(browser_language), max(document_language), max(viewport_size)
    FROM page_events
    WHERE key != ''
    GROUP BY project_id, by_visitor, key, slot";

/// More sessions than fit into so many bytes are put on disk meanwhile.
const SPILLING: &str = "max_bytes_before_external_group_by = 1073741824";

/// The most differences that are listed.
const MOST_LISTED: usize = 1_000;

/// A part of a session that is not what the page events amount to.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Difference {
    pub project_id: i64,
    /// `key` is a visitor, and the part is that half hour of the epoch; else it is the tracker's session.
    pub by_visitor: bool,
    pub key: String,
    pub slot: u32,
    /// The row's values; empty where there is no row.
    pub kept: String,
    /// What they should be; empty where there should be no row.
    pub recomputed: String,
}

/// The first thousand differences between the sessions and the page events: none, unless something is wrong. What is inserted
/// meanwhile may show up as a difference that is gone the next time.
pub async fn compare(store: &Store) -> Result<Vec<Difference>, StoreError> {
    let sql = format!(
        "SELECT project_id, by_visitor, key, slot, maxIf(contents, side = 0) AS kept, maxIf(contents, side = 1) AS recomputed
        FROM
        (
            SELECT 0 AS side, project_id, by_visitor, key, slot, toString(tuple(* EXCEPT (project_id, by_visitor, key, slot))) AS contents
            FROM session_parts FINAL
            UNION ALL
            SELECT 1 AS side, project_id, by_visitor, key, slot, toString(tuple(* EXCEPT (project_id, by_visitor, key, slot))) AS contents
            FROM ({PARTS_OF_EVENTS})
        )
        GROUP BY project_id, by_visitor, key, slot
        HAVING kept != recomputed
        ORDER BY project_id, by_visitor, key, slot
        LIMIT {MOST_LISTED}
        SETTINGS {SPILLING}"
    );
    Ok(store.client().query_raw(&sql).fetch_all().await?)
}

/// Makes the sessions anew. No processor may run meanwhile, and none may have left a batch that it announced unfinished: its
/// events would be counted here and by the replay.
pub async fn recompute(store: &Store) -> Result<(), StoreError> {
    let on_cluster = on_cluster(store);
    let statements = [
        format!("DROP TABLE IF EXISTS session_parts_recomputed{on_cluster} SYNC"),
        format!("CREATE TABLE session_parts_recomputed{on_cluster} AS session_parts"),
        format!("INSERT INTO session_parts_recomputed {PARTS_OF_EVENTS} SETTINGS {SPILLING}"),
        "ALTER TABLE session_parts REPLACE PARTITION tuple() FROM session_parts_recomputed".to_owned(),
        format!("DROP TABLE session_parts_recomputed{on_cluster} SYNC"),
    ];
    for statement in statements {
        store.client().query_raw(&statement).execute().await?;
    }
    Ok(())
}

fn on_cluster(store: &Store) -> String {
    let quoted = |name: &String| name.replace('\\', "\\\\").replace('\'', "\\'");
    store.config().cluster.as_ref().map(|name| format!(" ON CLUSTER '{}'", quoted(name))).unwrap_or_default()
}
