//! Reference counters: how many pushes are under way in a repository.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How long a count is worth something after its writer wrote it. As long as GitLab's.
pub const REFERENCE_EXPIRY: SignedDuration = SignedDuration::from_mins(10);

/// One writer's count for one repository. Writers don't read each other's: the counter is the sum over those that have not
/// expired, so the order in which they were written does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceCount {
    /// The repository, such as `project-3`.
    pub repository: String,
    /// The process that counts.
    pub writer: Uuid,
    /// Its increments less its decrements; 0 takes the count away.
    pub count: i64,
    /// When it wrote this.
    pub at: Timestamp,
}
