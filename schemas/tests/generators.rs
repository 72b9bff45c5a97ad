//! The generators write what GitLab's own generator wrote for the same answers, byte for byte; what they refuse; and that
//! they never overwrite.

mod gitlab;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tally_schemas::definitions::generate::{
    Counting, GeneratedFile, Measure, NewEvent, NewMetric, NewProperty, NewRule, TO_DO, WriteError,
};
use tally_schemas::definitions::lint;
use tally_schemas::{Definitions, LoadErrors, TimeFrame};

use crate::gitlab::Corpus;

const GROUP: &str = "analytics_instrumentation";
const ALL_TIERS: &[&str] = &["free", "premium", "ultimate"];
const PAID_TIERS: &[&str] = &["premium", "ultimate"];
const IDENTIFIERS: &[&str] = &["project", "namespace", "user"];
const TIME: &str = "value=Time the CLI ran before closing (seconds)";

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn event(action: &str, description: &str) -> NewEvent {
    NewEvent {
        action: action.to_owned(),
        description: description.to_owned(),
        identifiers: texts(IDENTIFIERS),
        product_group: GROUP.to_owned(),
        product_categories: texts(&["service_ping"]),
        milestone: "16.6".to_owned(),
        tiers: texts(ALL_TIERS),
        ..NewEvent::default()
    }
}

fn used(properties: &[&str]) -> NewEvent {
    NewEvent {
        additional_properties: properties.iter().map(|text| text.parse().unwrap()).collect(),
        ..event("internal_events_cli_used", "Engineer uses Internal Event CLI to define a new event")
    }
}

/// Each fixture's name with the answers that it came from.
fn events() -> Vec<(&'static str, NewEvent)> {
    let opened = event("internal_events_cli_opened", "Internal Event CLI is opened");
    vec![
        ("event_with_identifiers", used(&[])),
        (
            "event_with_mr_url",
            NewEvent {
                introduced_by_url: Some(
                    "https://gitlab.com/gitlab-org/gitlab/-/merge_requests/143433".to_owned(),
                ),
                product_categories: texts(&["service_ping", "service_desk"]),
                ..used(&[])
            },
        ),
        (
            "event_with_additional_properties",
            used(&["label", TIME, "custom_key=The extra custom property name"]),
        ),
        ("event_with_all_additional_properties", used(&["label", "property", TIME])),
        (
            "event_with_multiple_custom_properties",
            used(&[
                "label",
                "property",
                "custom_key1=The extra custom property name 1",
                "custom_key2=The extra custom property name 2",
                "custom_key3=The extra custom property name 3",
                "custom_key4=The extra custom property name 3",
            ]),
        ),
        (
            "event_with_additional_properties_without_identifiers",
            NewEvent {
                identifiers: Vec::new(),
                ..used(&["label", TIME, "custom_key=The extra custom property name"])
            },
        ),
        (
            "event_with_feature_enabled_by_namespace_ids_identifier",
            NewEvent {
                identifiers: texts(&["user", "feature_enabled_by_namespace_ids"]),
                ..used(&["label", "property", TIME, "custom_key=The extra custom property name"])
            },
        ),
        (
            "secondary_event_with_identifiers",
            NewEvent {
                product_categories: Vec::new(),
                ..event("internal_events_cli_closed", "Engineer closes Internal Event CLI")
            },
        ),
        (
            "secondary_event_with_additional_properties",
            NewEvent {
                additional_properties: ["label", TIME].map(|text| text.parse().unwrap()).into(),
                ..opened.clone()
            },
        ),
        (
            "ee_event_without_identifiers",
            NewEvent { identifiers: Vec::new(), tiers: texts(PAID_TIERS), ..opened },
        ),
        (
            "keyboard_smashed_event",
            NewEvent {
                product_group: "import".to_owned(),
                product_categories: texts(&["acquisition"]),
                classification: Some("duo".to_owned()),
                ..event("random_name", "random event string")
            },
        ),
    ]
}

fn metric(rules: &[&str], counting: &str, name: Option<&str>, description: &str) -> NewMetric {
    use TimeFrame::{All, SevenDays, TwentyEightDays};
    let counting: Counting = counting.parse().expect("a text that can be read");
    let time_frames = match counting {
        Counting::Unique(_) => vec![TwentyEightDays, SevenDays],
        _ => vec![TwentyEightDays, SevenDays, All],
    };
    NewMetric {
        measure: Measure::Events {
            rules: rules.iter().map(|rule| rule.parse().expect("a text that can be read")).collect(),
            counting,
            name: name.map(ToOwned::to_owned),
        },
        description: description.to_owned(),
        time_frames,
        product_group: Some(GROUP.to_owned()),
        product_categories: texts(&["service_ping"]),
        milestone: "16.6".to_owned(),
        introduced_by_url: Some(TO_DO.to_owned()),
        tiers: texts(ALL_TIERS),
    }
}

/// Each fixture's name with the answers that it came from.
#[expect(clippy::too_many_lines, reason = "a table")]
fn metrics() -> Vec<(&'static str, NewMetric)> {
    const USED: &str = "internal_events_cli_used";
    const CLOSED: &str = "internal_events_cli_closed";
    const FAILED: &str = "who tried and failed to define an internal event using the CLI";
    let of_users = |description: &str| metric(&[USED], "unique:user", None, description);
    let total = metric(&[USED], "total", None, "when an event was defined using the CLI");
    let closed = metric(&[CLOSED], "total", None, "when the CLI is gracefully closed");
    let ee = |frame| NewMetric {
        time_frames: vec![frame],
        tiers: texts(PAID_TIERS),
        ..of_users("who defined an event using the CLI")
    };
    vec![
        ("total_single_event", total.clone()),
        ("ee_total_single_event", NewMetric { tiers: texts(PAID_TIERS), ..total }),
        ("total_no_product_categories", NewMetric { product_categories: Vec::new(), ..closed.clone() }),
        (
            "total_multiple_product_categories",
            NewMetric {
                product_group: Some("package_registry".to_owned()),
                product_categories: texts(&["package_registry", "helm_chart_registry"]),
                ..closed
            },
        ),
        (
            "total_multiple_events_with_rename",
            NewMetric {
                product_categories: texts(&["service_ping", "acquisition"]),
                ..metric(
                    &["random_name", USED, "internal_events_cli_opened", CLOSED],
                    "total",
                    Some("cli_interactions"),
                    "CLI interations",
                )
            },
        ),
        (
            "total_multi_event_some_additional_props",
            metric(
                &[CLOSED, "internal_events_cli_used:label=failure;property=events"],
                "total",
                Some("failed_usage_attempts"),
                "when someone tried and failed to define an internal event using the CLI",
            ),
        ),
        ("user_id_single_event", of_users("who defined an internal event using the CLI")),
        (
            "user_id_7d_single_event",
            NewMetric {
                time_frames: vec![TimeFrame::SevenDays],
                ..of_users("who defined an internal event using the CLI")
            },
        ),
        ("ee_total_7d_single_event", ee(TimeFrame::SevenDays)),
        ("ee_total_28d_single_event", ee(TimeFrame::TwentyEightDays)),
        (
            "project_id_multiple_events",
            metric(&[USED, CLOSED], "unique:project", None, "where a defition file was created with the CLI"),
        ),
        (
            "label_single_event_additional_props",
            metric(&[USED], "unique:label", None, "values provided for label"),
        ),
        (
            "user_id_single_event_additional_props",
            metric(
                &["internal_events_cli_used:label=failure,incomplete"],
                "unique:user",
                Some("failed_usage_attempts"),
                FAILED,
            ),
        ),
        (
            "user_id_single_event_all_additional_props",
            metric(
                &["internal_events_cli_used:label=failure,incomplete;property=metrics,events;value=60"],
                "unique:user",
                Some("failed_usage_attempts_under_60s"),
                FAILED,
            ),
        ),
        (
            "user_id_single_event_custom_key_filter",
            metric(
                &[
                    "internal_events_cli_used:label=failure;custom_key1=metrics;custom_key3=30,13;custom_key4=12.4",
                ],
                "unique:user",
                Some("failed_usage_attempts_under_60s"),
                FAILED,
            ),
        ),
        ("sum_single_event", metric(&[USED], "sum", None, "time spent using CLI")),
        (
            "sum_multiple_events_with_filters",
            metric(
                &["internal_events_cli_used:property=flow", "internal_events_cli_opened:label=failure"],
                "sum",
                Some("failed_usage_time"),
                "time spent in failed flow of CLI",
            ),
        ),
        (
            "keyboard_smashed_metric",
            NewMetric {
                product_group: Some("import".to_owned()),
                product_categories: texts(&["acquisition"]),
                ..metric(&["random_name"], "unique:user", None, "random metric string")
            },
        ),
        (
            "database_metric",
            NewMetric {
                measure: Measure::Database {
                    key_path: "issues_count".to_owned(),
                    instrumentation_class: "CountIssuesMetric".to_owned(),
                },
                time_frames: vec![TimeFrame::TwentyEightDays, TimeFrame::SevenDays],
                tiers: texts(PAID_TIERS),
                ..metric(&[], "total", None, "Count of issues")
            },
        ),
    ]
}

/// Every event that the fixtures' metrics count.
fn known() -> Definitions {
    Definitions::load(&[known_folder().path().to_string_lossy()]).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Their files.
fn known_folder() -> tempfile::TempDir {
    let properties = "label property value custom_key1 custom_key2 custom_key3 custom_key4";
    let properties: Vec<NewProperty> = properties.split(' ').map(|name| name.parse().unwrap()).collect();
    let names = ["used", "opened", "closed"].map(|name| format!("internal_events_cli_{name}"));
    let folder = tempfile::tempdir().expect("a folder");
    for name in names.iter().map(String::as_str).chain(["random_name"]) {
        let event = NewEvent {
            additional_properties: properties.clone(),
            introduced_by_url: Some("https://example.com/1".to_owned()),
            // As in the fixtures, one of the events belongs to no category.
            product_categories: texts(if name.ends_with("closed") { &[] } else { &["service_ping"] }),
            ..event(name, "Something happened")
        };
        let file = event.generate(&Definitions::default()).unwrap_or_else(|errors| panic!("{errors}"));
        file.write(folder.path()).expect("the file can be written");
    }
    folder
}

/// A fixture that GitLab's generator did not write: it has a null where the generator leaves the field out.
const WRITTEN_BY_HAND: [&str; 1] = ["event_with_additional_properties_without_identifiers"];
/// What no answers lead to: a list of one time frame.
const UNREACHABLE: [&str; 1] = ["ee_total_7d_single_event_array_metric"];

fn compare(corpus: &Corpus, folder: &str, generated: Vec<(&str, Result<GeneratedFile, LoadErrors>)>) {
    let folder = corpus.root.join("generator_fixtures").join(folder);
    let name = |path: &Path| path.file_stem().expect("files have names").to_string_lossy().into_owned();
    let files = fs::read_dir(&folder)
        .expect("the fixtures' folder")
        .map(|entry| name(&entry.expect("a file").path()));
    let mut left: BTreeSet<String> = files.filter(|name| !UNREACHABLE.contains(&name.as_str())).collect();
    for (fixture, file) in generated {
        let file = file.unwrap_or_else(|errors| panic!("{fixture}: {errors}"));
        let expected = fs::read_to_string(folder.join(format!("{fixture}.yml"))).expect("a fixture");
        if WRITTEN_BY_HAND.contains(&fixture) {
            let without_null = expected.replace("identifiers:\n", "");
            assert_eq!(file.text, without_null, "{fixture}");
        } else {
            assert_eq!(file.text, expected, "{fixture}");
        }
        assert!(left.remove(fixture), "{fixture} twice");
    }
    assert!(left.is_empty(), "nothing was generated for {left:?}");
}

#[test]
fn events_are_written_as_gitlabs_generator_writes_them() {
    let Some(corpus) = Corpus::find() else { return };
    let events = events();
    let generated = events.iter().map(|(name, event)| (*name, event.generate(&Definitions::default())));
    compare(&corpus, "events", generated.collect());
}

#[test]
fn metrics_are_written_as_gitlabs_generator_writes_them() {
    let Some(corpus) = Corpus::find() else { return };
    let (known, metrics) = (known(), metrics());
    let generated = metrics.iter().map(|(name, metric)| (*name, metric.generate(&known)));
    compare(&corpus, "metrics", generated.collect());
}

#[test]
fn what_gitlab_has_defined_can_not_be_defined_again() {
    let Some(corpus) = Corpus::find() else { return };
    let known = Definitions::load(&corpus.paths()).unwrap_or_else(|errors| panic!("{errors}"));
    let event = event("ci_template_included", "Again").generate(&known);
    assert!(errors(event)[0].starts_with("action: a name no other internal event has"));
    let again = metric(&["delete_environment_for_managed_resource"], "unique:user", None, "who did it again")
        .generate(&known);
    let again = errors(again);
    assert!(
        again.iter().all(|error| error.starts_with("key_path: a key path no other metric has")),
        "{again:?}"
    );
}

#[test]
fn what_is_generated_passes_lint_once_the_url_is_there() {
    let known = known();
    let url = || Some("https://example.com/1".to_owned());
    for (name, event) in events() {
        let file = NewEvent { introduced_by_url: url(), ..event }.generate(&Definitions::default());
        lint_with(&[], name, &file.unwrap_or_else(|errors| panic!("{name}: {errors}")));
    }
    let counted = known_folder();
    for (name, metric) in metrics() {
        let file = NewMetric { introduced_by_url: url(), ..metric }.generate(&known);
        lint_with(&[counted.path()], name, &file.unwrap_or_else(|errors| panic!("{name}: {errors}")));
    }
}

/// Not even a warning, since what is counted is there, too.
fn lint_with(others: &[&Path], name: &str, file: &GeneratedFile) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file.write(folder.path()).expect("the file can be written");
    let paths = others.iter().copied().chain([path.as_path()]);
    let report = lint(&paths.map(Path::to_string_lossy).collect::<Vec<_>>());
    assert_eq!(report.findings, [], "{name}");
    assert!(!file.has_url_to_do());
}

#[test]
fn files_lie_where_gitlab_has_them() {
    let known = known();
    let path_of = |name: &str| {
        let (events, metrics) = (events(), metrics());
        let event = events.iter().find(|(fixture, _)| *fixture == name);
        let file = match event {
            Some((_, event)) => event.generate(&Definitions::default()),
            None => metrics.iter().find(|(fixture, _)| *fixture == name).expect(name).1.generate(&known),
        };
        file.unwrap_or_else(|errors| panic!("{errors}")).path
    };
    for (fixture, path) in [
        ("event_with_identifiers", "config/events/internal_events_cli_used.yml"),
        ("ee_event_without_identifiers", "ee/config/events/internal_events_cli_opened.yml"),
        ("total_single_event", "config/metrics/counts_all/count_total_internal_events_cli_used.yml"),
        ("ee_total_single_event", "ee/config/metrics/counts_all/count_total_internal_events_cli_used.yml"),
        (
            "user_id_7d_single_event",
            "config/metrics/counts_7d/count_distinct_user_id_from_internal_events_cli_used_weekly.yml",
        ),
        (
            "ee_total_28d_single_event",
            "ee/config/metrics/counts_28d/count_distinct_user_id_from_internal_events_cli_used_monthly.yml",
        ),
        ("database_metric", "ee/config/metrics/counts_all/issues_count.yml"),
    ] {
        assert_eq!(path_of(fixture), path, "{fixture}");
    }
}

#[test]
fn what_was_not_said_of_a_metric_comes_from_its_events() {
    let unsaid = NewMetric {
        product_group: None,
        product_categories: Vec::new(),
        introduced_by_url: None,
        tiers: Vec::new(),
        ..metric(&["random_name"], "total", None, "things that happened")
    };
    let file = unsaid.generate(&known()).unwrap_or_else(|errors| panic!("{errors}"));
    for line in [
        "product_group: analytics_instrumentation\nproduct_categories:\n- service_ping\n",
        "introduced_by_url: https://example.com/1\n",
        "tiers:\n- free\n- premium\n- ultimate\n",
    ] {
        assert!(file.text.contains(line), "{line}: {}", file.text);
    }
}

fn errors(generated: Result<GeneratedFile, LoadErrors>) -> Vec<String> {
    let errors = generated.expect_err("something is wrong").0;
    errors.iter().map(|error| format!("{}: {}, got {}", error.field, error.expected, error.got)).collect()
}

#[test]
fn events_that_would_not_load_are_refused_with_all_that_is_wrong() {
    let good = || NewEvent { introduced_by_url: Some(TO_DO.to_owned()), ..used(&[]) };
    let table: [(NewEvent, &[&str]); 9] = [
        (NewEvent { action: "Used!".to_owned(), ..good() }, &["action"]),
        (NewEvent { description: " \n".to_owned(), ..good() }, &["description"]),
        (NewEvent { identifiers: texts(&["group"]), ..good() }, &["identifiers"]),
        (NewEvent { tiers: Vec::new(), ..good() }, &["tiers"]),
        (NewEvent { tiers: texts(&["gold"]), milestone: "16".to_owned(), ..good() }, &["milestone", "tiers"]),
        (NewEvent { introduced_by_url: Some("soon".to_owned()), ..good() }, &["introduced_by_url"]),
        (NewEvent { product_group: String::new(), ..good() }, &["product_group"]),
        (NewEvent { classification: Some("solo".to_owned()), ..good() }, &["classification"]),
        (used(&["label", "label=Again"]), &["additional_properties"]),
    ];
    for (event, fields) in table {
        let found = errors(event.generate(&Definitions::default()));
        let named: Vec<&str> = found.iter().filter_map(|error| error.split(':').next()).collect();
        assert_eq!(named, fields, "{found:?}");
    }
    let found = errors(used(&[]).generate(&known()));
    assert!(found[0].starts_with("action: a name no other internal event has"), "{found:?}");
}

#[test]
fn metrics_that_would_not_load_or_count_are_refused_with_all_that_is_wrong() {
    let good = || metric(&["random_name"], "total", None, "things that happened");
    let of = |rules: &[&str], counting: &str, name| metric(rules, counting, name, "things");
    let long = "a".repeat(80);
    let table: Vec<(NewMetric, &[&str])> = vec![
        (of(&[], "total", Some("x")), &["events"]),
        (of(&["unheard_of"], "total", None), &["events.unheard_of"]),
        (of(&["random_name:color=red"], "total", Some("red")), &["events.random_name"]),
        (of(&["random_name:label=red"], "total", None), &["name"]),
        (of(&["random_name"], "total", Some("Bad Name")), &["key_path", "name"]),
        (of(&["random_name"], "unique:project", Some(&long)), &["name"]),
        (of(&["random_name"], "unique:color", None), &["events.random_name"]),
        (
            of(&["random_name:label=red,blue;value=x"], "total", Some("red")),
            &["events.0.filter.value", "events.1.filter.value"],
        ),
        (
            NewMetric { time_frames: vec![TimeFrame::All], ..of(&["random_name"], "unique:user", None) },
            &["time_frame"],
        ),
        (NewMetric { time_frames: Vec::new(), ..good() }, &["time_frame", "time_frame"]),
        (NewMetric { description: String::new(), ..good() }, &["description"]),
        (NewMetric { milestone: "next".to_owned(), ..good() }, &["milestone"]),
    ];
    let known = known();
    for (metric, fields) in table {
        let found = errors(metric.generate(&known));
        let named: Vec<&str> = found.iter().filter_map(|error| error.split(':').next()).collect();
        assert_eq!(named, fields, "{found:?}");
    }
    let built_in = Definitions::built_in();
    let taken = metric(&["view_dashboard"], "total", None, "views").generate(&built_in);
    assert!(errors(taken).iter().any(|error| error.starts_with("key_path: a key path no other metric has")));
    // `counts.count_total_view_dashboard` and others are built in.
    for (key_path, is_free) in [
        ("counts", false),
        ("counts.count_total_view_dashboard.more", false),
        ("counts.count_total_view", true),
        ("count", true),
    ] {
        let measure = Measure::Database {
            key_path: key_path.to_owned(),
            instrumentation_class: "CountIssuesMetric".to_owned(),
        };
        let metric = NewMetric { measure, time_frames: vec![TimeFrame::All], ..good() };
        let generated = metric.generate(&built_in);
        assert_eq!(generated.is_ok(), is_free, "{key_path}: {generated:?}");
        assert!(is_free || errors(generated)[0].starts_with("key_path: a key path that doesn't lead"));
    }
}

#[test]
fn texts_that_say_nothing_known_are_refused() {
    for text in ["", "count", "unique", "unique:", "sum(value)"] {
        assert!(text.parse::<Counting>().is_err(), "{text}");
    }
    for text in ["event:", "event:label", "event:label=a;", "event:label=a;label=b"] {
        assert!(text.parse::<NewRule>().is_err(), "{text}");
    }
}

#[test]
fn no_file_is_ever_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = used(&[]).generate(&Definitions::default()).unwrap_or_else(|errors| panic!("{errors}"));
    let path = file.write(folder.path()).expect("there is no such file yet");
    fs::write(&path, "mine").expect("the file can be changed");
    assert!(matches!(file.write(folder.path()), Err(WriteError::Exists(there)) if there == path));
    assert_eq!(fs::read_to_string(path).expect("the file is there"), "mine");
}
