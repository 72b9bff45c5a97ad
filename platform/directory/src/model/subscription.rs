//! What a namespace has bought.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::is_false;

/// A namespace's plan and seats; one a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The namespace.
    pub namespace_id: i64,
    /// The plan's code, such as `premium`.
    pub plan_code: String,
    /// The plan's name, such as `Premium`.
    pub plan_name: String,
    /// How many seats were bought.
    #[serde(default)]
    pub seats: i64,
    /// The most seats that were ever in use at once.
    #[serde(default)]
    pub max_seats_used: i64,
    /// The first day.
    pub start_date: Date,
    /// The last day, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<Date>,
    /// Whether it is a trial.
    #[serde(default, skip_serializing_if = "is_false")]
    pub trial: bool,
    /// The trial's first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_starts_on: Option<Date>,
    /// The trial's last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_ends_on: Option<Date>,
    /// Whether it renews itself; `None` if nobody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_renew: Option<bool>,
    /// Whether a higher plan can be bought.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upgradable: bool,
}
