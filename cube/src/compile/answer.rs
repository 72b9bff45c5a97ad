//! The answer to `/sql`.

use serde_json::{Map, Value, json};
use tally_store::{Parameter, Statement};

use super::{Compiled, compile};
use crate::query::{Order, Query, QueryKind, Request, default_order};
use crate::{CubeError, Model};

/// The SQL of a request as Cube's `/sql` shows it: an object for a regular query, else an array. Parameters stand beside the
/// text in the order of their numbers.
pub fn sql(model: &Model, request: &Request, tenant: i64) -> Result<Value, CubeError> {
    let mut shown = Vec::new();
    for query in &request.queries {
        shown.push(json!({"sql": one(query, &compile(model, query, tenant)?)}));
    }
    Ok(match (request.kind, shown.len()) {
        (QueryKind::Regular, 1) => shown.remove(0),
        _ => Value::Array(shown),
    })
}

fn one(query: &Query, compiled: &Compiled) -> Value {
    let names = compiled.columns.iter().map(|column| (column.alias.clone(), column.key.clone().into()));
    let order = query.order.clone().unwrap_or_else(|| default_order(query));
    let order = order.into_iter().map(|Order { id, descending }| {
        let direction = if descending { "desc" } else { "asc" };
        (id, Value::from(direction))
    });
    let used = compiled.pre_aggregations.iter().map(|used| {
        json!({
            "preAggregationId": format!("{}.{}", used.cube, used.name),
            "tableName": used.table,
            "projection": used.projection,
            "type": "rollup",
            "external": false,
        })
    });
    json!({
        "sql": [compiled.rows.sql, parameters(&compiled.rows)],
        "order": order.collect::<Map<String, Value>>(),
        "external": false,
        "dataSource": "default",
        "dbType": "clickhouse",
        "aliasNameToMember": names.collect::<Map<String, Value>>(),
        "memberNames": compiled.columns.iter().map(|column| &column.key).collect::<Vec<_>>(),
        "cacheKeyQueries": [],
        "preAggregations": used.collect::<Vec<_>>(),
    })
}

fn parameters(statement: &Statement) -> Vec<Value> {
    let shown = |parameter: &Parameter| match parameter {
        Parameter::Text(value) => json!(value),
        Parameter::Texts(value) => json!(value),
        Parameter::Integer(value) => json!(value),
        Parameter::Integers(value) => json!(value),
        Parameter::Unsigned(value) => json!(value),
        Parameter::Float(value) => json!(value),
        Parameter::Floats(value) => json!(value),
    };
    statement.parameters.iter().map(shown).collect()
}
