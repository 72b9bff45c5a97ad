//! What a test needs from outside the workspace, and what happens when it is not there: the test says that it was left out,
//! or fails where `TALLY_REQUIRE=all` forbids leaving anything out.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The repository's root. Cargo names the package's folder when it runs a test; the one known at build time may be that of
/// another clone with the same target folder.
pub fn root() -> PathBuf {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    Path::new(&package).parent().expect("this crate lies in the repository's root").to_owned()
}

/// The tool that a test can't do without, or `None` after saying that the test is left out.
///
/// # Panics
/// Where `TALLY_REQUIRE=all` and the tool is missing.
pub fn require<T>(test: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            assert!(
                std::env::var("TALLY_REQUIRE").as_deref() != Ok("all"),
                "nothing may be left out here, and {test} can't run: {why}"
            );
            println!("left out: {test}: {why}");
            None
        }
    }
}

/// GitLab's definitions, unpacked by one of the process's tests while the others wait.
static UNPACKED: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// The folder that holds GitLab's own definitions (`events/`, `metrics/`), unpacked on first use.
pub fn corpus() -> Result<PathBuf, String> {
    if let Ok(folder) = std::env::var("TALLY_DEFINITIONS_CORPUS") {
        return Ok(PathBuf::from(folder).join("config"));
    }
    let archive = root().join("../shared/definitions/gitlab-ce-definitions.tar.gz");
    if !archive.exists() {
        return Err("GitLab's definitions are not beside the repository".to_owned());
    }
    UNPACKED.get_or_init(|| unpack(&archive)).clone()
}

fn unpack(archive: &Path) -> Result<PathBuf, String> {
    let target = std::env::temp_dir().join(format!("tally-corpus-{}", std::process::id()));
    std::fs::create_dir_all(&target).map_err(|error| error.to_string())?;
    let status = std::process::Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(&target).status();
    if !status.is_ok_and(|status| status.success()) {
        return Err(format!("{} can't be unpacked", archive.display()));
    }
    Ok(target.join("config"))
}

/// The Python that has the packages of `tests/clients/requirements.txt`.
pub fn python() -> Result<PathBuf, String> {
    let python = std::env::var("TALLY_PYTHON").map(PathBuf::from).unwrap_or_default();
    if python.exists() {
        Ok(python)
    } else {
        Err("TALLY_PYTHON names no Python; run `make setup`".to_owned())
    }
}

/// The folder of Node packages, if it holds this one.
pub fn node_modules(package: &str) -> Result<PathBuf, String> {
    let modules = std::env::var("TALLY_NODE_MODULES").map(PathBuf::from).unwrap_or_default();
    if modules.join(package).exists() {
        Ok(modules)
    } else {
        Err(format!("TALLY_NODE_MODULES names no folder with {package}; run `make setup`"))
    }
}

/// The Chromium to drive: the one that `TALLY_CHROMIUM` names, else Debian's on the path.
pub fn chromium() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("TALLY_CHROMIUM").map(PathBuf::from) {
        let found = named.is_file().then_some(named);
        return found.ok_or_else(|| "TALLY_CHROMIUM names no Chromium".to_owned());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&folders).map(|folder| folder.join("chromium")).find(|path| path.is_file());
    found.ok_or_else(|| {
        "there is no chromium on the path; install it, or name one with TALLY_CHROMIUM".to_owned()
    })
}
