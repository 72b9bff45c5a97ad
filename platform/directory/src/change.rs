//! The words of the directory's log: everything that can happen to its state. Each change carries all of the record it
//! is about, so that applying it again changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    AccessToken, Agent, Alert, Member, MemberSource, MinutePack, Namespace, Project, Reconciliation,
    ReferenceCount, SshKey, Subscription, User,
};

/// One change of the state. A record's own variant writes it, new or again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Names the directory; the first change of a log.
    Identity {
        /// What snapshots are matched by.
        id: Uuid,
    },
    /// Ids up to this one were handed out and are not handed out again, even if their records are gone.
    IdsUsed {
        /// Which ids.
        kind: IdKind,
        /// The highest.
        up_to: i64,
    },
    /// Writes a user.
    User(User),
    /// Writes a key.
    Key(SshKey),
    /// Writes a token.
    Token(AccessToken),
    /// Writes a namespace.
    Namespace(Namespace),
    /// Writes a project.
    Project(Project),
    /// Writes a membership.
    Member(Member),
    /// Writes an agent.
    Agent(Agent),
    /// Writes a namespace's subscription.
    Subscription(Subscription),
    /// Writes a pack of minutes.
    MinutePack(MinutePack),
    /// Writes a namespace's next reconciliation.
    Reconciliation(Reconciliation),
    /// Writes an alert.
    Alert(Alert),
    /// Writes one writer's count for a repository.
    ReferenceCount(ReferenceCount),
    /// Writes an application setting; null takes it away.
    Setting {
        /// Its name.
        name: String,
        /// Its value.
        value: Value,
    },
    /// Turns a feature on or off.
    FeatureFlag {
        /// Its name.
        name: String,
        /// Whether it is on.
        enabled: bool,
    },
    /// Takes a user away with their memberships, keys and tokens.
    RemoveUser {
        /// The user.
        id: i64,
    },
    /// Takes a key away.
    RemoveKey {
        /// The key.
        id: i64,
    },
    /// Takes a token away.
    RemoveToken {
        /// The token.
        id: i64,
    },
    /// Takes a namespace away with its memberships, subscription, packs and reconciliation. What lies in it stays.
    RemoveNamespace {
        /// The namespace.
        id: i64,
    },
    /// Takes a project away with its memberships, agents and alerts.
    RemoveProject {
        /// The project.
        id: i64,
    },
    /// Ends a membership.
    RemoveMember {
        /// The member.
        user_id: i64,
        /// What they were a member of.
        source: MemberSource,
    },
    /// Takes an agent away.
    RemoveAgent {
        /// The agent.
        id: i64,
    },
    /// Takes a namespace's reconciliation away.
    RemoveReconciliation {
        /// The namespace.
        namespace_id: i64,
    },
}

/// What is numbered, each by itself from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    /// Users.
    User,
    /// SSH keys.
    Key,
    /// Access tokens.
    Token,
    /// Namespaces.
    Namespace,
    /// Projects.
    Project,
    /// Agents.
    Agent,
    /// Alerts.
    Alert,
}

impl IdKind {
    /// Every kind there is.
    pub const ALL: [Self; 7] =
        [Self::User, Self::Key, Self::Token, Self::Namespace, Self::Project, Self::Agent, Self::Alert];
}
