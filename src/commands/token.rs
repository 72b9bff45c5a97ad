//! `tally token`: makes, lists and revokes access tokens in the directory file.

use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::TryRng;
use tally_directory::edit::{NewToken, NewUser, add_user, create_token, list_tokens, revoke_token};
use tally_directory::{Directory, Scope, TOKEN_RANDOM_BYTES};

use crate::cli::{ConfigArgs, TokenCommand};
use crate::open;

/// Runs `tally token …`.
pub fn run(command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create { config, name, user, admin, scopes, expires_at } => {
            let file = directory_file(&config)?;
            let scopes = scopes.iter().map(|scope| scope.parse()).collect::<Result<Vec<Scope>, _>>()?;
            ensure_user(&file, &user, admin)?;
            let token = NewToken { name: &name, user: &user, scopes: &scopes, expires_at };
            println!("{}", create_token(&file, &token, fresh_random()?)?);
        }
        TokenCommand::List { config } => list(&directory_file(&config)?)?,
        TokenCommand::Revoke { config, name } => revoke_token(&directory_file(&config)?, &name)?,
    }
    Ok(())
}

/// Bytes that nobody can guess, from the operating system.
pub fn fresh_random() -> Result<[u8; TOKEN_RANDOM_BYTES]> {
    let mut random = [0; TOKEN_RANDOM_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut random).context("the operating system gives no random bytes")?;
    Ok(random)
}

/// Adds the user unless the file has them. An existing user's administration is not changed in passing.
pub fn ensure_user(file: &Path, username: &str, admin: bool) -> Result<()> {
    if file.exists()
        && let Some(user) = Directory::load(file)?.user_named(username)
    {
        if admin && !user.admin {
            bail!("{username} is not an administrator; edit {} to make them one", file.display());
        }
        return Ok(());
    }
    add_user(file, &NewUser { username, name: username, admin })?;
    Ok(())
}

fn directory_file(args: &ConfigArgs) -> Result<std::path::PathBuf> {
    let file = open::load_config(args, &[])?.directory_file();
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    }
    Ok(file)
}

fn list(file: &Path) -> Result<()> {
    for token in list_tokens(file)? {
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
        let expiry =
            token.expires_at.map_or_else(|| "never expires".to_owned(), |date| format!("expires {date}"));
        let state = if token.revoked { "revoked" } else { "active" };
        println!("{}\t{}\t{}\t{expiry}\t{state}", token.name, token.user, scopes.join(","));
    }
    Ok(())
}
