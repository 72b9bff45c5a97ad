//! The payload's tree: values at dotted key paths.

use serde_json::{Map, Value};

/// A key path's place is taken: by a value where a branch is needed, or the other way round.
#[derive(Debug, PartialEq)]
pub(super) struct Collision;

/// Puts `value` at `key_path`, with a branch for every segment before the last.
pub(super) fn insert(tree: &mut Map<String, Value>, key_path: &str, value: Value) -> Result<(), Collision> {
    let Some((head, rest)) = key_path.split_once('.') else {
        return match tree.insert(key_path.to_owned(), value) {
            None => Ok(()),
            Some(earlier) => {
                tree.insert(key_path.to_owned(), earlier);
                Err(Collision)
            }
        };
    };
    let branch = tree.entry(head).or_insert_with(|| Value::Object(Map::new()));
    insert(branch.as_object_mut().ok_or(Collision)?, rest, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn key_paths_that_share_a_branch_are_merged() {
        let mut tree = Map::new();
        for (key_path, value) in [("a.b.c", 1), ("a.b.d", 2), ("a.e", 3), ("f", 4)] {
            insert(&mut tree, key_path, value.into()).unwrap();
        }
        assert_eq!(Value::Object(tree), json!({"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": 4}));
    }

    #[test]
    fn the_first_of_two_colliding_key_paths_stays() {
        for (first, second) in [("a", "a"), ("a", "a.b"), ("a.b", "a")] {
            let mut tree = Map::new();
            insert(&mut tree, first, 1.into()).unwrap();
            let before = tree.clone();
            assert_eq!(insert(&mut tree, second, 2.into()), Err(Collision), "{first} then {second}");
            assert_eq!(tree, before);
        }
    }
}
