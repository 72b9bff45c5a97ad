//! The product analytics of a project as its maintainers set it up: its funnels, and the key that its trackers send. Both are
//! kept in the directory; what a funnel's numbers are is its cube's affair.

mod http;
mod key;
mod listing;
mod project;

use tally_cube::model::funnel::{Action, Funnel, Step};
use tally_directory::{FunnelAction, Project};

pub(crate) use http::routes;

/// The project's funnels as the data model takes them.
pub fn of_project(project: &Project) -> Vec<Funnel> {
    project.product_analytics.funnels.iter().map(for_model).collect()
}

fn for_model(funnel: &tally_directory::Funnel) -> Funnel {
    let steps = funnel.steps.iter().map(|step| Step {
        name: step.name.clone(),
        action: match step.action {
            FunnelAction::Pageview => Action::Pageview,
            FunnelAction::Event => Action::Event,
        },
        target: step.target.clone(),
    });
    Funnel { name: funnel.cube_name(), seconds_to_convert: funnel.seconds_to_convert, steps: steps.collect() }
}
