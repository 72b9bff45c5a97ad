//! The parameters of a subscription, and the subscription they make: a new one or a change of the one there is.

use jiff::civil::Date;
use tally_directory::Subscription;
use tally_service::api::ApiError;
use utoipa::ToSchema;

use crate::declared::{Coerced, Failures, Fields, Sent, boolean, date, integer, text};
use crate::refusal::Refusal;

/// The plan of a namespace that has bought none.
const FREE: &str = "free";

/// A new subscription.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
pub(super) struct NewSubscription {
    #[schema(format = Date)]
    start_date: String,
    #[schema(format = Date)]
    end_date: Option<String>,
    /// The plan's code, such as `premium`.
    plan_code: Option<String>,
    /// How many seats were bought.
    seats: Option<i64>,
    /// The most seats that were in use.
    max_seats_used: Option<i64>,
    auto_renew: Option<bool>,
    trial: Option<bool>,
    #[schema(format = Date)]
    trial_ends_on: Option<String>,
    /// Required of a trial.
    #[schema(format = Date)]
    trial_starts_on: Option<String>,
}

/// What is to change of a subscription.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
pub(super) struct ChangedSubscription {
    #[schema(format = Date)]
    start_date: Option<String>,
    #[schema(format = Date)]
    end_date: Option<String>,
    /// The plan's code, such as `premium`.
    plan_code: Option<String>,
    /// How many seats were bought.
    seats: Option<i64>,
    /// The most seats that were in use.
    max_seats_used: Option<i64>,
    auto_renew: Option<bool>,
    trial: Option<bool>,
    #[schema(format = Date)]
    trial_ends_on: Option<String>,
    /// Required of a trial.
    #[schema(format = Date)]
    trial_starts_on: Option<String>,
}

/// Which parameters must be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    StartDate,
    Nothing,
}

/// What was sent.
pub(super) struct SubscriptionParameters {
    start_date: Sent<Date>,
    end_date: Sent<Date>,
    plan_code: Sent<String>,
    seats: Sent<i64>,
    max_seats_used: Sent<i64>,
    auto_renew: Sent<bool>,
    trial: Sent<bool>,
    trial_ends_on: Sent<Date>,
    trial_starts_on: Sent<Date>,
}

impl SubscriptionParameters {
    pub(super) fn parse(sent: &Fields, need: Need) -> Result<Self, ApiError> {
        let mut failures = Failures::default();
        let start_date = match need {
            Need::StartDate => failures.required(sent, "start_date", date),
            Need::Nothing => failures.optional(sent, "start_date", date),
        };
        let parameters = Self {
            start_date,
            end_date: failures.optional(sent, "end_date", date),
            plan_code: failures.optional(sent, "plan_code", filled_text),
            seats: failures.optional(sent, "seats", integer),
            max_seats_used: failures.optional(sent, "max_seats_used", integer),
            auto_renew: failures.optional(sent, "auto_renew", boolean),
            trial: failures.optional(sent, "trial", boolean),
            trial_ends_on: failures.optional(sent, "trial_ends_on", date),
            trial_starts_on: failures.optional(sent, "trial_starts_on", date),
        };
        failures.check()?;
        Ok(parameters)
    }

    /// A namespace's first subscription.
    pub(super) fn new_subscription(&self, namespace_id: i64) -> Result<Subscription, Refusal> {
        let start_date = self.start_date.clone().value().ok_or(Refusal::blank("start_date"))?;
        self.changed(&Subscription {
            namespace_id,
            plan_code: FREE.to_owned(),
            plan_name: plan_name(FREE),
            seats: 0,
            max_seats_used: 0,
            start_date,
            end_date: None,
            trial: false,
            trial_starts_on: None,
            trial_ends_on: None,
            auto_renew: None,
            upgradable: false,
        })
    }

    /// The subscription with everything that was sent; the rest stays.
    pub(super) fn changed(&self, existing: &Subscription) -> Result<Subscription, Refusal> {
        let mut changed = existing.clone();
        if self.plan_code != Sent::Absent {
            changed.plan_code = self.plan_code.or_keep(None).unwrap_or_else(|| FREE.to_owned());
            changed.plan_name = plan_name(&changed.plan_code);
        }
        changed.start_date = required("start_date", &self.start_date, existing.start_date)?;
        changed.seats = required("seats", &self.seats, existing.seats)?;
        changed.max_seats_used = required("max_seats_used", &self.max_seats_used, existing.max_seats_used)?;
        changed.end_date = self.end_date.or_keep(existing.end_date);
        changed.auto_renew = self.auto_renew.or_keep(existing.auto_renew);
        changed.trial = self.trial.or_keep(Some(existing.trial)).unwrap_or(false);
        changed.trial_starts_on = self.trial_starts_on.or_keep(existing.trial_starts_on);
        changed.trial_ends_on = self.trial_ends_on.or_keep(existing.trial_ends_on);
        if changed.trial && changed.trial_starts_on.is_none() {
            return Err(Refusal::blank("trial_starts_on"));
        }
        Ok(changed)
    }
}

fn filled_text(value: &serde_json::Value) -> Coerced<String> {
    text(value).map(|text| text.filter(|text| !text.is_empty()))
}

/// A value that may be left as it is, but not be taken away.
fn required<T: Clone>(field: &'static str, sent: &Sent<T>, existing: T) -> Result<T, Refusal> {
    sent.or_keep(Some(existing)).ok_or(Refusal::blank(field))
}

/// A plan's name is its code's words, each with a capital: `ultimate_trial` is Ultimate Trial.
fn plan_name(code: &str) -> String {
    let capitalized = code.split('_').filter(|word| !word.is_empty()).map(|word| {
        let mut characters = word.chars();
        let first = characters.next().into_iter().flat_map(char::to_uppercase);
        first.chain(characters).collect::<String>()
    });
    capitalized.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plans_name_is_its_code_in_capitals() {
        for (code, name) in
            [("silver", "Silver"), ("ultimate_trial", "Ultimate Trial"), ("", ""), ("élan", "Élan")]
        {
            assert_eq!(plan_name(code), name);
        }
    }
}
