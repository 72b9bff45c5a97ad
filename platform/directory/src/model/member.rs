//! Memberships, the most numerous records: their JSON is a short list, `[user, "project"|"namespace", id, level, expiry]`.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::AccessLevel;

/// A user's role in a project, or in a namespace and everything below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Compact", into = "Compact")]
pub struct Member {
    /// The member.
    pub user_id: i64,
    /// What they are a member of.
    pub source: MemberSource,
    /// Their role.
    pub access_level: AccessLevel,
    /// The day (UTC) on which the membership ends, if ever.
    pub expires_at: Option<Date>,
}

/// What somebody is a member of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberSource {
    /// The project with this id.
    Project(i64),
    /// The namespace with this id.
    Namespace(i64),
}

#[derive(Serialize, Deserialize)]
struct Compact(i64, Source, i64, AccessLevel, Option<Date>);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Project,
    Namespace,
}

impl From<Compact> for Member {
    fn from(Compact(user_id, kind, id, access_level, expires_at): Compact) -> Self {
        let source = match kind {
            Source::Project => MemberSource::Project(id),
            Source::Namespace => MemberSource::Namespace(id),
        };
        Self { user_id, source, access_level, expires_at }
    }
}

impl From<Member> for Compact {
    fn from(member: Member) -> Self {
        let (kind, id) = match member.source {
            MemberSource::Project(id) => (Source::Project, id),
            MemberSource::Namespace(id) => (Source::Namespace, id),
        };
        Self(member.user_id, kind, id, member.access_level, member.expires_at)
    }
}
