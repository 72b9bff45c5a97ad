//! What stands behind a directory: memory alone, or a log that other processes share.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Change, log::Replica, state::State};

/// Decides on a state which changes to make; none means that nothing is to be written. It may be asked again, on a later
/// state, when its changes came too late; the last answer counts.
pub(crate) type Decide<'a> = dyn FnMut(&State) -> Vec<Change> + Send + 'a;

/// Where a directory's changes go.
#[derive(Debug)]
pub(crate) enum Backend {
    /// Into the state, and nowhere else. The lock lets one transaction decide and apply before the next decides.
    Memory(Mutex<()>),
    /// To a log first, which is the only one to write to the state then.
    Log(Arc<Replica>),
}
