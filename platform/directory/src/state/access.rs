//! Who may do what: levels of access, and who can read a project.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::Date;

use super::State;
use crate::{AccessLevel, Member, MemberSource, Project, User, Visibility};

impl Member {
    /// Whether the membership counts on this day. As in GitLab, it no longer does on the day it expires at.
    pub fn is_current(&self, today: Date) -> bool {
        self.expires_at.is_none_or(|day| today < day)
    }
}

impl State {
    /// The user's highest role in the project: of the project itself, its namespace and those above. Expired memberships
    /// don't count; `None` for those who have no other.
    pub fn access_level(&self, user_id: i64, project: &Project, today: Date) -> Option<AccessLevel> {
        let own = self.current_level(user_id, MemberSource::Project(project.id), today);
        let inherited = project.namespace_id.and_then(|id| self.namespace_access_level(user_id, id, today));
        own.max(inherited)
    }

    /// The user's highest role in the namespace: of its own and of those above.
    pub fn namespace_access_level(
        &self,
        user_id: i64,
        namespace_id: i64,
        today: Date,
    ) -> Option<AccessLevel> {
        let own = self.current_level(user_id, MemberSource::Namespace(namespace_id), today);
        let above = self.ancestors(namespace_id).skip(1);
        let levels =
            above.filter_map(|above| self.current_level(user_id, MemberSource::Namespace(above.id), today));
        levels.max().max(own)
    }

    /// Whether `user` can read the project; `None` is somebody who is not signed in. Public: everybody. Internal: whoever
    /// is signed in and is not external. Private: members. Administrators: always.
    pub fn can_read_project(&self, user: Option<&User>, project: &Project, today: Date) -> bool {
        let Some(user) = user else { return project.visibility == Visibility::Public };
        match project.visibility {
            Visibility::Public => true,
            Visibility::Internal if !user.external => true,
            _ => user.admin || self.access_level(user.id, project, today).is_some(),
        }
    }

    /// The ids of the projects that the user is a member of, directly or through a namespace, sorted. Expired memberships
    /// don't count.
    pub fn projects_of_member(&self, user_id: i64, today: Date) -> Vec<i64> {
        let mut projects = BTreeSet::new();
        let mut namespaces = BTreeSet::new();
        for member in self.memberships_of(user_id).filter(|member| member.is_current(today)) {
            match member.source {
                MemberSource::Project(id) => projects.extend(self.project(id).map(|project| project.id)),
                MemberSource::Namespace(id) if namespaces.contains(&id) => {}
                MemberSource::Namespace(id) => namespaces.append(&mut self.namespace_tree(id)),
            }
        }
        let inherited = namespaces.iter().filter_map(|id| self.projects_by_namespace.get(id));
        projects.extend(inherited.flatten());
        projects.into_iter().collect()
    }

    /// The user whose name or number this is; a name that is all digits is a number.
    pub fn user_by_id_or_name(&self, text: &str) -> Option<&Arc<User>> {
        text.parse().map_or_else(|_| self.user_named(text), |id| self.user(id))
    }

    fn current_level(&self, user_id: i64, source: MemberSource, today: Date) -> Option<AccessLevel> {
        let member = self.member(user_id, source).filter(|member| member.is_current(today))?;
        Some(member.access_level)
    }
}
