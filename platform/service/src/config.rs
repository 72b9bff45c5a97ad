//! Where a setting comes from: the built-in annotated file, then the operator's file, then the environment, then flags.
//! The later source wins, key by key. What the settings are is each component's own configuration struct.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Environment variables with this prefix set a key: `TALLY_INGEST__MAX_BODY_BYTES` is `ingest.max_body_bytes`.
/// Variables without `__` are not settings (`TALLY_CHDB_LIB`, for one, belongs to the set-up).
const ENV_PREFIX: &str = "TALLY_";

/// Why the configuration can't be used. The text names the key, the source and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A flag was not of the form `section.key=value`.
    #[error("--set {0}: expected section.key=value")]
    Flag(String),
    /// The named file is not there or can't be read.
    #[error("configuration file {0}: {1}")]
    File(String, std::io::Error),
    /// A source holds a key or a value that doesn't fit.
    #[error("configuration: {0}")]
    Invalid(Box<figment::Error>),
    /// The effective configuration can't be written as TOML.
    #[error("configuration can't be printed: {0}")]
    Print(#[from] toml::ser::Error),
}

/// Reads `defaults` (TOML), then `file`, then the environment, then `flags` (each `section.key=value`, the value in TOML
/// syntax or a bare string).
pub fn load<T: DeserializeOwned>(
    defaults: &str,
    file: Option<&Path>,
    flags: &[String],
) -> Result<T, ConfigError> {
    let mut figment = Figment::from(Toml::string(defaults));
    if let Some(path) = file {
        std::fs::metadata(path).map_err(|error| ConfigError::File(path.display().to_string(), error))?;
        figment = figment.merge(Toml::file_exact(path));
    }
    figment = figment.merge(Env::prefixed(ENV_PREFIX).filter(|key| key.as_str().contains("__")).split("__"));
    for flag in flags {
        let (key, value) = flag.split_once('=').ok_or_else(|| ConfigError::Flag(flag.clone()))?;
        figment = figment.merge(Serialized::global(key, flag_value(value)));
    }
    figment.extract().map_err(|error| ConfigError::Invalid(Box::new(error)))
}

/// The effective configuration as TOML, as `--dump-config` prints it.
pub fn dump<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    Ok(toml::to_string_pretty(config)?)
}

/// A flag's value: TOML where it parses as TOML (`5`, `true`, `["a"]`), else the text itself.
fn flag_value(text: &str) -> figment::value::Value {
    text.parse().expect("figment reads any text as a value")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        web: Web,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Web {
        port: u16,
        names: Vec<String>,
    }

    const DEFAULTS: &str = "[web]\nport = 1\nnames = [\"a\"]\n";

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[web]\nport = 2\nnames = [\"file\"]\n").unwrap();
        let read = |flags: &[&str]| {
            let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
            load::<Sample>(DEFAULTS, Some(file.path()), &flags).unwrap().web
        };
        assert_eq!(read(&[]), Web { port: 2, names: vec!["file".into()] });
        assert_eq!(read(&["web.port=3"]), Web { port: 3, names: vec!["file".into()] });
        assert_eq!(read(&["web.names=[\"x\", \"y\"]"]).names, ["x", "y"]);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = load::<Sample>(DEFAULTS, None, &["web.prot=3".into()]).unwrap_err().to_string();
        assert!(error.contains("prot"), "{error}");
    }

    #[test]
    fn a_wrong_type_names_the_key() {
        let error = load::<Sample>(DEFAULTS, None, &["web.port=many".into()]).unwrap_err().to_string();
        assert!(error.contains("port"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let error =
            load::<Sample>(DEFAULTS, Some(Path::new("/nowhere/tally.toml")), &[]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/tally.toml"), "{error}");
    }

    #[test]
    fn what_is_dumped_loads_to_the_same() {
        let config: Sample = load(DEFAULTS, None, &[]).unwrap();
        let again: Sample = load(&dump(&config).unwrap(), None, &[]).unwrap();
        assert_eq!(config, again);
    }
}
