//! Where ClickHouse's engine (`libchdb.so`, on macOS `libchdb.dylib`) is looked for. Never below the working directory:
//! that would run code out of a folder that may be anybody's.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::EngineError;

const FILE: &str = if cfg!(target_os = "macos") { "libchdb.dylib" } else { "libchdb.so" };

/// The environment variable that names the library.
pub const VARIABLE: &str = "TALLY_CHDB_LIB";

/// The library's path: the configured one, else `TALLY_CHDB_LIB`, else the first default place that has it.
pub fn find(configured: Option<&Path>) -> Result<PathBuf, EngineError> {
    let named = configured.map(Path::to_owned).or_else(|| env::var_os(VARIABLE).map(PathBuf::from));
    let candidates = named.map_or_else(default_places, |path| vec![path]);
    match candidates.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(EngineError::LibraryMissing {
            looked_at: candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn default_places() -> Vec<PathBuf> {
    let executable = env::current_exe().ok();
    places(executable.as_deref(), |name| env::var_os(name).filter(|value| !value.is_empty()))
}

/// Beside the executable, then in the caches: Tally's own, the desktop standard's, the usual one.
fn places(executable: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let folder = |name: &str, below: &str| variable(name).map(|value| Path::new(&value).join(below));
    let folders = [
        executable.and_then(Path::parent).map(Path::to_owned),
        folder("TALLY_CACHE", "chdb"),
        folder("XDG_CACHE_HOME", "tally/chdb"),
        folder("HOME", ".cache/tally/chdb"),
    ];
    folders.into_iter().flatten().filter(|path| path.is_absolute()).map(|path| path.join(FILE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_names_where_it_was_sought_and_what_fetches_it() {
        let error = find(Some(Path::new("/nowhere/libchdb.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libchdb.so"), "{error}");
        assert!(error.contains("make setup"), "{error}");
    }

    #[test]
    fn the_configured_library_is_taken() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(find(Some(file.path())).unwrap(), file.path());
    }
    #[test]
    fn the_default_places_are_the_executables_folder_and_the_caches_never_the_working_directory() {
        let set = |name: &str| match name {
            "TALLY_CACHE" => Some("/t".into()),
            "XDG_CACHE_HOME" => Some("/x".into()),
            _ => Some("/home/u".into()),
        };
        let expected = ["/opt/bin", "/t/chdb", "/x/tally/chdb", "/home/u/.cache/tally/chdb"];
        assert_eq!(
            places(Some(Path::new("/opt/bin/tally")), set),
            expected.map(|folder| Path::new(folder).join(FILE))
        );
        assert!(places(None, |_| Some("relative".into())).is_empty());
        assert!(places(None, |_| None).is_empty());
    }
}
