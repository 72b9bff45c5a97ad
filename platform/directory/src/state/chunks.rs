//! The state read out as changes, a chunk at a time: for snapshots, compaction and the state's equality with its log.
//! Applied to an empty state, the changes of all chunks make an equal one.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::Value;
use uuid::Uuid;

use super::State;
use crate::{Change, IdKind, MemberSource};

/// Up to where a state was read out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Place);

/// The kind that is being read out, and the last record that was. The order is that of the chunks; it goes from what is
/// named to what names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    Setting(Option<String>),
    FeatureFlag(Option<String>),
    User(Option<i64>),
    Key(Option<i64>),
    Token(Option<i64>),
    Namespace(Option<i64>),
    Project(Option<i64>),
    Member(Option<(i64, MemberSource)>),
    Agent(Option<i64>),
    Subscription(Option<i64>),
    MinutePack(Option<String>),
    Reconciliation(Option<i64>),
    Alert(Option<(i64, String)>),
    ReferenceCount(Option<(String, Uuid)>),
}

impl Cursor {
    /// The cursor behind all memberships, if it stands among them.
    pub(crate) fn past_members(self) -> Self {
        match self.0 {
            Place::Member(_) => Self(Place::Agent(None)),
            place => Self(place),
        }
    }
}

impl Place {
    /// The beginning of the kind after this one.
    fn next(&self) -> Option<Self> {
        Some(match self {
            Self::Head => Self::Setting(None),
            Self::Setting(_) => Self::FeatureFlag(None),
            Self::FeatureFlag(_) => Self::User(None),
            Self::User(_) => Self::Key(None),
            Self::Key(_) => Self::Token(None),
            Self::Token(_) => Self::Namespace(None),
            Self::Namespace(_) => Self::Project(None),
            Self::Project(_) => Self::Member(None),
            Self::Member(_) => Self::Agent(None),
            Self::Agent(_) => Self::Subscription(None),
            Self::Subscription(_) => Self::MinutePack(None),
            Self::MinutePack(_) => Self::Reconciliation(None),
            Self::Reconciliation(_) => Self::Alert(None),
            Self::Alert(_) => Self::ReferenceCount(None),
            Self::ReferenceCount(_) => return None,
        })
    }
}

impl State {
    /// About `limit` changes that follow `cursor`, and where they end; no changes at the state's end.
    ///
    /// The state may change between two chunks. What was written or taken away before its turn is read out as it is then.
    pub fn changes_after(&self, cursor: &Cursor, limit: usize) -> (Vec<Change>, Cursor) {
        let mut changes = Vec::with_capacity(limit.min(1_000));
        let mut place = cursor.0.clone();
        loop {
            self.read_out(&mut place, &mut changes, limit);
            let is_full = changes.len() >= limit;
            // The head is read out whole; of every other kind there may be more.
            if is_full && place != Place::Head {
                break;
            }
            match place.next() {
                Some(next) => place = next,
                None => break,
            }
            if is_full {
                break;
            }
        }
        (changes, Cursor(place))
    }

    /// Adds changes of one kind until there are `limit` or no more of it, and moves `place` behind the last.
    fn read_out(&self, place: &mut Place, changes: &mut Vec<Change>, limit: usize) {
        match place {
            Place::Head => changes.extend(self.head()),
            Place::Setting(last) => page(&self.settings, last, changes, limit, |name, value| {
                Change::Setting { name: name.clone(), value: Value::clone(value) }
            }),
            Place::FeatureFlag(last) => page(&self.feature_flags, last, changes, limit, |name, enabled| {
                Change::FeatureFlag { name: name.clone(), enabled: *enabled }
            }),
            Place::User(last) => {
                page(&self.users, last, changes, limit, |_, user| Change::User((**user).clone()));
            }
            Place::Key(last) => {
                page(&self.keys, last, changes, limit, |_, key| Change::Key((**key).clone()));
            }
            Place::Token(last) => {
                page(&self.tokens, last, changes, limit, |_, token| Change::Token((**token).clone()));
            }
            Place::Namespace(last) => page(&self.namespaces, last, changes, limit, |_, namespace| {
                Change::Namespace((**namespace).clone())
            }),
            Place::Project(last) => {
                page(&self.projects, last, changes, limit, |_, project| Change::Project((**project).clone()));
            }
            Place::Member(last) => self.read_out_members(last, changes, limit),
            Place::Agent(last) => {
                page(&self.agents, last, changes, limit, |_, agent| Change::Agent((**agent).clone()));
            }
            Place::Subscription(last) => {
                page(&self.subscriptions, last, changes, limit, |_, subscription| {
                    Change::Subscription((**subscription).clone())
                });
            }
            Place::MinutePack(last) => {
                page(&self.packs, last, changes, limit, |_, pack| Change::MinutePack((**pack).clone()));
            }
            Place::Reconciliation(last) => {
                page(&self.reconciliations, last, changes, limit, |_, next| Change::Reconciliation(*next));
            }
            Place::Alert(last) => {
                nested_page(&self.alerts, last, changes, limit, |alert| Change::Alert((**alert).clone()));
            }
            Place::ReferenceCount(last) => nested_page(&self.references, last, changes, limit, |count| {
                Change::ReferenceCount(count.clone())
            }),
        }
    }

    /// What stands once in a state. The used ids come first, so that no chunk alone would hand one out again.
    fn head(&self) -> impl Iterator<Item = Change> {
        let identity = self.identity.map(|id| Change::Identity { id });
        let used = IdKind::ALL
            .into_iter()
            .filter_map(|kind| self.ids_used.get(&kind).map(|up_to| Change::IdsUsed { kind, up_to: *up_to }));
        identity.into_iter().chain(used)
    }

    fn read_out_members(
        &self,
        last: &mut Option<(i64, MemberSource)>,
        changes: &mut Vec<Change>,
        limit: usize,
    ) {
        let room = limit.saturating_sub(changes.len());
        for member in self.members.after(*last).take(room) {
            *last = Some((member.user_id, member.source));
            changes.push(Change::Member(member));
        }
    }
}

/// Records after `last`, which moves along.
fn page<K: Clone + Ord, V>(
    records: &BTreeMap<K, V>,
    last: &mut Option<K>,
    changes: &mut Vec<Change>,
    limit: usize,
    change: impl Fn(&K, &V) -> Change,
) {
    let room = limit.saturating_sub(changes.len());
    let from = last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut end = None;
    for (key, record) in records.range((from, Bound::Unbounded)).take(room) {
        changes.push(change(key, record));
        end = Some(key);
    }
    if let Some(end) = end {
        *last = Some(end.clone());
    }
}

/// As [`page`], for records with two keys.
fn nested_page<K: Clone + Ord, L: Clone + Ord, V>(
    records: &BTreeMap<K, BTreeMap<L, V>>,
    last: &mut Option<(K, L)>,
    changes: &mut Vec<Change>,
    limit: usize,
    change: impl Fn(&V) -> Change,
) {
    let room = limit.saturating_sub(changes.len());
    let start = last.clone();
    let from = start.as_ref().map_or(Bound::Unbounded, |(outer, _)| Bound::Included(outer));
    let later = records
        .range((from, Bound::Unbounded))
        .flat_map(|(outer, inner)| inner.iter().map(move |(key, record)| (outer, key, record)))
        .filter(|(outer, key, _)| start.as_ref().is_none_or(|(start, from)| (*outer, *key) > (start, from)));
    for (outer, key, record) in later.take(room) {
        *last = Some((outer.clone(), key.clone()));
        changes.push(change(record));
    }
}
