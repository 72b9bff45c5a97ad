//! Legacy names: how lists are read, which counters a name stands for, and that what is tracked stays as it was.

use std::collections::BTreeMap;
use std::fs;

use tally_schemas::{
    Counter, Definitions, Effect, Increment, LegacyNames, Matcher, MetricKind, identifier_hash,
};
use tempfile::TempDir;

const COMMON: &str = "description: d\nproduct_group: g\nmilestone: '1.0'\nintroduced_by_url: https://example.com/1\ntiers: []\n";

const EVENTS: [&str; 3] = ["included", "viewed", "plain"];

/// Each metric's fields beside what all have; their key paths are `m0`, `m1`, …
const METRICS: [&str; 11] = [
    // Internal events that took legacy keys over.
    "data_source: internal_events\ntime_frame: 28d\nevents: [{name: included, unique: project.id, filter: {label: android, property: 'false'}}]",
    "data_source: internal_events\ntime_frame: 28d\nevents: [{name: viewed, unique: user.id}]",
    "data_source: internal_events\ntime_frame: all\nevents: [{name: included, filter: {label: android}}]",
    // What older data sources read.
    "data_source: redis_hll\ninstrumentation_class: RedisHLLMetric\ntime_frame: 7d\noptions: {events: [p_android]}",
    "data_source: redis_hll\ninstrumentation_class: RedisHLLMetric\ntime_frame: 7d\noptions: {events: [i_old, p_android, i_viewed]}",
    "data_source: redis_hll\ninstrumentation_class: RedisHLLMetric\ntime_frame: 7d\nevents: [{name: viewed, unique: user.id}, {name: i_other, unique: user.id}, {name: plain, unique: user.id}]",
    "data_source: redis\ninstrumentation_class: RedisMetric\ntime_frame: all\noptions: {event: include, prefix: android}",
    "data_source: redis\ninstrumentation_class: RedisMetric\ntime_frame: all\noptions: {event: Alone, prefix: Some}",
    "data_source: redis\ninstrumentation_class: RedisMetric\ntime_frame: all\noptions: {event: WEB_VIEWS_COUNT, prefix: null, include_usage_prefix: false}",
    "data_source: redis_hll\ninstrumentation_class: RedisHLLMetric\ntime_frame: 7d\nstatus: removed\nremoved_by_url:\nmilestone_removed: '2.0'\noptions: {events: [i_removed]}",
    "data_source: system\ninstrumentation_class: SystemMetric\ntime_frame: none",
];

const TOTALS: &str = "'{event_counters}_included-filter:[label:android]': USAGE_ANDROID_INCLUDE\n\
                      '{event_counters}_viewed': WEB_VIEWS_COUNT\n\
                      '{event_counters}_gone': USAGE_GONE\n";
const UNIQUES: &str = "'included-filter:[label:android,property:false]-project': p_android\n\
                       'viewed-user': i_viewed\n\
                       'gone-user': i_gone\n";
const EVENTS_WITHOUT_PROPERTY: &str = "- i_old\n- i_listed\n";

struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("the folder is writable");
        }
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.path().to_string_lossy().into_owned()
    }
}

fn lists() -> LegacyNames {
    let files = Files::new(&[("t.yml", TOTALS), ("u.yml", UNIQUES), ("e.yml", EVENTS_WITHOUT_PROPERTY)]);
    LegacyNames::load(&[files.path()]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn definitions() -> Definitions {
    let files = Files::new(&[]);
    for action in EVENTS {
        let yaml = format!(
            "action: {action}\n{COMMON}internal_events: true\nadditional_properties: {{label: {{description: d}}, property: {{description: d}}}}\n"
        );
        fs::write(files.0.path().join(format!("{action}.yml")), yaml).expect("the folder is writable");
    }
    for (index, fields) in METRICS.iter().enumerate() {
        let status = if fields.contains("status:") { "" } else { "status: active\n" };
        let yaml = format!(
            "key_path: m{index}\n{COMMON}{status}data_category: optional\nvalue_type: number\n{fields}\n"
        );
        fs::write(files.0.path().join(format!("m{index:02}.yml")), yaml).expect("the folder is writable");
    }
    Definitions::load(&[files.path()]).unwrap_or_else(|errors| panic!("{errors}"))
}

type Rules = (Option<MetricKind>, Vec<String>);

/// Each metric's kind and counters.
fn rules(definitions: &Definitions) -> BTreeMap<String, Rules> {
    let of_metric = |metric: &tally_schemas::Metric| {
        let rules = metric.rules.iter().map(ToString::to_string).collect();
        (metric.key_path.clone(), (metric.kind, rules))
    };
    definitions.metrics().iter().map(of_metric).collect()
}

const ANDROID: &str = r#"included{label="android",property="false"}.unique(project.id)"#;
const ANDROID_TOTAL: &str = r#"included{label="android"}"#;

/// A metric's name and kind, and its counters without lists and with them.
type Row = (&'static str, Option<MetricKind>, &'static [&'static str], &'static [&'static str]);

#[test]
fn metrics_of_older_data_sources_are_read_from_the_counters_of_their_names() {
    let definitions = definitions();
    let table: [Row; 9] = [
        ("m0", Some(MetricKind::Unique), &[ANDROID], &[ANDROID]),
        (
            "m3",
            Some(MetricKind::Unique),
            &["p_android.unique(user.id)"],
            &["p_android.unique(user.id)", ANDROID],
        ),
        (
            "m4",
            Some(MetricKind::Unique),
            &["i_old.unique(user.id)", "p_android.unique(user.id)", "i_viewed.unique(user.id)"],
            &[
                "i_old.unique(user.id)",
                "p_android.unique(user.id)",
                ANDROID,
                "i_viewed.unique(user.id)",
                "viewed.unique(user.id)",
            ],
        ),
        (
            "m5",
            Some(MetricKind::Unique),
            &["viewed.unique(user.id)", "i_other.unique(user.id)", "plain.unique(user.id)"],
            &["viewed.unique(user.id)", "i_other.unique(user.id)", "plain.unique(user.id)"],
        ),
        ("m6", Some(MetricKind::Total), &["android_include"], &[ANDROID_TOTAL]),
        ("m7", Some(MetricKind::Total), &["some_alone"], &["some_alone"]),
        ("m8", Some(MetricKind::Total), &["web_views_count"], &["viewed"]),
        ("m9", None, &[], &[]),
        ("m10", None, &[], &[]),
    ];
    let (before, after) = (rules(&definitions), rules(&definitions.with_legacy_names(lists())));
    for (key_path, kind, without_lists, with_lists) in table {
        assert_eq!(before[key_path], (kind, without_lists.iter().map(ToString::to_string).collect()));
        assert_eq!(after[key_path], (kind, with_lists.iter().map(ToString::to_string).collect()));
    }
}

#[test]
fn a_name_stands_for_these_counters() {
    let table: [(&str, Option<(&str, &str)>); 18] = [
        // Internal events.
        ("viewed", Some(("viewed", "viewed.unique(user.id)"))),
        ("plain", Some(("plain", "plain.unique(user.id)"))),
        // Legacy names of internal events.
        ("p_android", Some(("p_android", ANDROID))),
        ("i_viewed", Some(("i_viewed", "viewed.unique(user.id)"))),
        ("android_include", Some((ANDROID_TOTAL, "android_include.unique(user.id)"))),
        ("web_views_count", Some(("viewed", "web_views_count.unique(user.id)"))),
        ("web_views", Some(("viewed", "web_views.unique(user.id)"))),
        // Listed, for events that are not defined here.
        ("i_gone", Some(("i_gone", "i_gone.unique(user.id)"))),
        ("gone", Some(("gone", "gone.unique(user.id)"))),
        ("i_listed", Some(("i_listed", "i_listed.unique(user.id)"))),
        // Events of metrics.
        ("i_old", Some(("i_old", "i_old.unique(user.id)"))),
        ("i_other", Some(("i_other", "i_other.unique(user.id)"))),
        ("some_alone", Some(("some_alone", "some_alone.unique(user.id)"))),
        // Nobody's.
        ("i_removed", None),
        ("USAGE_GONE", None),
        ("P_ANDROID", None),
        ("never", None),
        ("", None),
    ];
    let definitions = definitions().with_legacy_names(lists());
    let matcher = Matcher::new(&definitions);
    for (name, expected) in table {
        let counters = |increment| {
            let ids = matcher.increment(increment, name)?;
            let texts: Vec<String> =
                ids.iter().map(|id| matcher.counters()[id.0 as usize].to_string()).collect();
            Some(texts.join(" "))
        };
        let found = counters(Increment::Total).zip(counters(Increment::UniqueUsers));
        let expected = expected.map(|(totals, uniques)| (totals.to_owned(), uniques.to_owned()));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn tracked_events_change_the_same_counters_as_without_legacy_names() {
    let plain = Matcher::new(&definitions());
    let with_names = Matcher::new(&definitions().with_legacy_names(lists()));
    assert_eq!(plain.tracked_counters(), with_names.tracked_counters());
    // `plain` has users counted by a metric of an older data source only, so tracking it doesn't count them.
    let tracked: Vec<String> = plain.tracked_counters().iter().map(ToString::to_string).collect();
    assert_eq!(tracked.len(), EVENTS.len() + 3, "{tracked:?}");
    for event in EVENTS {
        let counters = |matcher: &Matcher| matcher.lookup(event).map(|event| event.counters().to_vec());
        assert_eq!(counters(&plain), counters(&with_names), "{event}");
    }
    for name in ["p_android", "i_old", "some_alone"] {
        assert!(with_names.lookup(name).is_none(), "{name}");
    }
    let mut distinct: Vec<&Counter> = with_names.counters().iter().collect();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), with_names.counters().len(), "no two counters are equal");
}

#[test]
fn an_increment_counts_one_or_adds_the_user() {
    let effect = Matcher::increment_effect;
    assert_eq!(effect(Increment::Total, None), Some(Effect::Count));
    assert_eq!(effect(Increment::UniqueUsers, Some(7)), Some(Effect::Unique(identifier_hash(7))));
    assert_eq!(effect(Increment::UniqueUsers, None), None);
}

#[test]
fn what_is_wrong_with_lists_is_told_all_at_once() {
    let files = Files::new(&[
        ("a.yml", "'x-user': [1]\n'y-user': ''\n7: z\n"),
        ("b.yml", "- a\n- {b: c}\n"),
        ("c.yml", "just text\n"),
        ("d.yml", "a: [\n"),
    ]);
    let errors = LegacyNames::load(&[files.path(), "nowhere.yml".to_owned()]).expect_err("all are wrong").0;
    let shown: Vec<(String, &str, &str)> = errors
        .iter()
        .map(|error| {
            let file = error.path.rsplit('/').next().unwrap_or_default().to_owned();
            (file, error.field.as_str(), error.expected.as_str())
        })
        .collect();
    let expected = [
        ("nowhere.yml", "", "a file, a folder or a glob of some"),
        ("a.yml", "x-user", "a legacy key"),
        ("a.yml", "y-user", "a legacy key"),
        ("a.yml", "", "strings as keys"),
        ("b.yml", "1", "an event's name"),
        ("c.yml", "", "a mapping or a list"),
        ("d.yml", "", "YAML"),
    ];
    assert_eq!(shown, expected.map(|(file, field, text)| (file.to_owned(), field, text)));
}
