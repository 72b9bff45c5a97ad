//! Commands about users.

use super::CommandError;
use crate::{Change, State, User};

/// A user to add.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// The login name; must be free.
    pub username: &'a str,
    /// The display name.
    pub name: &'a str,
    /// Whether the user administers the instance.
    pub admin: bool,
}

/// Adds a user with the next free id.
pub fn create_user(state: &State, new: &NewUser<'_>) -> Result<(User, Vec<Change>), CommandError> {
    if new.username.is_empty() {
        return Err(CommandError::Empty("the username"));
    }
    if state.user_named(new.username).is_some() {
        return Err(CommandError::UsernameTaken(new.username.to_owned()));
    }
    let user = User {
        id: state.next_user_id(),
        username: new.username.to_owned(),
        name: new.name.to_owned(),
        admin: new.admin,
        ..User::default()
    };
    Ok((user.clone(), vec![Change::User(user)]))
}
