//! From paths to definitions: which files are read, which of them are events and which metrics, and what must be
//! unique among all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_yaml_ng::Value;

use super::errors::LoadError;
use super::{Definitions, event, fields, metric};

/// Folders that hold no definitions in force. Hidden ones are skipped, too: a mounted Kubernetes `ConfigMap` keeps
/// its files twice, once in such a folder.
const SKIPPED_FOLDERS: &[&str] = &["removed", "schema", "objects_schemas"];

/// Reads definitions one file at a time.
#[derive(Default)]
pub(super) struct Loader {
    definitions: Definitions,
    errors: Vec<LoadError>,
    events: usize,
    metric_files: usize,
}

/// What was read, as far as it was sound.
pub(super) struct Loaded {
    pub(super) definitions: Definitions,
    pub(super) errors: Vec<LoadError>,
    /// How many event files there were, sound or not.
    pub(super) event_files: usize,
    /// How many metric files there were, sound or not.
    pub(super) metric_files: usize,
}

/// Reads every file that `paths` name: files, folders, or globs of either.
pub(super) fn load<P: AsRef<str>>(paths: &[P]) -> Loaded {
    let mut loader = Loader::default();
    for file in loader.files(paths) {
        loader.read_file(&file);
    }
    loader.finish()
}

/// The files that `paths` name, each once, in order, and which paths name none.
pub(super) fn files<P: AsRef<str>>(paths: &[P]) -> (Vec<PathBuf>, Vec<LoadError>) {
    let mut loader = Loader::default();
    let files = loader.files(paths);
    (files, loader.errors)
}

impl Loader {
    /// The files that `paths` name, each once, in order.
    fn files<P: AsRef<str>>(&mut self, paths: &[P]) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for path in paths {
            self.expand(path.as_ref(), &mut files);
        }
        let mut seen = BTreeSet::new();
        files.retain(|file| seen.insert(fs::canonicalize(file).unwrap_or_else(|_| file.clone())));
        files
    }

    fn expand(&mut self, path: &str, files: &mut Vec<PathBuf>) {
        let plain = Path::new(path);
        if plain.exists() {
            return self.expand_existing(plain, files);
        }
        let found = match glob::glob(path) {
            Ok(found) => found.collect::<Result<Vec<_>, _>>(),
            Err(error) => return self.error(path, "a file, a folder or a glob", error.to_string()),
        };
        match found {
            Ok(found) if found.is_empty() => {
                self.error(path, "a file, a folder or a glob of some", "nothing there");
            }
            Ok(found) => found.iter().for_each(|path| self.expand_existing(path, files)),
            Err(error) => self.error(path, "readable folders", error.to_string()),
        }
    }

    fn expand_existing(&mut self, path: &Path, files: &mut Vec<PathBuf>) {
        if !path.is_dir() {
            files.push(path.to_owned());
        } else if let Err(error) = walk(path, files) {
            self.error(&path.to_string_lossy(), "a readable folder", error.to_string());
        }
    }

    fn read_file(&mut self, path: &Path) {
        let name = path.to_string_lossy();
        match fs::read_to_string(path) {
            Ok(yaml) => self.read(&name, &yaml),
            Err(error) => self.error(&name, "a readable file", error.to_string()),
        }
    }

    /// Reads one definition. A file with a `key_path` is a metric, one with an `action` an event.
    pub(super) fn read(&mut self, path: &str, yaml: &str) {
        let document = match serde_yaml_ng::from_str(yaml) {
            Ok(document) => document,
            Err(error) => return self.error(path, "YAML", error.to_string()),
        };
        let path: Arc<str> = path.into();
        match document {
            Value::Mapping(mapping) if mapping.contains_key("key_path") => {
                self.metric_files += 1;
                self.definitions.metrics.extend(metric::parse(&path, &mapping, &mut self.errors));
            }
            Value::Mapping(mapping) if mapping.contains_key("action") => {
                self.events += 1;
                self.definitions.events.extend(event::parse(&path, &mapping, &mut self.errors));
            }
            Value::Mapping(_) => self.error(&path, "a metric's key_path or an event's action", "neither"),
            other => self.error(&path, "a mapping", fields::describe(&other)),
        }
    }

    pub(super) fn finish(mut self) -> Loaded {
        self.index_internal_events();
        self.definitions.collect_metric_events();
        self.check_key_paths();
        Loaded {
            definitions: self.definitions,
            errors: self.errors,
            event_files: self.events,
            metric_files: self.metric_files,
        }
    }

    /// Finds internal events by name; two of one name are an error. Older Snowplow events may share theirs.
    fn index_internal_events(&mut self) {
        for (index, event) in
            self.definitions.events.iter().enumerate().filter(|(_, event)| event.internal_events)
        {
            if let Some(earlier) = self.definitions.internal_events.insert(event.action.clone(), index) {
                let earlier = &self.definitions.events[earlier].path;
                self.errors.push(LoadError {
                    path: Arc::clone(&event.path),
                    field: "action".to_owned(),
                    expected: "a name no other internal event has".to_owned(),
                    got: format!("{:?}, which {earlier} has", event.action),
                });
            }
        }
    }

    /// A key path may neither be another's nor lead into another's value.
    fn check_key_paths(&mut self) {
        let metrics = &self.definitions.metrics;
        let mut by_key_path: FxHashMap<&str, usize> = FxHashMap::default();
        let mut clash = |metric: &super::Metric, expected: &str, other: usize| {
            self.errors.push(LoadError {
                path: Arc::clone(&metric.path),
                field: "key_path".to_owned(),
                expected: expected.to_owned(),
                got: format!(
                    "{:?}, where {} has {:?}",
                    metric.key_path, metrics[other].path, metrics[other].key_path
                ),
            });
        };
        for (index, metric) in metrics.iter().enumerate() {
            if let Some(earlier) = by_key_path.insert(&metric.key_path, index) {
                clash(metric, "a key path no other metric has", earlier);
            }
        }
        for metric in metrics {
            let parents = metric.key_path.match_indices('.').map(|(end, _)| &metric.key_path[..end]);
            if let Some(other) = parents.into_iter().find_map(|parent| by_key_path.get(parent)) {
                clash(metric, "a key path that doesn't lead through another metric's", *other);
            }
        }
    }

    fn error(&mut self, path: &str, expected: &str, got: impl Into<String>) {
        let path = path.into();
        let error = LoadError { path, field: String::new(), expected: expected.to_owned(), got: got.into() };
        self.errors.push(error);
    }
}

/// Collects the YAML files below a folder, in the order of their names.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !SKIPPED_FOLDERS.contains(&name.as_ref()) {
                walk(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
            && path.is_file()
        {
            files.push(path);
        }
    }
    Ok(())
}
