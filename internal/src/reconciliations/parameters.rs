//! The reconciliations of a request. What is wrong with them is told without their index, because GitLab takes this list
//! as JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use tally_directory::Reconciliation;
use tally_service::api::ApiError;
use utoipa::ToSchema;

use crate::declared::{Coerced, Failures, Fields, Sent, date, integer};

const LIST: &str = "upcoming_reconciliations";

/// Reconciliations that one request may hold.
const MAX_RECONCILIATIONS: usize = 10_000;

/// Reconciliations to come.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
pub(super) struct UpcomingReconciliations {
    upcoming_reconciliations: Vec<UpcomingReconciliation>,
}

/// The next reconciliation of one namespace.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct UpcomingReconciliation {
    namespace_id: i64,
    #[schema(format = Date)]
    next_reconciliation_date: String,
    /// The first day on which owners are told.
    #[schema(format = Date)]
    display_alert_from: String,
}

/// The request's reconciliations, one a namespace: of several the last.
pub(super) fn parse(sent: &Fields) -> Result<Vec<Reconciliation>, ApiError> {
    let mut failures = Failures::default();
    let items = items(sent, &mut failures);
    if items.len() > MAX_RECONCILIATIONS {
        let text = format!("Maximum {MAX_RECONCILIATIONS} upcoming_reconciliations allowed in one request.");
        return Err(ApiError::BadRequest(text.into()));
    }
    let namespaces = column(&items, "namespace_id", integer, &mut failures);
    let dates = column(&items, "next_reconciliation_date", date, &mut failures);
    let alerts = column(&items, "display_alert_from", date, &mut failures);
    failures.check()?;
    let mut by_namespace = BTreeMap::new();
    for ((namespace_id, next_reconciliation_date), display_alert_from) in
        namespaces.into_iter().zip(dates).zip(alerts)
    {
        if let (Some(namespace_id), Some(next_reconciliation_date), Some(display_alert_from)) =
            (namespace_id, next_reconciliation_date, display_alert_from)
        {
            let row = Reconciliation { namespace_id, next_reconciliation_date, display_alert_from };
            by_namespace.insert(namespace_id, row);
        }
    }
    Ok(by_namespace.into_values().collect())
}

/// The list's members: what is no object has no parameters, and a list that is missing is checked as one such member.
fn items(sent: &Fields, failures: &mut Failures) -> Vec<Value> {
    match sent.get(LIST) {
        None => failures.add(LIST, "is missing"),
        Some(Value::Array(items)) => {
            if items.iter().any(|item| !item.is_object()) {
                failures.add(LIST, "is invalid");
            }
            return items.clone();
        }
        Some(Value::String(text)) if let Ok(Value::Array(items)) = serde_json::from_str(text) => {
            return items;
        }
        Some(Value::Null) => {}
        Some(_) => failures.add(LIST, "is invalid"),
    }
    vec![Value::Null]
}

/// One parameter of all members. None of them may be blank.
fn column<T>(
    items: &[Value],
    name: &str,
    coerce: impl Fn(&Value) -> Coerced<T>,
    failures: &mut Failures,
) -> Vec<Option<T>> {
    let name_in_answer = format!("{LIST}[{name}]");
    let read = |item: &Value| {
        let Some(value) = item.get(name) else {
            failures.add(&name_in_answer, "is missing");
            return None;
        };
        let value = failures.coerce(value, &name_in_answer, &coerce);
        if matches!(value, Sent::Null) {
            failures.add(&name_in_answer, "is empty");
        }
        value.value()
    };
    items.iter().map(read).collect()
}
