//! GitLab's own definitions. The files are no part of this repository: `TALLY_DEFINITIONS_CORPUS` names the folder with
//! `config/events` and `config/metrics`, or else the archive beside the repository is unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tally_schemas::Definitions;
use tally_schemas::definitions::LegacyNames;

/// The corpus' folder, or `None` after saying that the test is left out.
pub fn root(test: &str) -> Option<&'static Path> {
    static ROOT: OnceLock<Result<(PathBuf, Option<tempfile::TempDir>), String>> = OnceLock::new();
    match ROOT.get_or_init(locate) {
        Ok((root, _)) => Some(root),
        Err(why) => {
            let line = format!("left out: {test}: {why}");
            assert!(std::env::var("TALLY_REQUIRE").as_deref() != Ok("all"), "{line}");
            println!("{line}");
            None
        }
    }
}

fn locate() -> Result<(PathBuf, Option<tempfile::TempDir>), String> {
    if let Ok(root) = std::env::var("TALLY_DEFINITIONS_CORPUS") {
        return Ok((root.into(), None));
    }
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let archive = format!("{package}/../../shared/definitions/gitlab-ce-definitions.tar.gz");
    if !Path::new(&archive).is_file() {
        return Err("TALLY_DEFINITIONS_CORPUS is not set, and no archive is beside the repository".to_owned());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let unpacked = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(folder.path()).status();
    match unpacked {
        Ok(status) if status.success() => Ok((folder.path().to_owned(), Some(folder))),
        outcome => Err(format!("tar: {outcome:?}")),
    }
}

/// All definitions, with the legacy names' counters.
pub fn definitions(root: &Path) -> Definitions {
    let folders = ["config/events", "config/metrics"].map(|folder| root.join(folder).display().to_string());
    let definitions = Definitions::load(&folders).unwrap_or_else(|errors| panic!("{errors}"));
    let legacy = root.join("legacy");
    if !legacy.is_dir() {
        return definitions;
    }
    let names =
        LegacyNames::load(&[legacy.display().to_string()]).unwrap_or_else(|errors| panic!("{errors}"));
    definitions.with_legacy_names(names)
}
