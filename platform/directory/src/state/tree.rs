//! The tree of namespaces: what lies above and below one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::State;
use crate::{MemberSource, Namespace, Project};

/// More levels than this can only be a circle. GitLab allows 20.
const MAX_DEPTH: usize = 64;

impl State {
    /// The namespace with this id and those it lies in, from the inside out.
    pub fn ancestors(&self, namespace_id: i64) -> impl Iterator<Item = &Arc<Namespace>> {
        let innermost = self.namespaces.get(&namespace_id);
        let outward = |inner: &&Arc<Namespace>| self.namespaces.get(&inner.parent_id?);
        std::iter::successors(innermost, outward).take(MAX_DEPTH)
    }

    /// The namespaces that lie directly in this one.
    pub fn namespaces_in(&self, namespace_id: i64) -> impl Iterator<Item = &Arc<Namespace>> {
        let children = self.namespaces_by_parent.get(&namespace_id).into_iter().flatten();
        children.filter_map(|id| self.namespaces.get(id))
    }

    /// The projects that lie directly in this namespace.
    pub fn projects_in(&self, namespace_id: i64) -> impl Iterator<Item = &Arc<Project>> {
        let projects = self.projects_by_namespace.get(&namespace_id).into_iter().flatten();
        projects.filter_map(|id| self.projects.get(id))
    }

    /// The ids of this namespace and of all below it.
    pub fn namespace_tree(&self, namespace_id: i64) -> BTreeSet<i64> {
        let mut found = BTreeSet::from([namespace_id]);
        let mut unvisited = vec![namespace_id];
        while let Some(id) = unvisited.pop() {
            let children = self.namespaces_by_parent.get(&id).into_iter().flatten();
            unvisited.extend(children.filter(|child| found.insert(**child)));
        }
        found
    }

    /// Whoever is a member of this namespace, of one below it, or of a project in any of them: the users of its seats.
    pub fn members_of_namespace_tree(&self, namespace_id: i64) -> BTreeSet<i64> {
        let tree = self.namespace_tree(namespace_id);
        let projects = tree.iter().filter_map(|id| self.projects_by_namespace.get(id)).flatten();
        let sources = tree
            .iter()
            .map(|id| MemberSource::Namespace(*id))
            .chain(projects.map(|id| MemberSource::Project(*id)));
        sources.flat_map(|source| self.members.users_of(source)).collect()
    }
}
