//! Changes to the directory's file: add a user, create, list and revoke tokens.
//!
//! A change holds a lock file, checks the result as a whole, writes it beside the file and renames it into place, so
//! that a reader sees the old or the new file and two changes at once lose neither. Comment lines at the top of the
//! file are kept; comments further down are not.

use std::{
    fs::{self, File as OsFile, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::civil::Date;

pub use crate::yaml::form::TokenEntry;
use crate::yaml::{
    form::{File, UserEntry},
    parse, state_of,
};
use crate::{DirectoryError, Scope, SecretHash, TOKEN_RANDOM_BYTES, UserState, token_from_random};

/// The comment a new file begins with.
const HEADER: &str = "\
# Users, access tokens and projects of this Tally.
# Tokens are kept as SHA-256 only; `tally token create|list|revoke` edits this file.
# With a `projects` key, project ids that are not listed or not readable count as absent.
";

/// A user to add.
#[derive(Clone, Debug)]
pub struct NewUser<'a> {
    /// The login name; must be free.
    pub username: &'a str,
    /// The display name.
    pub name: &'a str,
    /// Whether the user administers the instance.
    pub admin: bool,
}

/// A token to create.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// What people call it; must be free.
    pub name: &'a str,
    /// The username of its user, who must be in the file.
    pub user: &'a str,
    /// What it may be used for, at least one.
    pub scopes: &'a [Scope],
    /// The day (UTC) on which it stops working, if ever.
    pub expires_at: Option<Date>,
}

/// Adds a user with the next free id, which is returned. Creates the file if there is none.
pub fn add_user(path: &Path, user: &NewUser<'_>) -> Result<i64, DirectoryError> {
    change(path, |file| {
        let id = file.users.iter().map(|user| user.id).max().unwrap_or(0) + 1;
        file.users.push(UserEntry {
            id,
            username: user.username.to_owned(),
            name: Some(user.name.to_owned()),
            admin: user.admin,
            state: UserState::Active,
            two_factor: false,
            recovery_codes: Vec::new(),
            avatar_url: None,
            public_email: String::new(),
            private_profile: false,
            locked: false,
            external: false,
        });
        Ok(id)
    })
}

/// Creates a token out of fresh random bytes and returns its text, which is kept nowhere.
pub fn create_token(
    path: &Path,
    token: &NewToken<'_>,
    random: [u8; TOKEN_RANDOM_BYTES],
) -> Result<String, DirectoryError> {
    let text = token_from_random(random);
    change(path, |file| {
        file.tokens.push(TokenEntry {
            id: None,
            created_at: None,
            name: token.name.to_owned(),
            user: token.user.to_owned(),
            sha256: SecretHash::of(&text).to_hex(),
            scopes: token.scopes.to_vec(),
            expires_at: token.expires_at,
            revoked: false,
        });
        Ok(())
    })?;
    Ok(text)
}

/// Every token in the file, in its order.
pub fn list_tokens(path: &Path) -> Result<Vec<TokenEntry>, DirectoryError> {
    Ok(parse(&read_text(path)?, path)?.tokens)
}

/// Marks the token with this name as revoked. Revoking twice is no error.
pub fn revoke_token(path: &Path, name: &str) -> Result<(), DirectoryError> {
    change(path, |file| {
        let token = file.tokens.iter_mut().find(|token| token.name == name);
        let token = token.ok_or_else(|| format!("no token is named {name:?}"))?;
        token.revoked = true;
        Ok(())
    })
}

/// Reads, changes, checks and replaces the file under the lock. A refused change leaves it as it was.
fn change<T>(path: &Path, apply: impl FnOnce(&mut File) -> Result<T, String>) -> Result<T, DirectoryError> {
    let write_error = |source| DirectoryError::Write { path: path.to_owned(), source };
    let _lock = lock(path).map_err(write_error)?;
    let text = match read_text(path) {
        Err(DirectoryError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            HEADER.to_owned()
        }
        other => other?,
    };
    let mut file = parse(&text, path)?;
    let result =
        apply(&mut file).map_err(|problem| DirectoryError::Change { path: path.to_owned(), problem })?;
    state_of(&file, path)?;
    let yaml = serde_yaml_ng::to_string(&file)
        .map_err(|source| DirectoryError::Syntax { path: path.to_owned(), source })?;
    replace(path, &format!("{}{yaml}", leading_comments(&text))).map_err(write_error)?;
    Ok(result)
}

fn read_text(path: &Path) -> Result<String, DirectoryError> {
    fs::read_to_string(path).map_err(|source| DirectoryError::Read { path: path.to_owned(), source })
}

/// Waits for the lock file beside `path`; it is released when the handle is dropped, even by a crash.
fn lock(path: &Path) -> io::Result<OsFile> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lock_path = PathBuf::from(format!("{}.lock", path.display()));
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(lock_path)?;
    lock.lock()?;
    Ok(lock)
}

/// Writes beside the file, syncs, renames over it and syncs the folder. Keeps the file's permissions; a new file is
/// its owner's alone.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut written = tempfile::NamedTempFile::new_in(folder)?;
    written.write_all(text.as_bytes())?;
    if let Ok(metadata) = fs::metadata(path) {
        written.as_file().set_permissions(metadata.permissions())?;
    }
    written.as_file().sync_all()?;
    written.persist(path)?;
    OsFile::open(folder)?.sync_all()
}

/// The comment and blank lines before the first line of YAML.
fn leading_comments(text: &str) -> &str {
    let length = text
        .split_inclusive('\n')
        .take_while(|line| line.trim_start().starts_with('#') || line.trim().is_empty())
        .map(str::len)
        .sum();
    &text[..length]
}
