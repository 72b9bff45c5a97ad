//! What stays the same for an instance's whole life: its UUID and the secrets of its internal API, made on the first start of
//! standalone and kept in its data folder. Separate services have the directory's UUID, and secrets that
//! `internal.…_secret_file` names.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::randomness::fresh_random;

/// The UUID kept in `data_dir`, a new one where there is none yet.
pub fn uuid(data_dir: &Path) -> Result<String> {
    let file = data_dir.join("instance_uuid");
    match fs::read_to_string(&file) {
        Ok(text) => {
            let uuid: Uuid =
                text.trim().parse().with_context(|| format!("{} holds no UUID", file.display()))?;
            Ok(uuid.to_string())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let uuid = Uuid::new_v4().to_string();
            fs::write(&file, &uuid).with_context(|| format!("can't write {}", file.display()))?;
            Ok(uuid)
        }
        Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
    }
}

/// The file that holds a secret of this name, made where there is none yet.
pub fn secret_file(data_dir: &Path, name: &str) -> Result<PathBuf> {
    let file = data_dir.join(format!("{name}.secret"));
    let secret = hex::encode([fresh_random()?, fresh_random()?].concat());
    match write_private(&file, &secret) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("can't write {}", file.display()))
        }
        _ => Ok(file),
    }
}

/// Writes a new file that only its owner may read.
pub fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}
