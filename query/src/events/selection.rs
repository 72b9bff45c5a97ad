//! Whose events a listing is made of, and out of which projects. The projects are the tenancy filter: what the directory
//! lets this reader see goes into the statement as bound arrays, whatever the request said.

use super::PURPOSE;
use super::compile;
use super::reader::Reader;
use crate::warehouse::{Warehouse, WarehouseError};

/// Events to list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Selection {
    /// Only this user's.
    pub author_id: Option<i64>,
    /// Only of these projects; 0 stands for events without one.
    pub projects: Projects,
}

/// A set of projects.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Projects {
    /// Every one, and none: for readers who may see everything.
    Any,
    /// Sorted ids.
    Only(Vec<i64>),
}

impl Selection {
    /// No events.
    pub(super) fn nothing() -> Self {
        Self { author_id: None, projects: Projects::Only(Vec::new()) }
    }

    /// What `reader` may see of a user's events. Without administrator's rights those are the events of the projects that
    /// the reader can read and, for oneself, those without project.
    pub(super) fn of_user(reader: &Reader<'_>, author_id: i64, contributed_to: &[i64]) -> Self {
        let projects = if reader.is_admin() {
            Projects::Any
        } else if !reader.state.has_projects() {
            if reader.is(author_id) { Projects::Any } else { Projects::Only(Vec::new()) }
        } else {
            let can_read =
                |id: &i64| reader.state.project(*id).is_some_and(|project| reader.can_read(project));
            let without_project = reader.is(author_id).then_some(0);
            Projects::Only(
                without_project.into_iter().chain(contributed_to.iter().copied().filter(can_read)).collect(),
            )
        };
        Self { author_id: Some(author_id), projects }
    }

    /// All events of the projects that the reader is a member of. While the directory keeps no projects, the reader's own.
    pub(super) fn of_memberships(reader: &Reader<'_>) -> Self {
        if reader.state.has_projects() {
            Self { author_id: None, projects: Projects::Only(reader.own_projects()) }
        } else {
            Self { author_id: reader.id(), projects: Projects::Any }
        }
    }

    /// A project's events; the reader can read it. Of a project that is only known by its id, one's own.
    pub(super) fn of_project(reader: &Reader<'_>, project_id: i64) -> Self {
        let is_known = reader.state.has_projects() || reader.is_admin();
        let author_id = if is_known { None } else { reader.id() };
        Self { author_id, projects: Projects::Only(vec![project_id]) }
    }
}

/// The projects that a user has contributed to, sorted.
pub(super) async fn contributed_to(
    warehouse: &Warehouse,
    author_id: i64,
) -> Result<Vec<i64>, WarehouseError> {
    warehouse.rows::<i64>(PURPOSE, &compile::contributed_to(author_id)).await
}
