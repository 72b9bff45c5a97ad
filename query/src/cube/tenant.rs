//! The project that asks, with what the directory says about its funnels.

use tally_cube::model::funnel;
use tally_directory::{Directory, Funnel, FunnelAction, Project};

use super::service::Tenant;

impl Tenant {
    /// The project `id`; it has no funnels where the directory doesn't know it.
    pub fn find(directory: &Directory, id: i64) -> Self {
        let known = directory.read().project(id).cloned();
        known.map_or_else(|| Self { project: id, funnels: Vec::new() }, |project| Self::of(&project))
    }

    /// A project out of the directory.
    pub fn of(project: &Project) -> Self {
        let funnels = project.product_analytics.funnels.iter().map(in_model).collect();
        Self { project: project.id, funnels }
    }
}

fn in_model(funnel: &Funnel) -> funnel::Funnel {
    let steps = funnel.steps.iter().map(|step| funnel::Step {
        name: step.name.clone(),
        action: match step.action {
            FunnelAction::Pageview => funnel::Action::Pageview,
            FunnelAction::Event => funnel::Action::Event,
        },
        target: step.target.clone(),
    });
    funnel::Funnel {
        name: funnel.cube_name(),
        seconds_to_convert: funnel.seconds_to_convert,
        steps: steps.collect(),
    }
}
