//! Event and metric definitions in GitLab's YAML form: what is known, what may be sent with it, and what is
//! computed from it. Files are read as YAML 1.2, where `on` and `yes` are strings and an unquoted 1.10 is the
//! number 1.1.

mod built_in;
mod errors;
mod event;
mod fields;
pub mod generate;
mod increments;
mod legacy_names;
mod lint;
mod load;
mod metric;
mod redis_key;
mod rules;
mod sql;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

pub use self::errors::{LoadError, LoadErrors};
pub use self::event::EventDefinition;
pub use self::increments::IncrementTargets;
pub use self::legacy_names::LegacyNames;
pub use self::lint::{Finding, LintReport, Severity, lint};
pub use self::metric::{DataCategory, DataSource, Metric, MetricKind, Status, ValueType};

/// All definitions Tally works with.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    events: Vec<EventDefinition>,
    metrics: Vec<Metric>,
    /// The internal events' places in `events`, by name.
    internal_events: FxHashMap<String, usize>,
    legacy_names: LegacyNames,
    /// The names by which metrics of data source `redis` and `redis_hll` know their events.
    metric_events: BTreeSet<String>,
}

impl Definitions {
    /// Tally's own definitions: a small example set, for an installation without any.
    pub fn built_in() -> Self {
        built_in::load()
    }

    /// Loads files, folders and globs of either. Folders are read recursively, except those called `removed`,
    /// `schema` or `objects_schemas`; a file named twice is read once. All that is wrong comes back at once.
    pub fn load<P: AsRef<str>>(paths: &[P]) -> Result<Self, LoadErrors> {
        let loaded = load::load(paths);
        if loaded.errors.is_empty() { Ok(loaded.definitions) } else { Err(LoadErrors(loaded.errors)) }
    }

    /// The definitions that `paths` name; Tally's own where they name none.
    pub fn load_or_built_in<P: AsRef<str>>(paths: &[P]) -> Result<Self, LoadErrors> {
        if paths.is_empty() { Ok(Self::built_in()) } else { Self::load(paths) }
    }

    /// The internal event of that name.
    pub fn event(&self, name: &str) -> Option<&EventDefinition> {
        self.internal_events.get(name).map(|index| &self.events[*index])
    }

    /// Every event definition, older Snowplow events too.
    pub fn events(&self) -> impl Iterator<Item = &EventDefinition> {
        self.events.iter()
    }

    /// Every metric, one per key path, whatever its data source and status.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }
}
