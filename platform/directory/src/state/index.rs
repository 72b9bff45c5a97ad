//! An index of what ought to be unique: which record has a name.
//!
//! Commands see to it that no two records have the same name at rest. In between it happens: a snapshot is read out while
//! names change hands, and so is an import written. The index therefore knows all that have a name, and finds the first by
//! id, so that it depends on the records alone and not on their order.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// Ids by name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index<K> {
    first: BTreeMap<K, i64>,
    /// Those after the first, where there are several.
    others: BTreeMap<K, BTreeSet<i64>>,
}

impl<K> Default for Index<K> {
    fn default() -> Self {
        Self { first: BTreeMap::new(), others: BTreeMap::new() }
    }
}

impl<K: Clone + Ord> Index<K> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, name: &Q) -> Option<&i64>
    where
        K: Borrow<Q>,
    {
        self.first.get(name)
    }

    pub(super) fn insert(&mut self, name: &K, id: i64) {
        match self.first.get_mut(name) {
            None => {
                self.first.insert(name.clone(), id);
            }
            Some(first) if *first == id => {}
            Some(first) => {
                let later = id.max(*first);
                *first = id.min(*first);
                self.others.entry(name.clone()).or_default().insert(later);
            }
        }
    }

    pub(super) fn remove(&mut self, name: &K, id: i64) {
        let Some(first) = self.first.get_mut(name) else { return };
        let Some(others) = self.others.get_mut(name) else {
            if *first == id {
                self.first.remove(name);
            }
            return;
        };
        if *first == id {
            *first = others.pop_first().expect("a set of others is taken away with its last");
        } else {
            others.remove(&id);
        }
        if others.is_empty() {
            self.others.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contested_name_finds_the_first_and_survives_either() {
        let mut index = Index::default();
        let name = "n".to_owned();
        for id in [5, 3, 9, 3] {
            index.insert(&name, id);
        }
        assert_eq!(index.get("n"), Some(&3));
        index.remove(&name, 3);
        assert_eq!(index.get("n"), Some(&5));
        index.remove(&name, 9);
        index.remove(&name, 7);
        assert_eq!(index.get("n"), Some(&5));
        index.remove(&name, 5);
        assert_eq!(index, Index::default());
    }
}
