//! The `DevOps` score: how much an instance uses ten features, per active user, beside the instances that use them most.
//! Nothing in it tells whose numbers the others' are.
//!
//! By GitLab's documentation a score is the use of the last 30 days over the number of active users, against a lead that
//! comes from what top-performing instances report, and a percentage of it. Payloads have a month's count only of some
//! features: so where `counts_monthly` has one it is taken, and else the total in `counts`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::check::Payload;
use crate::body::Fields;
use crate::collector::Collector;
use crate::pages::ScoreRow;
use crate::storage::Leaders;

/// How many of the other instances make the lead.
const TOP: usize = 10;

/// What is more than this is no count; means of counts stay far from infinity.
const MAX_COUNT: f64 = 1e15;

/// One of the features.
struct Feature {
    /// As in `leader_X`, `instance_X` and `percentage_X`.
    name: &'static str,
    /// What people call it.
    label: &'static str,
    /// Its count's name in a payload.
    count: &'static str,
}

const fn feature(name: &'static str, label: &'static str) -> Feature {
    Feature { name, label, count: name }
}

/// In the order of GitLab's table `conversational_development_index_metrics`.
const FEATURES: [Feature; 10] = [
    feature("issues", "Issues"),
    feature("notes", "Comments"),
    feature("milestones", "Milestones"),
    feature("boards", "Boards"),
    feature("merge_requests", "Merge requests"),
    // Payloads count those that run on the instance itself apart from those of other systems.
    Feature { name: "ci_pipelines", label: "Pipelines", count: "ci_internal_pipelines" },
    feature("environments", "Environments"),
    feature("deployments", "Deployments"),
    feature("projects_prometheus_active", "Monitoring"),
    feature("service_desk_issues", "Service Desk"),
];

/// The counts' names.
const COUNTS: [&str; 10] = {
    let mut counts = [""; 10];
    let mut at = 0;
    while at < counts.len() {
        counts[at] = FEATURES[at].count;
        at += 1;
    }
    counts
};

/// The fields of `counts` and `counts_monthly` that are compared.
pub(crate) const fn per_active_user_fields() -> &'static [&'static str] {
    &COUNTS
}

/// What a payload says of each feature, over its active users. `sources` are its objects of counts, the preferred one
/// first. A count that could not be computed (negative), or is none, is as good as absent.
pub(super) fn use_per_active_user(
    active_users: Option<f64>,
    sources: &[Option<Fields<'_>>],
) -> Vec<(&'static str, f64)> {
    let Some(active_users) = active_users.filter(|users| *users >= 1.0) else { return Vec::new() };
    let of_feature = |feature: &Feature| {
        let mut counts = sources.iter().flatten();
        let count = counts.find_map(|counts| count(counts, feature.count))?;
        Some((feature.name, count / active_users))
    };
    FEATURES.iter().filter_map(of_feature).collect()
}

fn count(counts: &Fields<'_>, name: &str) -> Option<f64> {
    let count: f64 = serde_json::from_str(counts.get(name)?.get()).ok()?;
    (0.0..=MAX_COUNT).contains(&count).then_some(count)
}

/// A feature's use by this instance, by the leaders, and the former in percent of the latter, at most 100.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Comparison {
    instance: f64,
    leader: f64,
    percentage: f64,
}

/// A comparison for each feature, in their order.
pub(super) struct Score {
    is_compared: bool,
    comparisons: [Comparison; FEATURES.len()],
}

impl Score {
    /// The score of a payload. When the others can't be read it is all zeros: the payload is stored, which is what counts.
    pub(super) async fn of(collector: &Collector, payload: &Payload, now: Timestamp) -> Self {
        let inner = &collector.0;
        let window = SignedDuration::from_hours(24 * i64::from(inner.config.instance_window_days));
        let since = now.checked_sub(window).unwrap_or(Timestamp::MIN);
        let names = FEATURES.each_ref().map(|feature| feature.name);
        let leaders = inner.storage.leaders(payload.uuid, since, &names, TOP).await.unwrap_or_default();
        Self::compare(&payload.use_per_active_user, &leaders, inner.config.min_instances)
    }

    /// All zeros where there are fewer than `min_instances` others, and no lead in a feature that fewer of them use: a
    /// mean over so few would give their numbers away.
    fn compare(own_use: &[(&'static str, f64)], others: &Leaders, min_instances: u64) -> Self {
        let mut comparisons = [Comparison::default(); FEATURES.len()];
        let is_compared = others.others >= min_instances && others.others > 0;
        if !is_compared {
            return Self { is_compared, comparisons };
        }
        for ((comparison, feature), (leader, users)) in
            comparisons.iter_mut().zip(&FEATURES).zip(others.means.iter().zip(&others.users))
        {
            let own = own_use.iter().find(|(name, _)| *name == feature.name).map_or(0.0, |(_, own)| *own);
            let leader = if *users >= min_instances { *leader } else { 0.0 };
            let percentage = if leader > 0.0 { (own / leader * 100.0).min(100.0) } else { 0.0 };
            *comparison = Comparison {
                instance: rounded(own, 4),
                leader: rounded(leader, 4),
                percentage: rounded(percentage, 2),
            };
        }
        Self { is_compared, comparisons }
    }

    /// Whether there were enough others.
    pub(super) const fn is_compared(&self) -> bool {
        self.is_compared
    }

    /// The fields of the answer.
    pub(super) fn document(&self, usage_data_id: u64) -> Map<String, Value> {
        let mut document = Map::new();
        document.insert("usage_data_id".to_owned(), usage_data_id.into());
        for (feature, comparison) in FEATURES.iter().zip(&self.comparisons) {
            let name = feature.name;
            document.insert(format!("leader_{name}"), comparison.leader.into());
            document.insert(format!("instance_{name}"), comparison.instance.into());
            document.insert(format!("percentage_{name}"), comparison.percentage.into());
        }
        document
    }

    /// The rows of the page's table.
    pub(super) fn rows(&self) -> Vec<ScoreRow> {
        let rows = FEATURES.iter().zip(&self.comparisons);
        rows.map(|(feature, comparison)| ScoreRow {
            label: feature.label,
            instance: comparison.instance,
            leader: comparison.leader,
            percentage: comparison.percentage,
        })
        .collect()
    }
}

fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

/// The schema of the whole answer.
pub(super) fn receipt_schema() -> Value {
    let mut properties = json!({"usage_data_id": {"type": "integer", "minimum": 1}});
    for feature in &FEATURES {
        for kind in ["leader", "instance", "percentage"] {
            properties[format!("{kind}_{}", feature.name)] = json!({"type": "number", "minimum": 0});
        }
    }
    let score = json!({"type": "object", "required": ["usage_data_id"], "properties": properties});
    json!({
        "type": "object",
        "required": ["dev_ops_score", "conv_index"],
        "properties": {"dev_ops_score": score, "conv_index": score},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `issues` compared with others of which so many use it.
    fn issues(own: f64, others: u64, users: u64, leader: f64) -> (bool, Comparison) {
        let leaders = Leaders { others, users: vec![users; 10], means: vec![leader; 10] };
        let score = Score::compare(&[("issues", own)], &leaders, 3);
        (score.is_compared, score.comparisons[0])
    }

    #[test]
    fn an_instance_is_compared_with_enough_others_only() {
        let zeros = Comparison::default();
        for (own, others, users, leader, expected) in [
            (2.0, 2, 2, 4.0, (false, zeros)),
            (2.0, 0, 0, f64::NAN, (false, zeros)),
            (2.0, 3, 3, 4.0, (true, Comparison { instance: 2.0, leader: 4.0, percentage: 50.0 })),
            (9.0, 3, 3, 4.0, (true, Comparison { instance: 9.0, leader: 4.0, percentage: 100.0 })),
            (1.0, 3, 3, 3.0, (true, Comparison { instance: 1.0, leader: 3.0, percentage: 33.33 })),
            (2.0, 3, 2, 4.0, (true, Comparison { instance: 2.0, leader: 0.0, percentage: 0.0 })),
            (0.0, 5, 4, 4.0, (true, Comparison { instance: 0.0, leader: 4.0, percentage: 0.0 })),
        ] {
            assert_eq!(issues(own, others, users, leader), expected, "{own} {others} {users} {leader}");
        }
    }

    #[test]
    fn nobody_to_compare_with_is_nobody_even_where_none_are_asked_for() {
        let score = Score::compare(&[("issues", 1.0)], &Leaders::default(), 0);
        assert!(!score.is_compared());
    }

    #[test]
    fn an_answer_has_the_number_and_three_fields_a_feature() {
        let leaders = Leaders { others: 3, users: vec![3; 10], means: vec![2.0; 10] };
        let document = Score::compare(&[("boards", 1.0)], &leaders, 3).document(7);
        assert_eq!(document.len(), 31);
        assert_eq!(document["usage_data_id"], 7);
        assert_eq!(document["leader_service_desk_issues"], 2.0);
        assert_eq!(
            (&document["instance_boards"], &document["percentage_boards"]),
            (&json!(1.0), &json!(50.0))
        );
    }
}
