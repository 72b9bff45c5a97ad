//! Memberships, packed: ten million of them are the bulk of the state. Kept by user, which is how access is asked for,
//! and the users once more by source.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rustc_hash::FxHashMap;

use crate::{AccessLevel, Member, MemberSource};

/// Every membership there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Memberships {
    by_user: BTreeMap<i64, Vec<Packed>>,
    /// Sorted. Users come mostly in the order of their ids, and then this costs least.
    users: FxHashMap<MemberSource, Vec<i64>>,
}

/// A membership without its user, 16 bytes long. A user's are sorted by source.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Packed {
    source: PackedSource,
    access_level: AccessLevel,
    expires_at: Option<Date>,
}

/// A source as one number: the id doubled, odd for a namespace. Sorts projects and namespaces among each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PackedSource(i64);

impl From<MemberSource> for PackedSource {
    fn from(source: MemberSource) -> Self {
        match source {
            MemberSource::Project(id) => Self(id << 1),
            MemberSource::Namespace(id) => Self(id << 1 | 1),
        }
    }
}

impl From<PackedSource> for MemberSource {
    fn from(PackedSource(packed): PackedSource) -> Self {
        if packed & 1 == 0 { Self::Project(packed >> 1) } else { Self::Namespace(packed >> 1) }
    }
}

impl Packed {
    fn of(self, user_id: i64) -> Member {
        Member {
            user_id,
            source: self.source.into(),
            access_level: self.access_level,
            expires_at: self.expires_at,
        }
    }
}

impl Memberships {
    pub(super) fn insert(&mut self, member: Member) {
        let Member { user_id, source, access_level, expires_at } = member;
        let packed = Packed { source: source.into(), access_level, expires_at };
        let memberships = self.by_user.entry(user_id).or_default();
        match position(memberships, packed.source) {
            Ok(found) => memberships[found] = packed,
            Err(free) => {
                memberships.insert(free, packed);
                let users = self.users.entry(source).or_default();
                if users.last().is_none_or(|last| *last < user_id) {
                    users.push(user_id);
                } else if let Err(free) = users.binary_search(&user_id) {
                    users.insert(free, user_id);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, user_id: i64, source: MemberSource) {
        if let Some(memberships) = self.by_user.get_mut(&user_id)
            && let Ok(found) = position(memberships, source.into())
        {
            memberships.remove(found);
            if memberships.is_empty() {
                self.by_user.remove(&user_id);
            }
            self.forget_user(user_id, source);
        }
    }

    pub(super) fn remove_user(&mut self, user_id: i64) {
        for packed in self.by_user.remove(&user_id).unwrap_or_default() {
            self.forget_user(user_id, packed.source.into());
        }
    }

    pub(super) fn remove_source(&mut self, source: MemberSource) {
        for user_id in self.users.remove(&source).unwrap_or_default() {
            self.remove(user_id, source);
        }
    }

    fn forget_user(&mut self, user_id: i64, source: MemberSource) {
        if let Some(users) = self.users.get_mut(&source) {
            if let Ok(found) = users.binary_search(&user_id) {
                users.remove(found);
            }
            if users.is_empty() {
                self.users.remove(&source);
            }
        }
    }

    pub(super) fn get(&self, user_id: i64, source: MemberSource) -> Option<Member> {
        let memberships = self.by_user.get(&user_id)?;
        let found = position(memberships, source.into()).ok()?;
        Some(memberships[found].of(user_id))
    }

    pub(super) fn of_user(&self, user_id: i64) -> impl Iterator<Item = Member> {
        self.by_user.get(&user_id).into_iter().flatten().map(move |packed| packed.of(user_id))
    }

    /// The users of a source, by id.
    pub(super) fn users_of(&self, source: MemberSource) -> impl Iterator<Item = i64> {
        self.users.get(&source).into_iter().flatten().copied()
    }

    /// All of them by user, from the one after `(user, source)` on.
    pub(super) fn after(&self, last: Option<(i64, MemberSource)>) -> impl Iterator<Item = Member> {
        let (user, source) =
            last.map_or((i64::MIN, PackedSource(i64::MIN)), |(user, source)| (user, source.into()));
        self.by_user.range(user..).flat_map(move |(&user_id, memberships)| {
            let from = if user_id == user {
                memberships.partition_point(|packed| packed.source <= source)
            } else {
                0
            };
            memberships[from..].iter().map(move |packed| packed.of(user_id))
        })
    }
}

fn position(memberships: &[Packed], source: PackedSource) -> Result<usize, usize> {
    memberships.binary_search_by_key(&source, |packed| packed.source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_membership_takes_16_bytes() {
        assert_eq!(size_of::<Packed>(), 16);
    }

    #[test]
    fn sources_survive_packing() {
        for source in [1, 2, 5_000_000_000, i64::MAX >> 1]
            .into_iter()
            .flat_map(|id| [MemberSource::Project(id), MemberSource::Namespace(id)])
        {
            assert_eq!(MemberSource::from(PackedSource::from(source)), source);
        }
    }
}
