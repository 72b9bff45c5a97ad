//! The licence's fields in the payload.

use serde_json::{Map, Value};

use super::reason::Reason;
use crate::config::LicenseConfig;

/// A field of the licence that a metric reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LicenseField {
    Id,
    Plan,
    StartsAt,
    ExpiresAt,
    UserCount,
    Trial,
    TrialEndsOn,
    SubscriptionId,
    Sha256,
    AddOns,
    Licensee,
}

/// Every field with its `key_path`.
const FIELDS: [(&str, LicenseField); 11] = [
    ("license_id", LicenseField::Id),
    ("license_plan", LicenseField::Plan),
    ("license_starts_at", LicenseField::StartsAt),
    ("license_expires_at", LicenseField::ExpiresAt),
    ("license_user_count", LicenseField::UserCount),
    ("license_trial", LicenseField::Trial),
    ("license_trial_ends_on", LicenseField::TrialEndsOn),
    ("license_subscription_id", LicenseField::SubscriptionId),
    ("license_sha256", LicenseField::Sha256),
    ("license_add_ons", LicenseField::AddOns),
    ("licensee", LicenseField::Licensee),
];

impl LicenseField {
    /// The field that stands at `key_path`.
    pub fn at(key_path: &str) -> Option<Self> {
        FIELDS.iter().find(|(name, _)| *name == key_path).map(|(_, field)| *field)
    }

    /// The field's value, or why there is none.
    pub fn value(self, license: &LicenseConfig) -> Result<Value, Reason> {
        if !license.is_present() {
            return Err(Reason::NoLicense);
        }
        let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
        let number = |number: u64| (number > 0).then(|| Value::from(number));
        let value = match self {
            Self::Id => number(license.id),
            Self::Plan => text(&license.plan),
            Self::StartsAt => text(&license.starts_at),
            Self::ExpiresAt => text(&license.expires_at),
            Self::UserCount => number(license.user_count),
            Self::Trial => Some(license.trial.into()),
            Self::TrialEndsOn => text(&license.trial_ends_on),
            Self::SubscriptionId => text(&license.subscription_id),
            Self::Sha256 => text(&license.sha256),
            Self::AddOns => {
                Some(license.add_ons.iter().map(|(name, seats)| (name.clone(), *seats)).collect())
            }
            Self::Licensee => {
                Some(license.licensee.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
            }
        };
        value.ok_or(Reason::NoLicenseField)
    }
}

/// The fields that a licence has, for the payload's head.
pub(super) fn fields(license: &LicenseConfig) -> Map<String, Value> {
    let known =
        FIELDS.iter().filter_map(|(name, field)| Some(((*name).to_owned(), field.value(license).ok()?)));
    known.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_licence_shows_what_it_says() {
        assert!(fields(&LicenseConfig::default()).is_empty());
        let license = LicenseConfig {
            plan: "ultimate".to_owned(),
            user_count: 20,
            licensee: [("Company".to_owned(), "Example".to_owned())].into(),
            ..LicenseConfig::default()
        };
        let expected = json!({
            "license_plan": "ultimate", "license_user_count": 20, "license_trial": false, "license_add_ons": {},
            "licensee": {"Company": "Example"},
        });
        assert_eq!(Value::from(fields(&license)), expected);
        assert_eq!(LicenseField::Id.value(&license), Err(Reason::NoLicenseField));
    }
}
