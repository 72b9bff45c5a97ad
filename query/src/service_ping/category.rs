//! Which categories of data may stand in a payload.

use jiff::tz::TimeZone;
use tally_schemas::DataCategory;

use super::payload::Context;

/// Every category, in GitLab's order.
pub(super) const ALL: [DataCategory; 4] =
    [DataCategory::Standard, DataCategory::Subscription, DataCategory::Operational, DataCategory::Optional];

/// Whether metrics of this category stand in the payload: standard and subscription always, operational with a paid licence
/// or when the customer agreed to the ping, optional unless it is switched off.
pub(super) fn is_permitted(category: DataCategory, context: &Context<'_>) -> bool {
    match category {
        DataCategory::Standard | DataCategory::Subscription => true,
        DataCategory::Operational => {
            let today = context.recorded_at.to_zoned(TimeZone::UTC).date();
            context.license.is_paid_on(today) || context.consent.usage_ping_enabled
        }
        DataCategory::Optional => context.consent.include_optional_data,
    }
}

#[cfg(test)]
mod tests {
    use tally_directory::Directory;

    use super::*;
    use crate::config::{InstanceConfig, LicenseConfig};
    use crate::service_ping::Consent;

    #[test]
    fn categories_follow_licence_and_consent() {
        let directory = Directory::in_memory();
        let instance = InstanceConfig::default();
        let license = |plan: &str, trial, expires_at: &str| LicenseConfig {
            plan: plan.to_owned(),
            trial,
            expires_at: expires_at.to_owned(),
            ..Default::default()
        };
        // Plan, trial, last day, usage_ping_enabled, include_optional_data: which of operational and optional are permitted.
        for (plan, trial, expires_at, enabled, optional, expected) in [
            ("", false, "", true, true, (true, true)),
            ("", false, "", false, true, (false, true)),
            ("", false, "", true, false, (true, false)),
            ("premium", false, "", false, false, (true, false)),
            ("premium", true, "", false, false, (false, false)),
            ("premium", false, "2026-11-18", false, false, (true, false)),
            ("premium", false, "2026-11-17", false, false, (false, false)),
            ("free", false, "", false, true, (false, true)),
        ] {
            let context = Context {
                instance: &instance,
                license: &license(plan, trial, expires_at),
                prometheus_url: "",
                directory: &directory,
                consent: Consent {
                    usage_ping_enabled: enabled,
                    include_optional_data: optional,
                    features_enabled: false,
                },
                recorded_at: "2026-11-18T23:59:59Z".parse().unwrap(),
            };
            let permitted = |category| is_permitted(category, &context);
            assert_eq!((permitted(DataCategory::Operational), permitted(DataCategory::Optional)), expected);
            assert!(permitted(DataCategory::Standard) && permitted(DataCategory::Subscription));
        }
    }
}
