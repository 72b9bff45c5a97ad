//! Whoever a request acts for.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::{AuthError, Scope, SecretHash, state::State};

/// A token that was good when it was presented, and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's id, positive; 0 where there is no token.
    pub token_id: i64,
    /// The token's name, unique among its user's; what logs go by.
    pub token_name: String,
    /// The user's id, positive.
    pub user_id: i64,
    /// The user's login name.
    pub username: String,
    /// The user's display name.
    pub name: String,
    /// Whether the user administers the instance.
    pub admin: bool,
    /// What the token may be used for.
    pub scopes: Vec<Scope>,
    /// The day (UTC) on which the token was presented; memberships count as of it.
    pub today: Date,
}

impl Principal {
    /// Whether the token has at least one of `scopes`.
    pub fn has_any_scope(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// The day in UTC.
pub(crate) fn day(now: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(now).date()
}

impl State {
    /// Whose token this is, if it is good at `now` and its user may sign in.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let token = self.token_by_hash(&SecretHash::of(token)).ok_or(AuthError::Unknown)?;
        let user = self.user(token.user_id).ok_or(AuthError::Unknown)?;
        if token.revoked {
            return Err(AuthError::Revoked);
        }
        // As in GitLab, a token no longer works on the day it expires at.
        let today = day(now);
        if token.expires_at.is_some_and(|day| day <= today) {
            return Err(AuthError::Expired);
        }
        if !user.state.is_active() {
            return Err(AuthError::Blocked);
        }
        Ok(Principal {
            token_id: token.id,
            token_name: token.name.clone(),
            user_id: user.id,
            username: user.username.clone(),
            name: user.name.clone(),
            admin: user.admin,
            scopes: token.scopes.clone(),
            today,
        })
    }

    /// A user without a token, for work that the process does in their name; [`AuthError::Unknown`] if there is no such user.
    pub fn principal_of(&self, user_id: i64, now: Timestamp) -> Result<Principal, AuthError> {
        let user = self.user(user_id).ok_or(AuthError::Unknown)?;
        if !user.state.is_active() {
            return Err(AuthError::Blocked);
        }
        Ok(Principal {
            token_id: 0,
            token_name: String::new(),
            user_id: user.id,
            username: user.username.clone(),
            name: user.name.clone(),
            admin: user.admin,
            scopes: Vec::new(),
            today: day(now),
        })
    }
}
