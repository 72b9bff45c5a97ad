//! Where GitLab's own definitions are: `TALLY_DEFINITIONS_CORPUS` names the folder with `config/events` and
//! `config/metrics`, or else the archive beside the repository is unpacked. The files are no part of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

fn archive() -> String {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    format!("{package}/../../shared/definitions/gitlab-ce-definitions.tar.gz")
}

/// The corpus' folder, which goes with the value where it was unpacked.
pub struct Corpus {
    pub root: PathBuf,
    _unpacked: Option<TempDir>,
}

impl Corpus {
    /// The corpus, unpacked once for all tests that run at the same time.
    pub fn find() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Corpus>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(corpus) = shared.upgrade() {
            return Some(corpus);
        }
        match Self::locate() {
            Ok(corpus) => {
                let corpus = Arc::new(corpus);
                *shared = Arc::downgrade(&corpus);
                Some(corpus)
            }
            Err(why) => {
                let line = format!("left out: definitions corpus: {why}");
                assert!(std::env::var("TALLY_REQUIRE").as_deref() != Ok("all"), "{line}");
                println!("{line}");
                None
            }
        }
    }

    fn locate() -> Result<Self, String> {
        if let Ok(root) = std::env::var("TALLY_DEFINITIONS_CORPUS") {
            let root = PathBuf::from(root);
            let is_corpus = root.join("config/events").is_dir() && root.join("config/metrics").is_dir();
            return if is_corpus {
                Ok(Self { root, _unpacked: None })
            } else {
                Err(format!(
                    "TALLY_DEFINITIONS_CORPUS is {}, without config/events and config/metrics",
                    root.display()
                ))
            };
        }
        if !Path::new(&archive()).is_file() {
            return Err("TALLY_DEFINITIONS_CORPUS is not set, and there is no archive beside the repository"
                .to_owned());
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let unpacked = Command::new("tar").arg("xzf").arg(archive()).arg("-C").arg(folder.path()).status();
        match unpacked {
            Ok(status) if status.success() => {
                Ok(Self { root: folder.path().to_owned(), _unpacked: Some(folder) })
            }
            Ok(status) => Err(format!("tar ended with {status}")),
            Err(error) => Err(format!("tar: {error}")),
        }
    }

    pub fn paths(&self) -> [String; 2] {
        ["config/events", "config/metrics"]
            .map(|folder| self.root.join(folder).to_string_lossy().into_owned())
    }
}
