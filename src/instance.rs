//! The instance's UUID, which stays the same for its whole life: made on the first start of standalone and kept in its data
//! folder. Separate query services are told theirs by `query.instance.uuid`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use uuid::Uuid;

/// The UUID kept in `data_dir`, a new one where there is none yet.
pub fn uuid(data_dir: &Path) -> Result<String> {
    let file = data_dir.join("instance_uuid");
    match fs::read_to_string(&file) {
        Ok(text) => {
            let uuid: Uuid =
                text.trim().parse().with_context(|| format!("{} holds no UUID", file.display()))?;
            Ok(uuid.to_string())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let uuid = Uuid::new_v4().to_string();
            fs::write(&file, &uuid).with_context(|| format!("can't write {}", file.display()))?;
            Ok(uuid)
        }
        Err(error) => Err(error).with_context(|| format!("can't read {}", file.display())),
    }
}
