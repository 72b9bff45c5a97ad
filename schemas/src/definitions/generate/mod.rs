//! New definition files, byte for byte as GitLab's own generator (`scripts/internal_events/cli`) writes them, and checked
//! before by the rules that definitions are loaded with. Asking people for the fields is the command line's affair.

mod event;
mod metric;
mod yaml;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

pub use self::event::{NewEvent, NewProperty};
pub use self::metric::{Counting, Measure, NewMetric, NewRule};
use super::errors::{LoadError, LoadErrors};
use super::fields;

/// What stands in a new file where its author gave no URL or description. As in GitLab the definitions load only when the
/// URL is filled in.
pub const TO_DO: &str = "TODO";

/// Tiers in the order in which they are written.
const TIERS: [&str; 3] = ["free", "premium", "ultimate"];

/// A definition file that is yet to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Where it belongs, below the folder that holds `config`: `ee/` comes first when the free tier is left out.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// A definition file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is a file already; nothing is ever overwritten.
    #[error("{} is there already and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// The file system refused.
    #[error("{} can't be written: {error}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl GeneratedFile {
    /// Writes the file below `root`, with the folders it needs; its path.
    pub fn write(&self, root: &Path) -> Result<PathBuf, WriteError> {
        let path = root.join(&self.path);
        let refused = |error| WriteError::Refused { path: path.clone(), error };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(refused)?;
        }
        let mut file = match File::create_new(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(WriteError::Exists(path));
            }
            Err(error) => return Err(refused(error)),
        };
        file.write_all(self.text.as_bytes()).and_then(|()| file.sync_all()).map_err(refused)?;
        Ok(path)
    }

    /// Whether a person has yet to fill in the URL, without which the definitions don't load.
    pub fn has_url_to_do(&self) -> bool {
        self.text.contains(&format!("\nintroduced_by_url: {TO_DO}\n"))
    }
}

/// The file with these fields in this order, unless something was wrong.
fn finish(path: String, document: &Mapping, errors: Vec<LoadError>) -> Result<GeneratedFile, LoadErrors> {
    if errors.is_empty() {
        Ok(GeneratedFile { path, text: yaml::emit(document) })
    } else {
        Err(LoadErrors(errors))
    }
}

/// The document as the loader shall judge it: whoever leaves the URL to do knows what is missing.
fn with_url(document: &Mapping) -> Mapping {
    let mut judged = document.clone();
    if judged.get("introduced_by_url").and_then(Value::as_str) == Some(TO_DO) {
        judged.insert("introduced_by_url".into(), "https://example.com".into());
    }
    judged
}

/// The path of a file below `config`; definitions that the free tier doesn't have lie apart.
fn path(tiers: &[String], folder: &str, name: &str) -> String {
    let edition = if tiers.iter().any(|tier| tier == "free") { "" } else { "ee/" };
    format!("{edition}config/{folder}/{name}.yml")
}

/// The words in the order of `known`, each once; unknown ones last, for the loader to refuse.
fn in_order_of(known: &[&str], words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    let place = |word: &String| known.iter().position(|known| known == word).unwrap_or(known.len());
    words.sort_by_key(place);
    words.dedup();
    words
}

/// The texts in alphabetical order, each once.
fn sorted(texts: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.into_iter().collect();
    texts.sort();
    texts.dedup();
    texts
}

fn list(texts: &[String]) -> Value {
    texts.iter().map(|text| Value::from(text.as_str())).collect()
}

/// A definition without tiers loads, and is nobody's.
fn check_tiers(path: &Arc<str>, tiers: &[String], errors: &mut Vec<LoadError>) {
    if tiers.is_empty() {
        errors.push(error(path, "tiers", "at least one of free, premium, ultimate", "none"));
    }
}

/// Refuses texts that people write and that would not stand in one line.
fn check_lines<'a>(
    path: &Arc<str>,
    texts: impl IntoIterator<Item = (String, &'a str)>,
    errors: &mut Vec<LoadError>,
) {
    for (field, text) in texts {
        if text.trim().is_empty() || text.trim() != text || text.chars().any(char::is_control) {
            errors.push(error(path, field, "one line of text without blanks around it", format!("{text:?}")));
        }
    }
}

fn error(
    path: &Arc<str>,
    field: impl Into<String>,
    expected: impl Into<String>,
    got: impl Into<String>,
) -> LoadError {
    LoadError { path: Arc::clone(path), field: field.into(), expected: expected.into(), got: got.into() }
}

/// A number, when the whole text is one.
fn number(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().ok().map(Value::from);
    whole.or_else(|| text.parse::<f64>().ok().filter(|double| double.is_finite()).map(Value::from))
}

/// What the loader calls a value that it refuses.
fn describe(text: &str) -> String {
    fields::describe(&Value::from(text))
}
