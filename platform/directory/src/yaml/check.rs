//! What a text can be wrong about by itself: numbers that are no ids, names that are empty or stand twice.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::form::{
    AgentEntry, File, KeyEntry, MemberEntry, NamespaceEntry, ProjectEntry, TokenEntry, UserEntry,
};
use crate::{SecretHash, SshKey, error::FieldProblem};

/// Every problem of the file that shows without a state.
pub(super) fn check(file: &File) -> Vec<FieldProblem> {
    let mut checker = Checker::default();
    for up_to in file.ids_used.values() {
        checker.id(|| "ids_used".to_owned(), *up_to);
    }
    checker.users(&file.users);
    checker.namespaces(&file.namespaces);
    checker.projects(&file.projects);
    checker.keys(&file.keys);
    checker.tokens(&file.tokens);
    checker.agents(&file.agents);
    checker.purchases(file);
    checker.problems
}

#[derive(Default)]
struct Checker {
    problems: Vec<FieldProblem>,
}

impl Checker {
    fn problem(&mut self, field: String, problem: impl Into<String>) {
        self.problems.push(FieldProblem { field, problem: problem.into() });
    }

    fn id(&mut self, field: impl FnOnce() -> String, id: i64) {
        // Twice the id has to fit, too: memberships are packed.
        if !(1..=i64::MAX >> 1).contains(&id) {
            self.problem(field(), format!("expected a positive number, got {id}"));
        }
    }

    fn not_empty(&mut self, field: impl FnOnce() -> String, text: &str) {
        if text.is_empty() {
            self.problem(field(), "must not be empty");
        }
    }

    /// Names the second of two equal values.
    fn unique<'a, K: Eq + Hash>(
        &mut self,
        seen: &mut FxHashMap<K, usize>,
        value: K,
        index: usize,
        problem: impl FnOnce(usize) -> (String, String) + 'a,
    ) {
        if let Some(earlier) = seen.insert(value, index) {
            let (field, problem) = problem(earlier);
            self.problem(field, problem);
        }
    }

    fn users(&mut self, users: &[UserEntry]) {
        let (mut ids, mut names) = (FxHashMap::default(), FxHashMap::default());
        for (index, user) in users.iter().enumerate() {
            let field = |name| move || format!("users[{index}].{name}");
            self.id(field("id"), user.id);
            self.not_empty(field("username"), &user.username);
            self.unique(&mut ids, user.id, index, |_| {
                (field("id")(), format!("{} is another user's id, too", user.id))
            });
            self.unique(&mut names, user.username.as_str(), index, |_| {
                (field("username")(), format!("{:?} is another user's name, too", user.username))
            });
        }
    }

    fn namespaces(&mut self, namespaces: &[NamespaceEntry]) {
        let (mut ids, mut paths) = (FxHashMap::default(), FxHashMap::default());
        for (index, namespace) in namespaces.iter().enumerate() {
            let field = |name| move || format!("namespaces[{index}].{name}");
            self.id(field("id"), namespace.id);
            self.not_empty(field("path"), &namespace.path);
            self.unique(&mut ids, namespace.id, index, |_| {
                (field("id")(), format!("{} is another namespace's id, too", namespace.id))
            });
            self.unique(&mut paths, namespace.path.as_str(), index, |_| {
                (field("path")(), format!("{:?} is another namespace's path, too", namespace.path))
            });
            self.members(&format!("namespaces[{index}]"), &namespace.members);
        }
        let parents: FxHashMap<i64, Option<i64>> =
            namespaces.iter().map(|namespace| (namespace.id, namespace.parent_id)).collect();
        for (index, namespace) in namespaces.iter().enumerate() {
            let above = |id: &i64| parents.get(id).copied().flatten();
            let mut ancestors = std::iter::successors(namespace.parent_id, above).take(namespaces.len());
            if ancestors.any(|id| id == namespace.id) {
                self.problem(format!("namespaces[{index}].parent_id"), "the namespace lies in itself");
            }
        }
    }

    fn projects(&mut self, projects: &[ProjectEntry]) {
        let (mut ids, mut paths, mut keys) =
            (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
        for (index, project) in projects.iter().enumerate() {
            let field = |name| move || format!("projects[{index}].{name}");
            self.id(field("id"), project.id);
            self.not_empty(field("path"), &project.path);
            if let Some(namespace_id) = project.namespace_id {
                self.id(field("namespace_id"), namespace_id);
            }
            self.unique(&mut ids, project.id, index, |_| {
                (field("id")(), format!("{} is another project's id, too", project.id))
            });
            self.unique(&mut paths, project.path.as_str(), index, |_| {
                (field("path")(), format!("{:?} is another project's path, too", project.path))
            });
            for (name, problem) in project.product_analytics.problems() {
                self.problem(format!("projects[{index}].product_analytics.{name}"), problem);
            }
            if let Some(key) = &project.product_analytics.instrumentation_key {
                self.unique(&mut keys, key.as_str(), index, |earlier| {
                    let field = format!("projects[{index}].product_analytics.instrumentation_key");
                    (field, format!("projects[{earlier}] has the same key"))
                });
            }
            self.members(&format!("projects[{index}]"), &project.members);
        }
    }

    fn members(&mut self, source: &str, members: &[MemberEntry]) {
        let mut names = FxHashMap::default();
        for (index, member) in members.iter().enumerate() {
            self.unique(&mut names, member.user.as_str(), index, |_| {
                (format!("{source}.members[{index}].user"), format!("{:?} is a member already", member.user))
            });
        }
    }

    fn keys(&mut self, keys: &[KeyEntry]) {
        let (mut ids, mut fingerprints) = (FxHashMap::default(), FxHashMap::default());
        for (index, key) in keys.iter().enumerate() {
            let field = |name| move || format!("keys[{index}].{name}");
            if let Some(id) = key.id {
                self.id(field("id"), id);
                self.unique(&mut ids, id, index, |_| {
                    (field("id")(), format!("{id} is another key's id, too"))
                });
            }
            match SshKey::fingerprint(&key.key) {
                None => self.problem(field("key")(), "expected a type and a Base64 body"),
                Some(fingerprint) => self.unique(&mut fingerprints, fingerprint, index, |earlier| {
                    (field("key")(), format!("keys[{earlier}] is the same key"))
                }),
            }
            if key.user.is_none() && !key.deploy {
                self.problem(field("user")(), "only deploy keys have no user");
            }
        }
    }

    fn tokens(&mut self, tokens: &[TokenEntry]) {
        let (mut ids, mut names, mut hashes) =
            (FxHashMap::default(), FxHashMap::default(), FxHashMap::default());
        for (index, token) in tokens.iter().enumerate() {
            let field = |name| move || format!("tokens[{index}].{name}");
            if let Some(id) = token.id {
                self.id(field("id"), id);
                self.unique(&mut ids, id, index, |_| {
                    (field("id")(), format!("{id} is another token's id, too"))
                });
            }
            self.not_empty(field("name"), &token.name);
            self.unique(&mut names, (token.user.as_str(), token.name.as_str()), index, |earlier| {
                (field("name")(), format!("tokens[{earlier}] has the name {:?}, too", token.name))
            });
            match SecretHash::from_hex(&token.sha256) {
                None => self.problem(field("sha256")(), "expected 64 hexadecimal digits"),
                Some(hash) => self.unique(&mut hashes, hash, index, |_| {
                    (field("sha256")(), "another token has the same hash".to_owned())
                }),
            }
            if token.scopes.is_empty() {
                self.problem(field("scopes")(), "expected at least one scope");
            }
        }
    }

    fn agents(&mut self, agents: &[AgentEntry]) {
        let (mut ids, mut hashes) = (FxHashMap::default(), FxHashMap::default());
        for (index, agent) in agents.iter().enumerate() {
            let field = |name| move || format!("agents[{index}].{name}");
            self.id(field("id"), agent.id);
            self.not_empty(field("name"), &agent.name);
            self.unique(&mut ids, agent.id, index, |_| {
                (field("id")(), format!("{} is another agent's id, too", agent.id))
            });
            for (place, hash) in agent.token_hashes.iter().enumerate() {
                self.unique(&mut hashes, *hash, index, |earlier| {
                    let field = format!("agents[{index}].token_hashes[{place}]");
                    (field, format!("agents[{earlier}] has the same token"))
                });
            }
        }
    }

    /// Subscriptions, packs of minutes and reconciliations.
    fn purchases(&mut self, file: &File) {
        let mut namespaces = FxHashMap::default();
        for (index, subscription) in file.subscriptions.iter().enumerate() {
            self.unique(&mut namespaces, subscription.namespace_id, index, |earlier| {
                let field = format!("subscriptions[{index}].namespace_id");
                (field, format!("subscriptions[{earlier}] is the same namespace's"))
            });
        }
        let mut purchases = FxHashMap::default();
        for (index, pack) in file.minute_packs.iter().enumerate() {
            let field = || format!("minute_packs[{index}].purchase_xid");
            self.not_empty(field, &pack.purchase_xid);
            self.unique(&mut purchases, pack.purchase_xid.as_str(), index, |earlier| {
                (field(), format!("minute_packs[{earlier}] is the same purchase"))
            });
        }
        let mut namespaces = FxHashMap::default();
        for (index, next) in file.reconciliations.iter().enumerate() {
            self.unique(&mut namespaces, next.namespace_id, index, |earlier| {
                let field = format!("reconciliations[{index}].namespace_id");
                (field, format!("reconciliations[{earlier}] is the same namespace's"))
            });
        }
    }
}
