//! Leases in the directory, one a payload kind: whoever holds one computes that payload, so that one of several instances
//! does. Taking one is a compare-and-set; a holder that is gone loses it after a day.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tally_directory::{Change, State};
use tally_query::service_ping::PayloadKind;

/// The setting that holds the leases.
const SETTING: &str = "service_ping_leases";

/// How long a lease holds.
const LEASE: SignedDuration = SignedDuration::from_hours(24);

/// A lease that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The payload's kind.
    pub kind: String,
    /// Who holds it: a number that each process draws at its start.
    pub holder: String,
    /// When it ends.
    pub until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    holder: String,
    until: Timestamp,
}

/// All leases, as the directory holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leases(BTreeMap<String, Held>);

impl Leases {
    /// The leases of this state. What can't be read counts as none.
    pub fn read(state: &State) -> Self {
        let stored = state.setting(SETTING).cloned().unwrap_or(Value::Null);
        Self(serde_json::from_value(stored).unwrap_or_default())
    }

    /// Takes all of a generation's leases for `holder`, unless somebody else holds one at `now`.
    pub fn take_all(&mut self, holder: &str, now: Timestamp) -> bool {
        if self.0.values().any(|held| held.until > now && held.holder != holder) {
            return false;
        }
        let held = Held { holder: holder.to_owned(), until: now + LEASE };
        self.0 = PayloadKind::ALL.iter().map(|kind| (kind.as_str().to_owned(), held.clone())).collect();
        true
    }

    /// Gives back what `holder` holds of these kinds.
    pub fn release(&mut self, holder: &str, kinds: &[PayloadKind]) {
        self.0.retain(|kind, held| held.holder != holder || kinds.iter().all(|of| of.as_str() != kind));
    }

    /// The leases that hold at `now`.
    pub fn held(&self, now: Timestamp) -> Vec<Lease> {
        let lease = |(kind, held): (&String, &Held)| Lease {
            kind: kind.clone(),
            holder: held.holder.clone(),
            until: held.until,
        };
        self.0.iter().filter(|(_, held)| held.until > now).map(lease).collect()
    }

    /// The change that writes them.
    pub fn change(&self) -> Change {
        let value = if self.0.is_empty() {
            Value::Null
        } else {
            serde_json::to_value(&self.0).expect("texts and times are JSON")
        };
        Change::Setting { name: SETTING.to_owned(), value }
    }
}
