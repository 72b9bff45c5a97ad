//! A subscription as it is answered.

use jiff::civil::Date;
use serde::Serialize;
use tally_directory::{Namespace, NamespaceKind, State, Subscription};
use utoipa::ToSchema;

/// A namespace's plan, its seats and its dates.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionAnswer {
    plan: Plan,
    usage: Usage,
    billing: Billing,
}

/// What was sold.
#[derive(Debug, Serialize, ToSchema)]
struct Plan {
    code: String,
    name: String,
    trial: bool,
    auto_renew: Option<bool>,
    upgradable: bool,
}

/// Seats sold and used.
#[derive(Debug, Serialize, ToSchema)]
struct Usage {
    seats_in_subscription: i64,
    seats_in_use: i64,
    max_seats_used: i64,
    /// What is used, or was at most, beyond what was sold.
    seats_owed: i64,
}

/// The days on which it begins and ends.
#[derive(Debug, Serialize, ToSchema)]
struct Billing {
    #[schema(value_type = String, format = Date)]
    subscription_start_date: Date,
    #[schema(value_type = Option<String>, format = Date)]
    subscription_end_date: Option<Date>,
    #[schema(value_type = Option<String>, format = Date)]
    trial_ends_on: Option<Date>,
}

impl SubscriptionAnswer {
    pub(super) fn new(directory: &State, namespace: &Namespace, subscription: &Subscription) -> Self {
        let in_use = seats_in_use(directory, namespace);
        let most = in_use.max(subscription.max_seats_used);
        Self {
            plan: Plan {
                code: subscription.plan_code.clone(),
                name: subscription.plan_name.clone(),
                trial: subscription.trial,
                auto_renew: subscription.auto_renew,
                upgradable: subscription.upgradable,
            },
            usage: Usage {
                seats_in_subscription: subscription.seats,
                seats_in_use: in_use,
                max_seats_used: subscription.max_seats_used,
                seats_owed: most.saturating_sub(subscription.seats).max(0),
            },
            billing: Billing {
                subscription_start_date: subscription.start_date,
                subscription_end_date: subscription.end_date,
                trial_ends_on: subscription.trial_ends_on,
            },
        }
    }
}

/// Everybody who is a member of the namespace, of one below it or of a project in them, once; a personal namespace's
/// owner has a seat without being a member.
fn seats_in_use(directory: &State, namespace: &Namespace) -> i64 {
    let mut users = directory.members_of_namespace_tree(namespace.id);
    if namespace.kind == NamespaceKind::User {
        users.extend(directory.user_named(&namespace.path).map(|owner| owner.id));
    }
    users.len() as i64
}
