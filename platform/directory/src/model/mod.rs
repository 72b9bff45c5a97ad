//! What the directory holds, one file a kind. These are plain records, as they travel in changes; how they hang together
//! is `state`'s to know.

mod agent;
mod alert;
mod key;
mod member;
mod minutes;
mod namespace;
mod product_analytics;
mod project;
mod reconciliation;
mod reference;
mod subscription;
mod token;
mod user;

pub use agent::Agent;
pub use alert::Alert;
pub use key::{DeployAccess, KeyUsage, SshKey};
pub use member::{Member, MemberSource};
pub use minutes::MinutePack;
pub use namespace::{Namespace, NamespaceKind};
pub use product_analytics::{Funnel, FunnelAction, FunnelStep, ProductAnalytics, cube_name};
pub use project::{FeatureAccess, Features, Project};
pub use reconciliation::Reconciliation;
pub use reference::{REFERENCE_EXPIRY, ReferenceCount};
pub use subscription::Subscription;
pub use token::AccessToken;
pub use user::User;

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
