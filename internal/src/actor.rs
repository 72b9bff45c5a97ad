//! On whose behalf a call is made: found by `key_id`, else `user_id`, else `username`, else `identifier`
//! (`user-1`, `key-2`).

use std::sync::Arc;

use jiff::Timestamp;
use tally_directory::{KeyUsage, SshKey, State, User};

use crate::parameters::Parameters;

/// Whoever acts, as far as they are known. Nobody is an actor, too: what is public is theirs to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actor {
    /// The key they showed.
    pub(crate) key: Option<Arc<SshKey>>,
    /// The user, or the key's user. A deploy key may have none.
    pub(crate) user: Option<Arc<User>>,
}

impl Actor {
    /// The actor whom the parameters name.
    pub(crate) fn find(parameters: &Parameters, state: &State) -> Self {
        if parameters.is_given("key_id") {
            Self::of_key(parameters.id("key_id").and_then(|id| usable_key(state, id)), state)
        } else if parameters.is_given("user_id") {
            Self::of_user(parameters.id("user_id").and_then(|id| state.user(id)))
        } else if parameters.is_given("username") {
            Self::of_user(parameters.text("username").and_then(|name| state.user_named(&name)))
        } else {
            parameters.text("identifier").map(|text| Self::identified(&text, state)).unwrap_or_default()
        }
    }

    /// `user-1` or `key-2`, as answers call an actor in `gl_id`.
    fn identified(identifier: &str, state: &State) -> Self {
        match identifier.rsplit_once('-') {
            Some(("user", id)) => Self::of_user(id.parse().ok().and_then(|id| state.user(id))),
            Some(("key", id)) => Self::of_key(id.parse().ok().and_then(|id| usable_key(state, id)), state),
            _ => Self::default(),
        }
    }

    fn of_user(user: Option<&Arc<User>>) -> Self {
        Self { key: None, user: user.cloned() }
    }

    fn of_key(key: Option<&Arc<SshKey>>, state: &State) -> Self {
        let user = key.and_then(|key| key.user_id).and_then(|id| state.user(id));
        Self { key: key.cloned(), user: user.cloned() }
    }

    /// The key, if it belongs to projects.
    pub(crate) fn deploy_key(&self) -> Option<&SshKey> {
        self.key.as_deref().filter(|key| key.deploy)
    }

    /// The user who acts. Behind a deploy key nobody does: whoever added it need not be the one who uses it.
    pub(crate) fn acting_user(&self) -> Option<&User> {
        self.user.as_deref().filter(|_| self.deploy_key().is_none())
    }
}

/// A key that is there, works and may sign in. Whether it has expired is another question: who shows an expired key is
/// told so.
fn usable_key(state: &State, id: i64) -> Option<&Arc<SshKey>> {
    state.key(id).filter(|key| key.active && key.usage_type != KeyUsage::Signing)
}

/// Whether the key's time is over.
pub(crate) fn is_expired(key: &SshKey, now: Timestamp) -> bool {
    key.expires_at.is_some_and(|end| end <= now)
}
