//! What the agent server has counted since it last reported, read from a request and checked.
//!
//! Newer servers send `counters` and `unique_counters`; older ones two counts by names of their own.

use serde_json::Value;
use tally_service::api::ApiError;
use tally_service::api::parameter::Invalid;

use crate::declared::{Coerced, Failures, Fields, integer, object};

/// Something that is counted, and the event that stands for it: the events are GitLab's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counter {
    name: &'static str,
    /// The parameter by which older servers report it.
    older_parameter: Option<&'static str>,
    pub(super) event: &'static str,
}

/// Something that is counted once for each id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UniqueCounter {
    /// The parameter, and the event.
    pub(super) name: &'static str,
    /// What the ids are ids of.
    pub(super) ids_of: IdsOf,
}

/// Who or what has been counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdsOf {
    Users,
    Agents,
    Projects,
}

const fn counter(name: &'static str, older_parameter: Option<&'static str>, event: &'static str) -> Counter {
    Counter { name, older_parameter, event }
}

const fn unique(name: &'static str, ids_of: IdsOf) -> UniqueCounter {
    UniqueCounter { name, ids_of }
}

pub(super) const COUNTERS: [Counter; 6] = [
    counter("gitops_sync", Some("gitops_sync_count"), "gitops_sync"),
    counter("k8s_api_proxy_request", Some("k8s_api_proxy_request_count"), "request_api_proxy_access"),
    counter("flux_git_push_notifications_total", None, "create_flux_git_push_notification"),
    counter("k8s_api_proxy_requests_via_ci_access", None, "request_api_proxy_access_via_ci"),
    counter("k8s_api_proxy_requests_via_user_access", None, "request_api_proxy_access_via_user"),
    counter("k8s_api_proxy_requests_via_pat_access", None, "request_api_proxy_access_via_pat"),
];

pub(super) const UNIQUE_COUNTERS: [UniqueCounter; 8] = [
    unique("agent_users_using_ci_tunnel", IdsOf::Users),
    unique("k8s_api_proxy_requests_unique_users_via_ci_access", IdsOf::Users),
    unique("k8s_api_proxy_requests_unique_agents_via_ci_access", IdsOf::Agents),
    unique("k8s_api_proxy_requests_unique_users_via_user_access", IdsOf::Users),
    unique("k8s_api_proxy_requests_unique_agents_via_user_access", IdsOf::Agents),
    unique("k8s_api_proxy_requests_unique_users_via_pat_access", IdsOf::Users),
    unique("k8s_api_proxy_requests_unique_agents_via_pat_access", IdsOf::Agents),
    unique("flux_git_push_notified_unique_projects", IdsOf::Projects),
];

/// A report that counts something: counts of zero and empty lists are left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct UsageReport {
    /// Each at least 1.
    pub(super) counts: Vec<(&'static Counter, i64)>,
    /// Each id positive, and once in its list.
    pub(super) ids: Vec<(&'static UniqueCounter, Vec<i64>)>,
}

impl UsageReport {
    /// Reads a request's parameters. Counters that nobody knows are ignored.
    pub(super) fn parse(sent: &Fields) -> Result<Self, ApiError> {
        let mut failures = Failures::default();
        let mut counts = Vec::new();
        for counter in &COUNTERS {
            if let Some(name) = counter.older_parameter {
                let count = failures.optional(sent, name, integer).value();
                counts.extend(count.map(|count| (counter, name.to_owned(), count)));
            }
        }
        let counters = failures.optional(sent, "counters", object).value().unwrap_or_default();
        for counter in &COUNTERS {
            let name = format!("counters[{}]", counter.name);
            let count =
                counters.get(counter.name).and_then(|count| failures.coerce(count, &name, integer).value());
            counts.extend(count.map(|count| (counter, name, count)));
        }
        let unique_counters = failures.optional(sent, "unique_counters", object).value().unwrap_or_default();
        let mut ids = Vec::new();
        for counter in &UNIQUE_COUNTERS {
            let name = format!("unique_counters[{}]", counter.name);
            let list = unique_counters
                .get(counter.name)
                .and_then(|list| failures.coerce(list, &name, integers).value());
            ids.extend(list.filter(|list| !list.is_empty()).map(|list| (counter, list)));
        }
        failures.check()?;
        if let Some((_, name, _)) = counts.iter().find(|(_, _, count)| *count < 0) {
            let text = format!("400 Bad request - {name} must be greater than or equal to zero");
            return Err(ApiError::BadRequest(text.into()));
        }
        let counts = counts.into_iter().filter(|(_, _, count)| *count > 0);
        Ok(Self { counts: counts.map(|(counter, _, count)| (counter, count)).collect(), ids })
    }
}

/// A list of ids; those that nothing can have are left out.
fn integers(value: &Value) -> Coerced<Vec<i64>> {
    let list = match value {
        Value::Null => return Ok(None),
        Value::Array(list) => list,
        _ => return Err(Invalid),
    };
    let mut ids = list.iter().map(integer).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(Some(ids.into_iter().flatten().filter(|id| (1..i64::MAX).contains(id)).collect()))
}
