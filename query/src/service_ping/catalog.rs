//! Which metrics of GitLab's database Tally can answer out of its own tables, by `key_path`, and which nobody answers any
//! more. What GitLab counts in its database, Tally counts where it was told of it: users, groups, projects and memberships
//! by the directory, issues, merge requests, milestones, snippets and comments by contributions.

use tally_schemas::TimeFrame;

use super::sql::{BuiltIn, Sql};

const REPORTED: &str = "of what was reported as contributions, which are kept for three years";
const DIRECTORY: &str = "as mirrored from the directory";

/// An aggregate, the metrics that it answers, and what a reader should know.
struct Entry {
    key_paths: &'static [&'static str],
    table: &'static str,
    aggregate: &'static str,
    remark: &'static str,
}

/// An aggregate of contributions under a condition, within the window.
macro_rules! contributions {
    ($key_paths:expr, $function:literal, $of:literal, $condition:literal) => {
        Entry {
            key_paths: &$key_paths,
            table: "contributions",
            aggregate: concat!(
                $function,
                "If(",
                $of,
                $condition,
                " AND created_at BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')})"
            ),
            remark: REPORTED,
        }
    };
}

const ENTRIES: &[Entry] = &[
    Entry {
        key_paths: &["active_user_count", "license_billable_users"],
        table: "current_users",
        aggregate: "countIf(state = 'active')",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["counts.admins"],
        table: "current_users",
        aggregate: "countIf(admin)",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["counts.users_without_group_or_project_membership"],
        table: "current_users",
        aggregate: "countIf(state = 'active' AND id NOT IN (SELECT user_id FROM current_members))",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["usage_activity_by_stage.manage.users_created"],
        table: "current_users",
        aggregate: "count()",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["usage_activity_by_stage.manage.groups"],
        table: "current_members",
        aggregate: "uniqExactIf(user_id, source_kind = 'namespace')",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["counts.projects"],
        table: "current_projects",
        aggregate: "count()",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["counts.groups"],
        table: "current_namespaces",
        aggregate: "countIf(kind = 'group')",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["counts.total_top_level_groups"],
        table: "current_namespaces",
        aggregate: "countIf(kind = 'group' AND parent_id = 0)",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["counts.orphaned_namespaces"],
        table: "current_namespaces",
        aggregate: "countIf(parent_id != 0 AND parent_id NOT IN (SELECT id FROM current_namespaces)) > 0",
        remark: DIRECTORY,
    },
    Entry {
        key_paths: &["installation_creation_date_approximation"],
        table: "counters",
        aggregate: "if(count() = 0, NULL, concat(toString(min(day)), 'T00:00:00.000Z'))",
        remark: "the day of the first event that was counted",
    },
    Entry {
        key_paths: &["database.version"],
        table: "system.one",
        aggregate: "any(version())",
        remark: "ClickHouse's",
    },
    contributions!(
        ["counts.issues"],
        "uniqExact",
        "target_id, ",
        "action = 'created' AND target_type IN ('Issue', 'WorkItem')"
    ),
    contributions!(
        ["counts.merge_requests"],
        "uniqExact",
        "target_id, ",
        "action = 'created' AND target_type = 'MergeRequest'"
    ),
    contributions!(
        ["counts.milestones"],
        "uniqExact",
        "target_id, ",
        "action = 'created' AND target_type = 'Milestone'"
    ),
    contributions!(["counts.notes"], "count", "", "action = 'commented'"),
    contributions!(
        ["counts.snippets", "counts_monthly.snippets"],
        "uniqExact",
        "target_id, ",
        "action = 'created' AND target_type = 'Snippet'"
    ),
    contributions!(
        ["counts.personal_snippets", "counts_monthly.personal_snippets"],
        "uniqExact",
        "target_id, ",
        "action = 'created' AND target_type = 'Snippet' AND project_id = 0"
    ),
    contributions!(
        ["counts.project_snippets", "counts_monthly.project_snippets"],
        "uniqExact",
        "target_id, ",
        "action = 'created' AND target_type = 'Snippet' AND project_id != 0"
    ),
    contributions!(
        ["counts_monthly.projects"],
        "uniqExact",
        "project_id, ",
        "action = 'created' AND target_type = '' AND project_id != 0"
    ),
    contributions!(
        ["usage_activity_by_stage.manage.events", "usage_activity_by_stage_monthly.manage.events"],
        "uniqExact",
        "author_id, ",
        "true"
    ),
    contributions!(
        ["usage_activity_by_stage.plan.issues", "usage_activity_by_stage_monthly.plan.issues"],
        "uniqExact",
        "author_id, ",
        "action = 'created' AND target_type IN ('Issue', 'WorkItem')"
    ),
    contributions!(
        ["usage_activity_by_stage.plan.notes", "usage_activity_by_stage_monthly.plan.notes"],
        "uniqExact",
        "author_id, ",
        "action = 'commented'"
    ),
    contributions!(
        ["usage_activity_by_stage.plan.projects", "usage_activity_by_stage_monthly.plan.projects"],
        "uniqExact",
        "author_id, ",
        "action = 'created' AND target_type = '' AND project_id != 0"
    ),
    contributions!(
        ["usage_activity_by_stage.create.snippets", "usage_activity_by_stage_monthly.create.snippets"],
        "uniqExact",
        "author_id, ",
        "action = 'created' AND target_type = 'Snippet'"
    ),
];

/// Metrics whose records Tally has, without the time at which each began.
const WITHOUT_TIMES: &[&str] = &[
    "usage_activity_by_stage_monthly.manage.groups",
    "usage_activity_by_stage_monthly.manage.users_created",
];

/// What GitLab itself answered with -1000 before it removed the definitions (`DEPRECATED_VALUE` in `lib/gitlab/usage_data.rb`
/// of GitLab 14), under both `usage_activity_by_stage` and `usage_activity_by_stage_monthly`.
const REMOVED: &[&str] = &[
    "manage.bulk_imports.gitlab",
    "manage.projects_imported.",
    "manage.issues_imported.",
    "manage.groups_imported",
];

/// The SQL that answers the metric. `frame` is the definition's: a window needs a column of times.
pub(super) fn sql(key_path: &str, frame: TimeFrame) -> Option<Sql> {
    let entry = ENTRIES.iter().find(|entry| entry.key_paths.contains(&key_path))?;
    let is_windowed = matches!(frame, TimeFrame::SevenDays | TimeFrame::TwentyEightDays);
    let Entry { table, aggregate, remark, .. } = *entry;
    (!is_windowed || aggregate.contains("{from:")).then_some(Sql::BuiltIn(BuiltIn {
        table,
        aggregate,
        remark,
    }))
}

/// Whether Tally knows how many there are, but not since when.
pub(super) fn has_no_times(key_path: &str) -> bool {
    WITHOUT_TIMES.contains(&key_path)
}

/// Whether GitLab has removed what computed the metric.
pub(super) fn is_removed(key_path: &str) -> bool {
    let stages = ["usage_activity_by_stage_monthly.", "usage_activity_by_stage."];
    let Some(rest) = stages.iter().find_map(|stage| key_path.strip_prefix(stage)) else { return false };
    REMOVED.iter().any(|removed| match removed.strip_suffix('.') {
        Some(_) => rest.starts_with(removed),
        None => rest == *removed,
    })
}

/// The PromQL of GitLab's own class.
pub(super) fn promql(class: &str) -> Option<&'static str> {
    (class == "GitalyApdexMetric")
        .then_some("avg_over_time(gitlab_usage_ping:gitaly_apdex:ratio_avg_over_time_5m[1w])")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_metric_is_answered_by_one_entry() {
        let all: Vec<_> = ENTRIES.iter().flat_map(|entry| entry.key_paths).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn a_window_is_asked_only_of_what_has_times() {
        assert!(sql("counts.projects", TimeFrame::All).is_some());
        assert!(sql("counts.projects", TimeFrame::TwentyEightDays).is_none());
        assert!(sql("counts_monthly.projects", TimeFrame::TwentyEightDays).is_some());
    }

    #[test]
    fn removed_instrumentation_is_known_by_its_place() {
        for (key_path, removed) in [
            ("usage_activity_by_stage.manage.projects_imported.total", true),
            ("usage_activity_by_stage_monthly.manage.groups_imported", true),
            ("usage_activity_by_stage.manage.bulk_imports.gitlab", true),
            ("usage_activity_by_stage.manage.bulk_imports.gitlab_v1", false),
            ("usage_activity_by_stage.manage.project_imports.total", false),
            ("manage.groups_imported", false),
        ] {
            assert_eq!(is_removed(key_path), removed, "{key_path}");
        }
    }
}
