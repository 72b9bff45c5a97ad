//! GitLab's own definitions: all of them load, expand and compile to the numbers counted independently.

mod gitlab;

use std::collections::BTreeMap;
use std::path::Path;

use tally_schemas::definitions::{LintReport, Severity, lint};
use tally_schemas::{DataSource, Definitions, Matcher, MetricKind, Status, TimeFrame};

use crate::gitlab::Corpus;

fn load(corpus: &Corpus) -> Definitions {
    Definitions::load(&corpus.paths()).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn every_definition_loads_and_expands_to_the_known_counts() {
    use DataSource::{Database, InternalEvents, Prometheus, Redis, RedisHll, System};
    use TimeFrame::{All, None, SevenDays, TwentyEightDays};

    let Some(corpus) = Corpus::find() else { return };
    let report = lint(&corpus.paths());
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(
        (report.event_files, report.internal_events, report.metric_files, report.counters),
        (891, 505, 2656, 1225)
    );
    let expected = BTreeMap::from([
        ((Database, SevenDays), 5),
        ((Database, TwentyEightDays), 128),
        ((Database, All), 602),
        ((Database, None), 13),
        ((Redis, All), 15),
        ((RedisHll, SevenDays), 333),
        ((RedisHll, TwentyEightDays), 340),
        ((Prometheus, None), 2),
        ((System, SevenDays), 1),
        ((System, TwentyEightDays), 2),
        ((System, All), 8),
        ((System, None), 78),
        ((InternalEvents, SevenDays), 694),
        ((InternalEvents, TwentyEightDays), 696),
        ((InternalEvents, All), 223),
    ]);
    assert_eq!(report.metrics, expected);
    assert_eq!(report.metrics.values().sum::<usize>(), 3140);
}

#[test]
fn reported_metrics_are_counted_by_kind() {
    let Some(corpus) = Corpus::find() else { return };
    let definitions = load(&corpus);
    let reported = definitions.metrics().iter().filter(|metric| metric.status != Status::Removed).count();
    assert_eq!(reported, 2748);
    let of_kinds = |source| {
        let metrics = definitions.metrics().iter().filter(move |metric| metric.data_source == source);
        let kinds: Vec<Option<MetricKind>> = metrics.map(|metric| metric.kind).collect();
        [MetricKind::Unique, MetricKind::Total, MetricKind::Sum, MetricKind::UniqueTotals]
            .map(|kind| kinds.iter().filter(|other| **other == Some(kind)).count())
    };
    assert_eq!(of_kinds(DataSource::InternalEvents), [1097, 516, 0, 0]);
    assert_eq!(of_kinds(DataSource::RedisHll), [538, 0, 0, 0]);
}

#[test]
fn the_contracts_examples_have_these_counters() {
    let Some(corpus) = Corpus::find() else { return };
    let definitions = load(&corpus);
    let table = [
        (
            "redis_hll_counters.ci_templates.p_ci_templates_auto_devops_monthly",
            TimeFrame::TwentyEightDays,
            r#"ci_template_included{label="auto_devops",property="false"}.unique(project.id)"#,
        ),
        (
            "redis_hll_counters.count_distinct_user_id_from_new_mr_dashboard_to_old_mr_dashboard_monthly",
            TimeFrame::TwentyEightDays,
            "toggle_merge_request_redesign{value=1}.unique(user.id)",
        ),
        (
            "redis_hll_counters.count_distinct_label_from_job_enqueued_by_resource_group_weekly",
            TimeFrame::SevenDays,
            "job_enqueued_by_resource_group.unique(label)",
        ),
        (
            "redis_hll_counters.count_distinct_value_from_create_job_with_environment_monthly",
            TimeFrame::TwentyEightDays,
            "create_job_with_environment.unique(value)",
        ),
        (
            "count_total_model_registry_ml_model_created_7d",
            TimeFrame::SevenDays,
            "model_registry_ml_model_created",
        ),
    ];
    for (key_path, time_frame, counter) in table {
        let metric = definitions.metrics().iter().find(|metric| metric.key_path == key_path);
        let metric = metric.unwrap_or_else(|| panic!("no metric {key_path}"));
        assert_eq!(metric.time_frame, time_frame, "{key_path}");
        assert_eq!(metric.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), [counter]);
        assert_eq!(counter.parse().as_ref(), Ok(&metric.rules[0]));
    }
}

#[test]
fn every_counter_of_a_reported_metric_is_compiled_and_read_back_from_its_text() {
    let Some(corpus) = Corpus::find() else { return };
    let definitions = load(&corpus);
    let matcher = Matcher::new(&definitions);
    for counter in matcher.counters() {
        assert_eq!(counter.to_string().parse().as_ref(), Ok(counter));
    }
    for metric in definitions.metrics().iter().filter(|metric| metric.is_counted()) {
        for rule in &metric.rules {
            assert!(matcher.counters().contains(rule), "{}: {rule}", metric.key_path);
        }
    }
    let fan_out = |event: &str| matcher.lookup(event).map(|event| event.counters().len());
    assert_eq!(fan_out("ci_template_included"), Some(164));
    assert_eq!(fan_out("expand_merge_request_widget"), Some(41));
    assert_eq!(fan_out("push_package_to_registry"), Some(21));
}

#[test]
fn the_contracts_oddities_are_the_only_doubts() {
    let Some(corpus) = Corpus::find() else { return };
    let report: LintReport = lint(&corpus.paths());
    let mut doubts: Vec<_> = report
        .findings
        .iter()
        .map(|finding| {
            assert_eq!(finding.severity, Severity::Warning);
            let file = Path::new(&*finding.path).file_stem().expect("a file's name").to_string_lossy();
            format!("{file}: {}", finding.message)
        })
        .collect();
    doubts.sort();
    assert_eq!(
        doubts,
        [
            "count_distinct_user_id_from_create_ci_build_monthly: \"create_ci_build\" doesn't declare the identifier \"user\"",
            "count_distinct_user_id_from_unique_users_visiting_ci_catalog_28d: \"unique_users_visiting_ci_catalog\" doesn't declare the identifier \"user\"",
            "count_distinct_user_id_from_unique_users_visiting_ci_catalog_7d: \"unique_users_visiting_ci_catalog\" doesn't declare the identifier \"user\"",
        ]
    );
}

#[test]
fn what_gitlabs_generator_writes_is_sound_but_for_the_url_it_leaves_to_do() {
    let Some(corpus) = Corpus::find() else { return };
    let mut files = 0;
    for folder in ["events", "metrics"] {
        for entry in std::fs::read_dir(corpus.root.join("generator_fixtures").join(folder)).expect("a folder")
        {
            let path = entry.expect("a file").path();
            let report = lint(&[path.to_string_lossy()]);
            for finding in report.findings {
                assert_eq!(finding.field, "introduced_by_url", "{finding}");
            }
            files += 1;
        }
    }
    assert!(files > 20, "{files}");
}
