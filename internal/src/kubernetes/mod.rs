//! `/internal/kubernetes/*`: what the agent server asks on behalf of agents, and what it reports.

mod agent_server;
mod alerts;
mod info;
mod usage_events;
mod usage_metrics;
mod usage_report;

use tally_service::api::{Routes, Security};
use utoipa_axum::routes;

use crate::administrator::READING;
use crate::state::InternalState;

/// The endpoints of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new()
        .secured(Security::Agent, routes!(info::agent_info))
        .secured(Security::Agent, routes!(info::project_info))
        .secured(Security::AgentServer, routes!(usage_metrics::report))
        .secured(Security::Agent, routes!(alerts::receive))
        .secured(Security::Administrator(READING), routes!(alerts::list))
}
