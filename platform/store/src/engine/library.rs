//! Where `libchdb.so` is looked for.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::EngineError;

const FILE: &str = "libchdb.so";

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
    let mut places = vec![Path::new(".cache/chdb").join(FILE)];
    if let Some(folder) = env::current_exe().ok().as_deref().and_then(Path::parent) {
        places.push(folder.join(FILE));
    }
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    places.extend(cache.map(|cache| cache.join("tally/chdb").join(FILE)));
    places
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
}
