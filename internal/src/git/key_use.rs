//! When a key was last used, to the day: noted beside the call, which neither waits for it nor fails by it.

use jiff::SignedDuration;
use tally_directory::{Change, SshKey, TransactError};

use crate::actor::Actor;
use crate::state::InternalState;

/// A use is noted when the last one that was lies longer back. As in GitLab, so that busy keys are not written all day.
const NOTED_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Notes that the actor's key is in use now.
pub(crate) fn note_use(state: &InternalState, actor: &Actor) {
    let now = state.0.access.clock.now();
    let is_due =
        move |key: &SshKey| key.last_used_at.is_none_or(|last| now.duration_since(last) >= NOTED_EVERY);
    let Some(id) = actor.key.as_deref().filter(|key| is_due(key)).map(|key| key.id) else { return };
    let directory = state.0.access.directory.clone();
    tokio::spawn(async move {
        let noted = directory.transact(now, |state| {
            let key = state.key(id).filter(|key| is_due(key));
            let used = key.map(|key| Change::Key(SshKey { last_used_at: Some(now), ..SshKey::clone(key) }));
            Ok::<_, std::convert::Infallible>(((), used.into_iter().collect()))
        });
        if let Err(TransactError::Unavailable(error)) = noted.await {
            tracing::debug!(key = id, error, "the use of a key was not noted");
        }
    });
}
