//! Commands about access tokens.

use jiff::{Timestamp, civil::Date};

use super::CommandError;
use crate::{AccessToken, Change, Scope, SecretHash, State};

/// A token to create.
#[derive(Clone, Copy, Debug)]
pub struct NewToken<'a> {
    /// What people call it; must be free among its user's.
    pub name: &'a str,
    /// The username of its user.
    pub user: &'a str,
    /// What it may be used for, at least one.
    pub scopes: &'a [Scope],
    /// The day (UTC) on which it stops working, if ever.
    pub expires_at: Option<Date>,
}

/// A token as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenListing {
    /// What people call it.
    pub name: String,
    /// The username of its user.
    pub user: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The day (UTC) on which it stops working, if ever.
    pub expires_at: Option<Date>,
    /// Whether somebody took it back.
    pub revoked: bool,
}

/// Adds a token with the next free id; `hash` is that of its text, which is kept nowhere.
pub fn create_token(
    state: &State,
    new: &NewToken<'_>,
    hash: SecretHash,
    now: Timestamp,
) -> Result<(AccessToken, Vec<Change>), CommandError> {
    if new.name.is_empty() {
        return Err(CommandError::Empty("the token's name"));
    }
    if new.scopes.is_empty() {
        return Err(CommandError::NoScopes);
    }
    let user = state.user_named(new.user).ok_or_else(|| CommandError::UnknownUser(new.user.to_owned()))?;
    if state.token_named(user.id, new.name).is_some() {
        return Err(CommandError::TokenNameTaken { name: new.name.to_owned(), user: new.user.to_owned() });
    }
    if state.token_by_hash(&hash).is_some() {
        return Err(CommandError::TokenTaken);
    }
    let token = AccessToken {
        id: state.next_token_id(),
        user_id: user.id,
        name: new.name.to_owned(),
        hash,
        scopes: new.scopes.to_vec(),
        expires_at: new.expires_at,
        revoked: false,
        created_at: now,
    };
    Ok((token.clone(), vec![Change::Token(token)]))
}

/// Every token, in the order of their making.
pub fn list_tokens(state: &State) -> Vec<TokenListing> {
    let tokens = state.tokens().map(|token| TokenListing {
        name: token.name.clone(),
        user: state.user(token.user_id).map(|user| user.username.clone()).unwrap_or_default(),
        scopes: token.scopes.clone(),
        expires_at: token.expires_at,
        revoked: token.revoked,
    });
    tokens.collect()
}

/// Takes the token with this name back; `user` is needed where several users have one. Revoking twice is no error, and
/// the second time no change.
pub fn revoke_token(
    state: &State,
    name: &str,
    user: Option<&str>,
) -> Result<(AccessToken, Vec<Change>), CommandError> {
    let user_id = user
        .map(|user| {
            let found = state.user_named(user).map(|user| user.id);
            found.ok_or_else(|| CommandError::UnknownUser(user.to_owned()))
        })
        .transpose()?;
    let is_meant =
        |token: &AccessToken| token.name == name && user_id.is_none_or(|user_id| user_id == token.user_id);
    let named: Vec<_> = state.tokens().filter(|token| is_meant(token)).collect();
    let [token] = named[..] else {
        if named.is_empty() {
            return Err(CommandError::UnknownToken(name.to_owned()));
        }
        let users = named.iter().filter_map(|token| state.user(token.user_id));
        let users = users.map(|user| user.username.clone()).collect();
        return Err(CommandError::AmbiguousToken { name: name.to_owned(), users });
    };
    if token.revoked {
        return Ok(((**token).clone(), Vec::new()));
    }
    let revoked = AccessToken { revoked: true, ..(**token).clone() };
    Ok((revoked.clone(), vec![Change::Token(revoked)]))
}
