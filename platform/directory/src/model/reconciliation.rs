//! Dates on which a namespace's seats are reconciled with what was bought.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The next reconciliation of a namespace; one a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciliation {
    /// The namespace.
    pub namespace_id: i64,
    /// The day of the reconciliation.
    pub next_reconciliation_date: Date,
    /// The first day on which owners are told of it.
    pub display_alert_from: Date,
}
