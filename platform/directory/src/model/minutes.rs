//! Packs of compute minutes that namespaces have bought.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// One purchase of minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MinutePack {
    /// The purchase's id, which its seller gives. Unique, so that a purchase sent twice is one.
    pub purchase_xid: String,
    /// Whose minutes these are.
    pub namespace_id: i64,
    /// The day on which they lapse.
    pub expires_at: Date,
    /// How many minutes were bought.
    pub number_of_minutes: i64,
}
