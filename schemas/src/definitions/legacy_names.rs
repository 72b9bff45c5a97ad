//! GitLab's lists of legacy names: under which older Redis key an internal event's counter is kept
//! (`hll_redis_key_overrides.yml`, `total_counter_redis_key_overrides.yml`), and which events are unique counts that
//! never became internal events (`hll_redis_legacy_events.yml`). What follows from them for counters is in
//! `increments.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_yaml_ng::Value;

use super::errors::{LoadError, LoadErrors};
use super::{fields, load};

/// What the keys of totals begin with, in the lists as in Redis; those of unique counts are listed without.
const TOTALS_SLOT: &str = "{event_counters}_";

/// What a legacy key of a total may begin with; clients leave it out.
const USAGE_PREFIX: &str = "USAGE_";

/// The names under which older clients and older metrics know counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LegacyNames {
    /// From a total's key without slot to the legacy key, as in `USAGE_SNIPPET_CREATE`.
    totals: BTreeMap<String, String>,
    /// From a unique count's key to the legacy event's name.
    uniques: BTreeMap<String, String>,
    /// Unique counts that are no internal events.
    events: BTreeSet<String>,
}

impl LegacyNames {
    /// Reads lists in GitLab's form from files, folders and globs of either, all that is wrong coming back at once.
    /// A mapping's entries go from a counter's Redis key to its legacy key; a sequence names legacy events.
    pub fn load<P: AsRef<str>>(paths: &[P]) -> Result<Self, LoadErrors> {
        let (files, mut errors) = load::files(paths);
        let mut names = Self::default();
        for file in &files {
            names.read_file(file, &mut errors);
        }
        if errors.is_empty() { Ok(names) } else { Err(LoadErrors(errors)) }
    }

    /// Whether no name is known.
    pub fn is_empty(&self) -> bool {
        self.totals.is_empty() && self.uniques.is_empty() && self.events.is_empty()
    }

    /// The legacy name of the total with that key (see `redis_key.rs`).
    pub(super) fn of_total(&self, key: &str) -> Option<String> {
        self.totals.get(key).map(|legacy| total_name(legacy))
    }

    /// The legacy name of the unique count with that key.
    pub(super) fn of_unique(&self, key: &str) -> Option<&str> {
        self.uniques.get(key).map(String::as_str)
    }

    /// The legacy names of all totals.
    pub(super) fn totals(&self) -> impl Iterator<Item = String> {
        self.totals.values().map(|legacy| total_name(legacy))
    }

    /// The legacy names of all unique counts, some of them twice.
    pub(super) fn uniques(&self) -> impl Iterator<Item = &str> {
        self.uniques.values().chain(&self.events).map(String::as_str)
    }

    fn read_file(&mut self, file: &Path, errors: &mut Vec<LoadError>) {
        let path: Arc<str> = file.to_string_lossy().into();
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => return errors.push(error_in(&path, "", "a readable file", error.to_string())),
        };
        match serde_yaml_ng::from_str(&text) {
            Ok(document) => self.read(&path, &document, errors),
            Err(error) => errors.push(error_in(&path, "", "YAML", error.to_string())),
        }
    }

    fn read(&mut self, path: &Arc<str>, document: &Value, errors: &mut Vec<LoadError>) {
        match document {
            Value::Mapping(entries) => {
                for (key, legacy) in entries {
                    match (key.as_str(), fields::filled(legacy)) {
                        (Some(key), Some(legacy)) => self.add(key, legacy),
                        (Some(key), None) => {
                            errors.push(error_in(path, key, "a legacy key", fields::describe(legacy)));
                        }
                        (None, _) => {
                            errors.push(error_in(path, "", "strings as keys", fields::describe(key)));
                        }
                    }
                }
            }
            Value::Sequence(names) => {
                for (index, name) in names.iter().enumerate() {
                    match fields::filled(name) {
                        Some(name) => _ = self.events.insert(name.to_owned()),
                        None => errors.push(error_in(
                            path,
                            &index.to_string(),
                            "an event's name",
                            fields::describe(name),
                        )),
                    }
                }
            }
            other => errors.push(error_in(path, "", "a mapping or a list", fields::describe(other))),
        }
    }

    fn add(&mut self, key: &str, legacy: &str) {
        match key.strip_prefix(TOTALS_SLOT) {
            Some(key) => self.totals.insert(key.to_owned(), legacy.to_owned()),
            None => self.uniques.insert(key.to_owned(), legacy.to_owned()),
        };
    }
}

/// The name by which clients increment the total with that legacy key: `snippet_create` for `USAGE_SNIPPET_CREATE`.
/// GitLab makes the key of prefix and event, in capitals.
pub(super) fn total_name(legacy_key: &str) -> String {
    legacy_key.strip_prefix(USAGE_PREFIX).unwrap_or(legacy_key).to_ascii_lowercase()
}

fn error_in(path: &Arc<str>, field: &str, expected: &str, got: String) -> LoadError {
    LoadError { path: Arc::clone(path), field: field.to_owned(), expected: expected.to_owned(), got }
}
