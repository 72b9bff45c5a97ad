//! The releases that versions are compared with: a YAML list in a file, read again when the file changes.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use jiff::civil::Date;
use serde::Deserialize;

use super::number::Version;

/// Bytes that the file may have.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// One release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) version: Version,
    pub(super) date: Date,
    /// Whether it closes a hole.
    pub(super) security: bool,
}

/// Why a releases file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ReleasesError {
    /// It is not there, or can't be read.
    #[error("{0} can't be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// It is too long.
    #[error("{0} is longer than {MAX_FILE_BYTES} bytes")]
    TooLong(PathBuf),
    /// It is no list of releases.
    #[error("{0} is no list of releases (version, date, security): {1}")]
    NoList(PathBuf, serde_yaml_ng::Error),
    /// An entry's version is none, or one that is not released, or there twice.
    #[error("{0} has the version {1:?}, {2}")]
    Version(PathBuf, String, &'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    version: String,
    date: Date,
    #[serde(default)]
    security: bool,
}

/// The file and what was last read of it.
pub(crate) struct ReleasesFile {
    path: PathBuf,
    read: Mutex<Read>,
}

struct Read {
    stamp: Option<Stamp>,
    releases: Arc<[Release]>,
}

/// What changes with a file.
type Stamp = (SystemTime, u64);

impl ReleasesFile {
    /// Reads the file. An empty path: no releases.
    pub(crate) fn open(path: &Path) -> Result<Self, ReleasesError> {
        let read = if path.as_os_str().is_empty() {
            Read { stamp: None, releases: Arc::new([]) }
        } else {
            Read { stamp: stamp(path)?, releases: load(path)? }
        };
        Ok(Self { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The releases as the file has them now; as it had them before where it can't be used any more.
    pub(super) async fn current(&self) -> Arc<[Release]> {
        if !self.path.as_os_str().is_empty() {
            self.refresh().await;
        }
        Arc::clone(&self.lock().releases)
    }

    async fn refresh(&self) {
        let path = self.path.clone();
        let known = self.lock().stamp;
        let reading = move || {
            // A file that is gone has no stamp: that is told once, and again when it is back.
            let stamp = stamp(&path).unwrap_or(None);
            (stamp != known).then(|| (stamp, load(&path)))
        };
        let Ok(Some((stamp, loaded))) = tokio::task::spawn_blocking(reading).await else { return };
        let mut read = self.lock();
        read.stamp = stamp;
        match loaded {
            Ok(releases) => {
                tracing::info!(count = releases.len(), "releases read again");
                read.releases = releases;
            }
            Err(error) => tracing::warn!(%error, "the former releases stay"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(path: &Path) -> Result<Option<Stamp>, ReleasesError> {
    let unreadable = |error| ReleasesError::Unreadable(path.to_owned(), error);
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    Ok(Some((metadata.modified().map_err(unreadable)?, metadata.len())))
}

fn load(path: &Path) -> Result<Arc<[Release]>, ReleasesError> {
    let unreadable = |error| ReleasesError::Unreadable(path.to_owned(), error);
    if std::fs::metadata(path).map_err(unreadable)?.len() > MAX_FILE_BYTES {
        return Err(ReleasesError::TooLong(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Arc<[Release]>, ReleasesError> {
    let entries: Vec<Entry> =
        serde_yaml_ng::from_str(text).map_err(|error| ReleasesError::NoList(path.to_owned(), error))?;
    let mut seen = BTreeSet::new();
    let release = |entry: Entry| {
        let wrong = |why| ReleasesError::Version(path.to_owned(), entry.version.clone(), why);
        let version: Version = entry.version.parse().map_err(|_| wrong("which is not of the form 17.5.2"))?;
        if !version.is_released {
            return Err(wrong("which is not a release"));
        }
        if !seen.insert(version) {
            return Err(wrong("which is there twice"));
        }
        Ok(Release { version, date: entry.date, security: entry.security })
    };
    entries.into_iter().map(release).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_file_is_refused_with_its_fault() {
        let fault = |text| parse(Path::new("r.yml"), text).unwrap_err().to_string();
        for (text, reason) in [
            ("a: 1", "r.yml is no list of releases"),
            ("- {version: 17.5.2}", "missing field `date`"),
            ("- {version: 17.5.2, date: 2024-10-23, kind: x}", "unknown field `kind`"),
            ("- {version: 17.5.2, date: soon}", "date"),
            ("- {version: new, date: 2024-10-23}", "\"new\", which is not of the form"),
            ("- {version: 17.5.0-pre, date: 2024-10-23}", "which is not a release"),
            (
                "- {version: 17.5.0, date: 2024-10-23}\n- {version: 17.5.0-ee, date: 2024-10-23}",
                "there twice",
            ),
        ] {
            assert!(fault(text).contains(reason), "{text}: {}", fault(text));
        }
        assert!(matches!(ReleasesFile::open(Path::new("nowhere/r.yml")), Err(ReleasesError::Unreadable(..))));
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |text: &str| std::fs::write(file.path(), text).unwrap();
        write("- {version: 17.5.2, date: 2024-10-23, security: true}");
        let releases = ReleasesFile::open(file.path()).unwrap();
        assert_eq!(releases.current().await.len(), 1);
        write("- {version: 17.5.2, date: 2024-10-23}\n- {version: 17.6.0, date: 2024-11-21}");
        assert_eq!(releases.current().await.len(), 2);
        write("nothing of the kind");
        assert_eq!(releases.current().await.len(), 2);
        std::fs::remove_file(file.path()).unwrap();
        assert_eq!(releases.current().await.len(), 2);
    }
}
