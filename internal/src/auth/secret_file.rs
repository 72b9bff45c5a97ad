//! A secret that lives in a file and may change at any time. A file has one secret a line: each of them is accepted and
//! the first one signs, so that a secret is rotated by putting the new one on top, telling the other side, and taking
//! the old one out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

/// A configured secret file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Reading it failed.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It has only blank lines, which would let everybody in who shows nothing.
    #[error("{}: has no secret in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Bytes of the agent server's secret, which its file has in Base64.
const DECODED_BYTES: usize = 32;

/// One secret, as its line in the file has it.
pub(crate) struct Secret {
    text: String,
    /// What the line stands for, if it is Base64 of a secret of the agent server's length.
    decoded: Option<[u8; DECODED_BYTES]>,
}

impl Secret {
    fn new(line: &str) -> Self {
        let decoded = STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok());
        Self { text: line.to_owned(), decoded }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// What the agent server may sign with: GitLab's own decodes its file and signs with the bytes, others sign with the
    /// line as it is.
    pub(crate) fn agent_server_keys(&self) -> impl Iterator<Item = &[u8]> {
        [Some(self.as_bytes()), self.decoded.as_ref().map(<[u8; DECODED_BYTES]>::as_slice)]
            .into_iter()
            .flatten()
    }

    /// Equality in a time that does not depend on where the two differ.
    fn matches(&self, shown: &[u8]) -> bool {
        self.as_bytes().ct_eq(shown).into()
    }
}

/// The secrets of one file, read again when the file has changed.
pub(crate) struct SecretFile {
    /// Empty when none is configured: then there is no secret, and nobody has it.
    path: PathBuf,
    read: Mutex<Read>,
}

struct Read {
    version: Option<Version>,
    secrets: Arc<[Secret]>,
}

/// What tells one content of a file from the next without reading it.
#[derive(PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    length: u64,
}

impl SecretFile {
    /// Reads the file; an empty path is a file that nobody has.
    pub(crate) fn open(path: &Path) -> Result<Self, SecretError> {
        let read = if path.as_os_str().is_empty() {
            Read { version: None, secrets: Arc::from([]) }
        } else {
            read(path)?
        };
        Ok(Self { path: path.to_owned(), read: Mutex::new(read) })
    }

    /// The secrets in force. A file that can't be read any more leaves the former ones in force.
    pub(crate) fn secrets(&self) -> Arc<[Secret]> {
        let mut current = self.read.lock();
        if !self.path.as_os_str().is_empty() && version(&self.path) != current.version {
            match read(&self.path) {
                Ok(read) => {
                    tracing::info!(path = %self.path.display(), secrets = read.secrets.len(), "read secrets again");
                    *current = read;
                }
                Err(error) => tracing::warn!(%error, "the former secrets stay in force"),
            }
        }
        Arc::clone(&current.secrets)
    }

    /// Whether `shown` is one of the secrets.
    pub(crate) fn accepts(&self, shown: &[u8]) -> bool {
        // Each is compared, whatever the first comparison says: the time tells nothing.
        self.secrets().iter().fold(false, |found, secret| found | secret.matches(shown))
    }
}

fn read(path: &Path) -> Result<Read, SecretError> {
    // Before the content, so that a change between the two is seen with the next call.
    let version = version(path);
    let text =
        fs::read_to_string(path).map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
    let secrets: Arc<[Secret]> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Secret::new).collect();
    if secrets.is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(Read { version, secrets })
}

fn version(path: &Path) -> Option<Version> {
    let metadata = fs::metadata(path).ok()?;
    Some(Version { modified: metadata.modified().ok(), length: metadata.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_accepted_and_the_first_one_signs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "new\n\n  old \n").unwrap();
        let file = SecretFile::open(&path).unwrap();
        let rows: [(&[u8], bool); 6] = [
            (b"new", true),
            (b"old", true),
            (b"", false),
            (b"ne", false),
            (b"new\n", false),
            (b"newold", false),
        ];
        for (shown, accepted) in rows {
            assert_eq!(file.accepts(shown), accepted, "{shown:?}");
        }
        assert_eq!(file.secrets()[0].as_bytes(), b"new");
    }

    #[test]
    fn base64_of_32_bytes_is_two_keys_and_anything_else_one() {
        let encoded = STANDARD.encode([7; 32]);
        let keys = |line: &str| -> Vec<Vec<u8>> {
            Secret::new(line).agent_server_keys().map(<[u8]>::to_vec).collect()
        };
        assert_eq!(keys(&encoded), [encoded.as_bytes().to_vec(), vec![7; 32]]);
        for line in
            [STANDARD.encode([7; 31]), STANDARD.encode([7; 33]), "x".repeat(44), "no base64".to_owned()]
        {
            assert_eq!(keys(&line), [line.as_bytes()], "{line}");
        }
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "first").unwrap();
        let file = SecretFile::open(&path).unwrap();
        fs::write(&path, "the second").unwrap();
        assert!(file.accepts(b"the second") && !file.accepts(b"first"));
        fs::write(&path, "\n").unwrap();
        assert!(file.accepts(b"the second"), "a file without secrets");
        fs::remove_file(&path).unwrap();
        assert!(file.accepts(b"the second"), "a file that is gone");
        fs::write(&path, "the third one").unwrap();
        assert!(file.accepts(b"the third one") && !file.accepts(b"the second"));
    }

    #[test]
    fn what_is_not_configured_lets_nobody_in_and_what_is_unusable_stops_the_start() {
        let none = SecretFile::open(Path::new("")).unwrap();
        assert!(!none.accepts(b""));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(SecretFile::open(&path), Err(SecretError::Read { .. })));
        fs::write(&path, " \n\n").unwrap();
        assert!(matches!(SecretFile::open(&path), Err(SecretError::Empty { .. })));
    }
}
