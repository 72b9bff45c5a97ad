//! The project that asks, with what the directory says about its funnels.

use tally_directory::{Directory, Project};

use super::service::Tenant;
use crate::funnels;

impl Tenant {
    /// The project `id`; it has no funnels where the directory doesn't know it.
    pub fn find(directory: &Directory, id: i64) -> Self {
        let known = directory.read().project(id).cloned();
        known.map_or_else(|| Self { project: id, funnels: Vec::new() }, |project| Self::of(&project))
    }

    /// A project out of the directory.
    pub fn of(project: &Project) -> Self {
        Self { project: project.id, funnels: funnels::of_project(project) }
    }
}
