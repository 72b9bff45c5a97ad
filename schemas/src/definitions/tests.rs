//! Definitions: the contract's rules as tables, expansion, what must be unique, and where files are found.

use std::fs;
use std::path::Path;

use super::built_in::FILES;
use super::load::{Loaded, Loader};
use super::*;
use crate::TimeFrame;

const EVENT: &str = "
description: A dashboard was opened
action: view_dashboard
internal_events: true
product_group: tally
identifiers: [user]
additional_properties:
  label: {description: Which}
milestone: '1.10'
introduced_by_url: https://example.com/1
tiers: [free]
";

const METRIC: &str = "
key_path: counts.views
description: Views
product_group: tally
value_type: number
status: active
milestone: '1.10'
introduced_by_url: https://example.com/1
time_frame: [28d, 7d, all]
data_source: internal_events
data_category: optional
tiers: [free, premium]
events:
- name: view_dashboard
";

const DATABASE_METRIC: &str = "
key_path: counts.issues
description: Issues
product_group: tally
value_type: number
status: active
milestone: '<13.9'
introduced_by_url: https://example.com/1
time_frame: all
data_source: database
data_category: optional
instrumentation_class: CountIssuesMetric
tiers: [free]
";

fn read(files: &[&str]) -> Loaded {
    let mut loader = Loader::default();
    for (index, yaml) in files.iter().enumerate() {
        loader.read(&format!("{index}.yml"), yaml);
    }
    loader.finish()
}

fn errors(yaml: &str) -> Vec<String> {
    read(&[yaml]).errors.iter().map(ToString::to_string).collect()
}

/// The definition with the line that starts with `field` replaced, or with `line` added where there is none.
fn with(definition: &str, field: &str, line: &str) -> String {
    let is_field = |text: &str| text.starts_with(field) && text[field.len()..].starts_with(':');
    let mut lines: Vec<&str> = definition.lines().collect();
    match lines.iter().position(|text| is_field(text)) {
        Some(index) => lines[index] = line,
        None => lines.insert(1, line),
    }
    lines.join("\n")
}

#[test]
fn the_examples_are_sound() {
    for example in [EVENT, METRIC, DATABASE_METRIC] {
        assert_eq!(errors(example), [""; 0]);
    }
}

#[test]
fn event_fields_outside_the_contract_are_refused_by_name() {
    let table = [
        ("description", "", "0.yml: description: expected a string, got nothing"),
        ("description", "description: 1", "0.yml: description: expected a string, got the number 1"),
        (
            "action",
            "action: View",
            "0.yml: action: expected lower-case letters, digits and underscores, got \"View\"",
        ),
        (
            "action",
            "action: ''",
            "0.yml: action: expected lower-case letters, digits and underscores, got \"\"",
        ),
        ("product_group", "product_group: ''", "0.yml: product_group: expected a non-empty string, got \"\""),
        (
            "introduced_by_url",
            "introduced_by_url: later",
            "0.yml: introduced_by_url: expected an absolute URL or null, got \"later\"",
        ),
        ("introduced_by_url", "", "0.yml: introduced_by_url: expected an absolute URL or null, got nothing"),
        (
            "milestone",
            "milestone: 1.10",
            "0.yml: milestone: expected a quoted milestone such as \"16.9\" or \"<13.9\", got the number 1.1",
        ),
        (
            "milestone",
            "milestone: '16'",
            "0.yml: milestone: expected a quoted milestone such as \"16.9\" or \"<13.9\", got \"16\"",
        ),
        (
            "milestone",
            "milestone: '<<1.2'",
            "0.yml: milestone: expected a quoted milestone such as \"16.9\" or \"<13.9\", got \"<<1.2\"",
        ),
        (
            "tiers",
            "tiers: [gold]",
            "0.yml: tiers: expected a list of different tiers out of free, premium, ultimate, got the list [\"gold\"]",
        ),
        (
            "tiers",
            "tiers: [free, free]",
            "0.yml: tiers: expected a list of different tiers out of free, premium, ultimate, got the list [\"free\", \"free\"]",
        ),
        (
            "internal_events",
            "internal_events: false",
            "0.yml: internal_events: expected true or no such field, got the boolean false",
        ),
        (
            "internal_events",
            "internal_events: yes",
            "0.yml: internal_events: expected true or no such field, got \"yes\"",
        ),
        (
            "identifiers",
            "identifiers: [group]",
            "0.yml: identifiers: expected null or a list of different words out of project, user, namespace, feature_enabled_by_namespace_ids, got the list [\"group\"]",
        ),
        ("status", "status: broken", "0.yml: status: expected active or removed, got \"broken\""),
        (
            "classification",
            "classification: solo",
            "0.yml: classification: expected duo or null, got \"solo\"",
        ),
        (
            "extra_properties",
            "extra_properties: []",
            "0.yml: extra_properties: expected a mapping or null, got the list []",
        ),
        (
            "extra_trackers",
            "extra_trackers: [{tracking_class: A, other: 1}]",
            "0.yml: extra_trackers.0.other: expected no such field, only tracking_class, protected_properties, got the number 1",
        ),
        (
            "additional_properties",
            "additional_properties: []",
            "0.yml: additional_properties: expected a mapping of names to {description: string}, got the list []",
        ),
        (
            "product_categories",
            "product_categories: [1]",
            "0.yml: product_categories: expected a list of strings, got the list [the number 1]",
        ),
        ("category", "category: 1", "0.yml: category: expected a string, got the number 1"),
        (
            "iglu_schema_url",
            "iglu_schema_url: 1",
            "0.yml: iglu_schema_url: expected a string, got the number 1",
        ),
    ];
    let event = EVENT.replace("\n  label: {description: Which}", "").replace("additional_properties:\n", "");
    for (field, line, error) in table {
        assert_eq!(errors(&with(&event, field, line)), [error], "{line}");
    }
}

#[test]
fn properties_have_a_description_and_nothing_else() {
    let table = [
        ("{}", "0.yml: additional_properties.label.description: expected a string, got nothing"),
        ("text", "0.yml: additional_properties.label: expected {description: string} or null, got \"text\""),
        (
            "{description: Which, type: string}",
            "0.yml: additional_properties.label.type: expected no such field, only description, got \"string\"",
        ),
    ];
    for (property, error) in table {
        assert_eq!(errors(&EVENT.replace("{description: Which}", property)), [error], "{property}");
    }
}

#[test]
fn event_oddities_of_the_contract_are_accepted() {
    for (field, line) in [
        ("introduced_by_url", "introduced_by_url:"),
        ("milestone", "milestone:"),
        ("milestone", "milestone: \"<13.9\""),
        ("identifiers", "identifiers:"),
        ("identifiers", "identifiers: [project, user, namespace, feature_enabled_by_namespace_ids]"),
        ("extra_properties", "extra_properties:"),
        ("classification", "classification: duo"),
        ("status", "status: active\nremoved_by_url:\nmilestone_removed:"),
        ("status", "status: removed\nremoved_by_url: https://example.com/2\nmilestone_removed: '2.0'"),
        ("category", "category: InternalEventTracking"),
        ("  label", "  label:"),
        (
            "extra_trackers",
            "extra_trackers: [{tracking_class: A, protected_properties: {a: {description: b}}}]",
        ),
    ] {
        assert_eq!(errors(&with(EVENT, field, line)), [""; 0], "{line}");
    }
}

#[test]
fn an_events_status_decides_what_it_says_about_its_removal() {
    let removed = with(EVENT, "status", "status: removed");
    assert_eq!(errors(&removed).len(), 2, "removed without date and URL");
    let active = with(EVENT, "status", "status: active\nmilestone_removed: '2.0'");
    let expected = "0.yml: milestone_removed: expected null, because the event is active, got \"2.0\"";
    assert_eq!(errors(&active), [expected]);
}

#[test]
fn metric_fields_outside_the_contract_are_refused_by_name() {
    let table = [
        (
            "key_path",
            "key_path: Counts.Views",
            "0.yml: key_path: expected lower-case letters, digits and underscores, dotted, got \"Counts.Views\"",
        ),
        (
            "key_path",
            "key_path: counts..views",
            "0.yml: key_path: expected lower-case letters, digits and underscores, dotted, got \"counts..views\"",
        ),
        (
            "value_type",
            "value_type: float",
            "0.yml: value_type: expected one of string number boolean object, got \"float\"",
        ),
        (
            "status",
            "status: data_available",
            "0.yml: status: expected one of active broken removed, got \"data_available\"",
        ),
        (
            "status",
            "status: broken",
            "0.yml: repair_issue_url: expected an absolute URL, because the metric is broken, got nothing",
        ),
        (
            "time_frame",
            "time_frame: 14d",
            "0.yml: time_frame: expected one of 7d 28d all none, or a list of different ones of 7d 28d all, got \"14d\"",
        ),
        (
            "time_frame",
            "time_frame: [none]",
            "0.yml: time_frame: expected one of 7d 28d all none, or a list of different ones of 7d 28d all, got the list [\"none\"]",
        ),
        (
            "time_frame",
            "time_frame: [7d, 7d]",
            "0.yml: time_frame: expected one of 7d 28d all none, or a list of different ones of 7d 28d all, got the list [\"7d\", \"7d\"]",
        ),
        (
            "data_source",
            "data_source: kafka",
            "0.yml: data_source: expected one of database redis redis_hll prometheus system license internal_events, got \"kafka\"",
        ),
        (
            "data_category",
            "data_category: other",
            "0.yml: data_category: expected one of operational optional subscription standard, got \"other\"",
        ),
        (
            "milestone",
            "milestone:",
            "0.yml: milestone: expected a quoted milestone such as \"16.9\" or \"<13.9\", got null",
        ),
        (
            "introduced_by_url",
            "introduced_by_url:",
            "0.yml: introduced_by_url: expected an absolute URL, got null",
        ),
        (
            "performance_indicator_type",
            "performance_indicator_type: [xmau]",
            "0.yml: performance_indicator_type: expected a list out of gmau, smau, paid_gmau, umau, customer_health_score, devops_report, lighthouse, leading_indicator, got the list [\"xmau\"]",
        ),
        ("options", "options: 1", "0.yml: options: expected a mapping, got the number 1"),
        (
            "color",
            "color: red",
            "0.yml: color: expected no such field, only key_path, description, product_group, product_categories, value_type, status, milestone, milestone_removed, introduced_by_url, removed_by_url, repair_issue_url, options, data_source, data_category, instrumentation_class, performance_indicator_type, tiers, value_json_schema, name, events, time_frame, got \"red\"",
        ),
        (
            "instrumentation_class",
            "instrumentation_class: A",
            "0.yml: instrumentation_class: expected a class name such as CountIssuesMetric, got \"A\"",
        ),
    ];
    for (field, line, error) in table {
        let definition = if field == "instrumentation_class" { DATABASE_METRIC } else { METRIC };
        assert_eq!(errors(&with(definition, field, line)), [error], "{line}");
    }
    let removed = errors(&with(METRIC, "status", "status: removed"));
    assert_eq!(removed.len(), 2, "removed without URL and milestone: {removed:?}");
    let with_class = errors(&with(METRIC, "instrumentation_class", "instrumentation_class: CountMetric"));
    assert_eq!(
        with_class,
        [
            "0.yml: instrumentation_class: expected no such field, because data_source is internal_events, got \"CountMetric\""
        ]
    );
}

#[test]
fn class_names_have_the_form_of_the_schema() {
    for (name, is_class) in [
        ("CountIssuesMetric", true),
        ("RedisHLLMetric", true),
        ("Gitlab::CountMetric", true),
        ("GitLab::Usage::ABCMetric", true),
        ("A", false),
        ("Metric2", false),
        ("metric", false),
        ("CountM", false),
        ("ABc::Metric", false),
        ("::Metric", false),
        ("Metric::", false),
        ("", false),
    ] {
        let found = errors(&with(
            DATABASE_METRIC,
            "instrumentation_class",
            &format!("instrumentation_class: '{name}'"),
        ));
        assert_eq!(found.is_empty(), is_class, "{name}");
    }
}

#[test]
fn rules_outside_the_contract_are_refused_by_name() {
    let table = [
        ("[]", "0.yml: events: expected a list of at least one rule, got the list []"),
        ("[view]", "0.yml: events.0: expected a mapping with at least a name, got \"view\""),
        ("[{unique: user.id}]", "0.yml: events.0.name: expected an event's name, got nothing"),
        (
            "[{name: a, color: red}]",
            "0.yml: events.0.color: expected no such field, only name, unique, filter, operator, got \"red\"",
        ),
        ("[{name: a, unique: 1}]", "0.yml: events.0.unique: expected a string, got the number 1"),
        (
            "[{name: a, operator: average}]",
            "0.yml: events.0.operator: expected total or sum(value), got \"average\"",
        ),
        (
            "[{name: a, filter: label}]",
            "0.yml: events.0.filter: expected a mapping of properties to values, got \"label\"",
        ),
        (
            "[{name: a, filter: {label: 1}}]",
            "0.yml: events.0.filter.label: expected a string, got the number 1",
        ),
        (
            "[{name: a, filter: {property: true}}]",
            "0.yml: events.0.filter.property: expected a string, got the boolean true",
        ),
        ("[{name: a, filter: {value: '1'}}]", "0.yml: events.0.filter.value: expected a number, got \"1\""),
        (
            "[{name: a, filter: {value: .inf}}]",
            "0.yml: events.0.filter.value: expected a number, got the number .inf",
        ),
        (
            "[{name: a, filter: {other: true}}]",
            "0.yml: events.0.filter.other: expected a string or a number, got the boolean true",
        ),
        (
            "[{name: a}, {name: b, operator: sum(value)}]",
            "0.yml: events.0: expected rules of one kind, here sum(value), got a rule of kind total count",
        ),
        (
            "[{name: a}, {name: b, unique: user.id}]",
            "0.yml: events.1: expected rules of one kind, here total count, got a rule of kind unique count",
        ),
        (
            "[{name: a, unique: user.id}]",
            "0.yml: time_frame: expected only 7d or 28d, because the metric counts unique values, got the list [\"28d\", \"7d\", \"all\"]",
        ),
    ];
    let metric = METRIC.replace("\n- name: view_dashboard", "");
    for (rules, error) in table {
        assert_eq!(errors(&with(&metric, "events", &format!("events: {rules}"))), [error], "{rules}");
    }
}

#[test]
fn sql_of_a_definitions_own_may_only_select() {
    let sql = |text: &str| errors(&with(DATABASE_METRIC, "options", &format!("options: {{sql: {text}}}")));
    let expected = "0.yml: options.sql: expected one SELECT without comments, SETTINGS, FORMAT or INTO that reads tables only";
    assert_eq!(sql("'SELECT count() FROM contributions;'"), [""; 0]);
    assert_eq!(sql("5"), [format!("{expected}, got the number 5")]);
    assert_eq!(sql("'SELECT 1 SETTINGS readonly = 0'"), [format!("{expected}, got SETTINGS")]);
}

#[test]
fn redis_metrics_need_their_class_and_options_unless_removed() {
    let redis = with(DATABASE_METRIC, "data_source", "data_source: redis");
    assert_eq!(errors(&redis).len(), 2, "another class, no options");
    let hll = with(DATABASE_METRIC, "data_source", "data_source: redis_hll");
    assert_eq!(
        errors(&hll),
        ["0.yml: instrumentation_class: expected RedisHLLMetric, got \"CountIssuesMetric\""]
    );
    let hll = with(&hll, "instrumentation_class", "instrumentation_class: RedisHLLMetric");
    assert_eq!(errors(&with(&hll, "options", "options: {events: [a, b]}")), [""; 0]);
    assert_eq!(errors(&with(&hll, "options", "options: {event: a}")).len(), 2);
    let redis = with(&redis, "instrumentation_class", "instrumentation_class: RedisMetric");
    assert_eq!(errors(&with(&redis, "options", "options: {event: a, prefix: }")), [""; 0]);
    assert_eq!(errors(&with(&redis, "options", "options: {event: a}")).len(), 1);
    let removed = "status: removed\nmilestone_removed: '2.0'\nremoved_by_url:";
    let gone = with(&with(DATABASE_METRIC, "data_source", "data_source: redis"), "status", removed);
    assert_eq!(errors(&gone), [""; 0]);
}

#[test]
fn every_error_of_every_file_comes_back_at_once() {
    let event = with(&with(EVENT, "tiers", "tiers: gold"), "milestone", "milestone: 3");
    let loaded = read(&["a: [", "- 1", "a: 1", &event, METRIC]);
    let fields: Vec<_> =
        loaded.errors.iter().map(|error| (error.path.as_ref(), error.field.as_str())).collect();
    let expected = [("0.yml", ""), ("1.yml", ""), ("2.yml", ""), ("3.yml", "milestone"), ("3.yml", "tiers")];
    assert_eq!(fields, expected);
    assert_eq!((loaded.event_files, loaded.metric_files), (1, 1));
    assert_eq!(loaded.definitions.metrics().len(), 3, "what is sound is kept");
}

#[test]
fn a_key_twice_in_a_file_is_an_error() {
    assert_eq!(errors("key_path: a\nkey_path: b").len(), 1);
}

#[test]
fn listed_time_frames_suffix_the_key_path_and_a_single_one_does_not() {
    let expand = |line: &str| -> Vec<(String, TimeFrame)> {
        let loaded = read(&[&with(METRIC, "time_frame", line)]);
        assert_eq!(loaded.errors, []);
        let metrics = loaded.definitions.metrics;
        for metric in &metrics {
            assert_eq!(metric.document["key_path"], metric.key_path.as_str());
            assert_eq!(metric.document["time_frame"], metric.time_frame.as_str());
            assert_eq!(metric.document["description"], "Views");
        }
        metrics.into_iter().map(|metric| (metric.key_path, metric.time_frame)).collect()
    };
    let table: [(&str, &[(&str, TimeFrame)]); 6] = [
        ("time_frame: 7d", &[("counts.views", TimeFrame::SevenDays)]),
        ("time_frame: 28d", &[("counts.views", TimeFrame::TwentyEightDays)]),
        ("time_frame: all", &[("counts.views", TimeFrame::All)]),
        ("time_frame: none", &[("counts.views", TimeFrame::None)]),
        ("time_frame: [7d]", &[("counts.views_weekly", TimeFrame::SevenDays)]),
        (
            "time_frame: [28d, 7d, all]",
            &[
                ("counts.views_monthly", TimeFrame::TwentyEightDays),
                ("counts.views_weekly", TimeFrame::SevenDays),
                ("counts.views", TimeFrame::All),
            ],
        ),
    ];
    for (line, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(path, frame)| ((*path).to_owned(), *frame)).collect();
        assert_eq!(expand(line), expected, "{line}");
    }
}

#[test]
fn a_metrics_document_keeps_the_files_fields_in_their_order() {
    let loaded = read(&[METRIC]);
    let keys = |document: &serde_yaml_ng::Value| -> Vec<String> {
        document.as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    let written: serde_yaml_ng::Value = serde_yaml_ng::from_str(METRIC).unwrap();
    for metric in loaded.definitions.metrics() {
        assert_eq!(keys(&metric.document), keys(&written));
    }
}

#[test]
fn the_rules_decide_the_metrics_kind_and_counters() {
    let table: [(&str, MetricKind, &[&str]); 9] = [
        ("[{name: a}]", MetricKind::Total, &["a"]),
        ("[{name: a, operator: total}]", MetricKind::Total, &["a"]),
        (
            "[{name: a, filter: {value: 1.0, label: x}}, {name: b}]",
            MetricKind::Total,
            &["a{label=\"x\",value=1}", "b"],
        ),
        ("[{name: a, filter: {custom: 1}}]", MetricKind::Total, &["a{custom=1}"]),
        ("[{name: a, filter: {custom: 'true'}}]", MetricKind::Total, &["a{custom=\"true\"}"]),
        ("[{name: a, operator: sum(value)}]", MetricKind::Sum, &["a.sum(value)"]),
        ("[{name: a, unique: label, operator: total}]", MetricKind::UniqueTotals, &["a.totals(label)"]),
        (
            "[{name: a, unique: user.id}, {name: b, unique: project.id}, {name: c, unique: namespace.id}]",
            MetricKind::Unique,
            &["a.unique(user.id)", "b.unique(project.id)", "c.unique(namespace.id)"],
        ),
        ("[{name: a, unique: label}]", MetricKind::Unique, &["a.unique(label)"]),
    ];
    let metric = with(&METRIC.replace("\n- name: view_dashboard", ""), "time_frame", "time_frame: 28d");
    for (rules, kind, counters) in table {
        let loaded = read(&[&with(&metric, "events", &format!("events: {rules}"))]);
        assert_eq!(loaded.errors, [], "{rules}");
        let [metric] = loaded.definitions.metrics() else { panic!("one metric") };
        assert_eq!(metric.kind, Some(kind), "{rules}");
        let found: Vec<String> = metric.rules.iter().map(ToString::to_string).collect();
        assert_eq!(found, counters, "{rules}");
    }
}

#[test]
fn totals_by_value_may_be_read_over_all_time() {
    let rules = "- name: view_dashboard\n  unique: label\n  operator: total";
    assert_eq!(errors(&METRIC.replace("- name: view_dashboard", rules)), [""; 0]);
}

#[test]
fn names_and_key_paths_are_unique_and_lead_through_no_other() {
    let legacy = EVENT.replace("internal_events: true\n", "");
    assert_eq!(read(&[EVENT, &legacy, &legacy]).errors, [], "older events may share names");
    let twice = read(&[EVENT, EVENT]).errors;
    assert_eq!(twice.len(), 1);
    assert_eq!(
        twice[0].to_string(),
        "1.yml: action: expected a name no other internal event has, got \"view_dashboard\", which 0.yml has"
    );

    let clashing =
        [("key_path: counts.views_weekly", 1), ("key_path: counts.views.total", 1), ("key_path: counts", 3)];
    for (line, count) in clashing {
        let other = with(DATABASE_METRIC, "key_path", line);
        assert_eq!(read(&[METRIC, &other]).errors.len(), count, "{line}");
    }
    let beside = with(DATABASE_METRIC, "key_path", "key_path: counts.views2");
    assert_eq!(read(&[METRIC, &beside]).errors, []);
}

#[test]
fn only_internal_events_are_found_by_name() {
    let loaded =
        read(&[EVENT, &EVENT.replace("internal_events: true\n", "").replace("view_dashboard", "old")]);
    let event = loaded.definitions.event("view_dashboard").unwrap();
    assert_eq!(event.additional_properties, [("label".to_owned(), "Which".to_owned())]);
    assert!(event.declares("label") && !event.declares("value"));
    assert!(loaded.definitions.event("old").is_none());
    assert_eq!(loaded.definitions.events().count(), 2);
}

fn write(folder: &Path, name: &str, yaml: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, yaml).unwrap();
}

#[test]
fn folders_files_and_globs_are_read_once_without_what_is_not_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "events/view.yml", EVENT);
    write(root, "metrics/deep/er/views.yaml", METRIC);
    write(root, "metrics/deep/readme.md", "no definition");
    for skipped in
        ["events/removed/a.yml", "metrics/schema/b.yml", "metrics/objects_schemas/c.yml", ".hidden/d.yml"]
    {
        write(root, skipped, "not: a definition");
    }
    let text = |path: &str| root.join(path).to_string_lossy().into_owned();
    for paths in [
        vec![text("")],
        vec![text("events"), text("metrics"), text("events/view.yml")],
        vec![text("events/*.yml"), text("metrics/**/*.yaml")],
        vec![text("*s")],
    ] {
        let definitions = Definitions::load(&paths).unwrap_or_else(|errors| panic!("{paths:?}: {errors}"));
        assert_eq!((definitions.events().count(), definitions.metrics().len()), (1, 3), "{paths:?}");
    }
    for path in ["nowhere", "nowhere/*.yml", "[", "events/removed/a.yml"] {
        assert_eq!(Definitions::load(&[text(path)]).unwrap_err().0.len(), 1, "{path}");
    }
}

#[test]
fn the_built_in_set_is_sound_complete_and_shows_every_kind_and_frame() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("definitions");
    let report = lint(&[folder.to_str().unwrap()]);
    assert_eq!(report.findings, []);
    assert_eq!(report.event_files + report.metric_files, FILES.len(), "a file isn't listed in built_in.rs");

    let built_in = Definitions::built_in();
    assert_eq!(built_in.events().count(), report.event_files);
    assert!(built_in.event("run_pipeline").is_some());
    for kind in [MetricKind::Total, MetricKind::Sum, MetricKind::Unique, MetricKind::UniqueTotals] {
        assert!(built_in.metrics().iter().any(|metric| metric.kind == Some(kind)), "{kind:?}");
    }
    for frame in [TimeFrame::SevenDays, TimeFrame::TwentyEightDays, TimeFrame::All, TimeFrame::None] {
        assert!(built_in.metrics().iter().any(|metric| metric.time_frame == frame), "{frame}");
    }
}

#[test]
fn lint_tells_errors_from_doubts() {
    let folder = tempfile::tempdir().unwrap();
    let lint_of = |event: &str, metric: &str| {
        write(folder.path(), "event.yml", event);
        write(folder.path(), "metric.yml", metric);
        lint(&[folder.path().to_str().unwrap()])
    };
    let warnings = |metric: &str| -> Vec<String> {
        let report = lint_of(EVENT, metric);
        assert!(report.is_sound());
        assert!(report.findings.iter().all(|finding| finding.path.ends_with("metric.yml")));
        report.findings.into_iter().map(|finding| format!("{}: {}", finding.field, finding.message)).collect()
    };
    let monthly = with(&METRIC.replace("\n- name: view_dashboard", ""), "time_frame", "time_frame: 28d");
    let table: [(&str, &[&str]); 8] = [
        ("[{name: view_dashboard, filter: {label: a}}]", &[]),
        ("[{name: view_dashboard, unique: user.id}]", &[]),
        ("[{name: view}]", &["events.0: no internal event is called \"view\""]),
        (
            "[{name: view_dashboard, filter: {property: a}}]",
            &["events.0: \"view_dashboard\" doesn't declare the property \"property\""],
        ),
        (
            "[{name: view_dashboard, operator: sum(value)}]",
            &["events.0: \"view_dashboard\" doesn't declare the property \"value\""],
        ),
        (
            "[{name: view_dashboard, unique: project.id}]",
            &["events.0: \"view_dashboard\" doesn't declare the identifier \"project\""],
        ),
        (
            "[{name: view_dashboard, unique: user.id}, {name: view_dashboard, unique: label}]",
            &["events: counts different identifiers together"],
        ),
        (
            "[{name: view_dashboard, unique: label, operator: total}]",
            &["value_type: is number, though the value is of type object"],
        ),
    ];
    for (rules, expected) in table {
        assert_eq!(warnings(&with(&monthly, "events", &format!("events: {rules}"))), expected, "{rules}");
    }
    let clean = lint_of(EVENT, METRIC);
    assert_eq!((clean.event_files, clean.internal_events, clean.metric_files, clean.counters), (1, 1, 1, 1));
    assert_eq!(clean.metrics.values().sum::<usize>(), 3);

    let broken = lint_of(&with(EVENT, "tiers", "tiers: gold"), METRIC);
    assert!(!broken.is_sound());
    assert!(broken.findings[0].to_string().starts_with("error: "), "{}", broken.findings[0]);
    assert_eq!(broken.findings.len(), 1, "no doubts while a file is missing");
}
