//! The pre-aggregations of the data model in ClickHouse: projections of the cubes' tables. A projection is kept by ClickHouse
//! itself, part by part, so it is never behind its table. This adds those that the model declares and drops those of ours
//! that it doesn't declare any more.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::error::Error as ClientError;
use tally_cube::compile::{PROJECTION_PREFIX, Projection};
use tally_store::Store;

/// Projections of ours that tables have: those of this database, and of tables elsewhere that the model names.
const KNOWN: &str = "SELECT if(database = currentDatabase(), table, concat(database, '.', table)) AS place, name \
     FROM system.projections WHERE startsWith(name, ?) AND (database = currentDatabase() OR has(?, place))";

/// Makes the tables' projections those of `wanted`. What fails is logged and done again at the next start or reload: queries
/// are right without a projection, only slower.
pub async fn ensure_projections(store: &Store, wanted: Vec<Projection>) {
    let by_table = by_table(wanted);
    let known = match known(store, by_table.keys().map(String::as_str).collect()).await {
        Ok(known) => known,
        Err(error) => {
            tracing::warn!(%error, "the tables' projections are unknown");
            return;
        }
    };
    for (table, projections) in &by_table {
        for projection in projections.values() {
            if !known.contains(&(table.clone(), projection.name.clone())) {
                add(store, projection).await;
            }
        }
    }
    for (table, name) in &known {
        if by_table.get(table).is_none_or(|projections| !projections.contains_key(name)) {
            let sql = format!("ALTER TABLE {} {}DROP PROJECTION IF EXISTS {name}", quoted(table), on(store));
            run(store, &sql, table, name, "dropped").await;
        }
    }
}

/// Each once, however many models declare it.
fn by_table(wanted: Vec<Projection>) -> BTreeMap<String, BTreeMap<String, Projection>> {
    let mut by_table: BTreeMap<String, BTreeMap<String, Projection>> = BTreeMap::new();
    for projection in wanted {
        by_table.entry(projection.table.clone()).or_default().insert(projection.name.clone(), projection);
    }
    by_table
}

async fn known(store: &Store, tables: Vec<&str>) -> Result<BTreeSet<(String, String)>, ClientError> {
    let query = store.client().query(KNOWN).bind(PROJECTION_PREFIX).bind(tables);
    Ok(query.fetch_all::<(String, String)>().await?.into_iter().collect())
}

async fn add(store: &Store, projection: &Projection) {
    let Projection { table, name, sql, .. } = projection;
    let alter = format!("ALTER TABLE {} {}", quoted(table), on(store));
    let added =
        run(store, &format!("{alter}ADD PROJECTION IF NOT EXISTS {name} ({sql})"), table, name, "added")
            .await;
    if added {
        // New parts have it from now on; this is for those that there are. It goes on in the background.
        run(store, &format!("{alter}MATERIALIZE PROJECTION IF EXISTS {name}"), table, name, "being filled")
            .await;
    }
}

async fn run(store: &Store, sql: &str, table: &str, name: &str, done: &str) -> bool {
    match store.client().query_raw(sql).execute().await {
        Ok(()) => {
            tracing::info!(table, projection = name, "projection {done}");
            true
        }
        Err(error) => {
            tracing::warn!(table, projection = name, %error, "projection not {done}");
            false
        }
    }
}

/// The name of a table, perhaps with its database, as an identifier.
fn quoted(table: &str) -> String {
    let parts = table.split('.').map(|part| format!("`{}`", part.replace('\\', "\\\\").replace('`', "\\`")));
    parts.collect::<Vec<_>>().join(".")
}

fn on(store: &Store) -> String {
    let cluster = store.config().cluster.as_deref();
    cluster.map_or_else(String::new, |cluster| {
        format!("ON CLUSTER '{}' ", cluster.replace('\\', "\\\\").replace('\'', "\\'"))
    })
}
