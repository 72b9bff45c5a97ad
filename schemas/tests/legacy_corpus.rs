//! GitLab's own lists of legacy names over its own definitions: which metrics become computable, and how many names
//! stand for counters of internal events.

mod gitlab;

use std::collections::BTreeSet;

use gitlab::Corpus;
use tally_schemas::{
    Counter, DataSource, Definitions, Increment, LegacyNames, Matcher, Metric, MetricKind, Status,
};

fn load(corpus: &Corpus) -> (Definitions, LegacyNames) {
    let definitions = Definitions::load(&corpus.paths()).unwrap_or_else(|errors| panic!("{errors}"));
    let lists = LegacyNames::load(&[corpus.root.join("legacy").to_string_lossy()]);
    (definitions, lists.unwrap_or_else(|errors| panic!("{errors}")))
}

fn of_source(definitions: &Definitions, source: DataSource) -> impl Iterator<Item = &Metric> {
    let metrics = definitions.metrics().iter();
    metrics.filter(move |metric| metric.data_source == source && metric.status != Status::Removed)
}

/// The names of a `redis_hll` metric's events, as its file has them.
fn names(metric: &Metric) -> Vec<&str> {
    let options = metric.document.get("options").and_then(|options| options.get("events"));
    let rules = metric.document.get("events");
    let list =
        options.or(rules).and_then(|events| events.as_sequence()).expect("events in one of two places");
    let names = list.iter().map(|entry| entry.get("name").unwrap_or(entry).as_str());
    names.collect::<Option<_>>().expect("names are texts")
}

#[test]
fn every_unique_count_of_the_older_kind_is_read_from_counters() {
    let Some(corpus) = Corpus::find() else { return };
    let (definitions, lists) = load(&corpus);
    let definitions = definitions.with_legacy_names(lists);
    let metrics: Vec<&Metric> = of_source(&definitions, DataSource::RedisHll).collect();
    let files: BTreeSet<&str> = metrics.iter().map(|metric| &*metric.path).collect();
    assert_eq!((files.len(), metrics.len()), (484, 538));
    let matcher = Matcher::new(&definitions);
    let changed = |name: &str| -> Vec<&Counter> {
        let ids = matcher.increment(Increment::UniqueUsers, name).unwrap_or_else(|| panic!("{name}"));
        ids.iter().map(|id| &matcher.counters()[id.0 as usize]).collect()
    };
    for metric in &metrics {
        assert_eq!(metric.kind, Some(MetricKind::Unique), "{}", metric.key_path);
        assert!(!metric.rules.is_empty(), "{}", metric.key_path);
        // Whatever name of the metric is incremented, the metric reads it.
        for name in names(metric) {
            for counter in changed(name) {
                assert!(metric.rules.contains(counter), "{}: {name} changes {counter}", metric.key_path);
            }
        }
    }
    // All that are left of the totals are removed.
    assert_eq!(of_source(&definitions, DataSource::Redis).count(), 0);
}

#[test]
fn legacy_names_stand_for_the_counters_of_internal_events() {
    let Some(corpus) = Corpus::find() else { return };
    let (definitions, lists) = load(&corpus);
    let matcher = Matcher::new(&definitions.with_legacy_names(lists));
    let counter = |increment, name: &str| {
        let ids = matcher.increment(increment, name)?;
        assert_eq!(ids.len(), 1, "{name}");
        Some(matcher.counters()[ids[0].0 as usize].to_string())
    };
    let table = [
        (
            Increment::UniqueUsers,
            "p_ci_templates_android",
            r#"ci_template_included{label="android",property="false"}.unique(project.id)"#,
        ),
        (Increment::UniqueUsers, "wiki_action", "performed_wiki_action.unique(user.id)"),
        (
            Increment::UniqueUsers,
            "i_container_registry_push_tag_deploy_token",
            "i_container_registry_push_tag_deploy_token.unique(property)",
        ),
        (Increment::UniqueUsers, "git_write_action", "git_write_action.unique(user.id)"),
        (Increment::Total, "wiki_pages_create", "create_wiki_page"),
        (Increment::Total, "all_searches", "perform_search"),
        (Increment::Total, "web_ide_views", "web_ide_viewed"),
        (Increment::Total, "source_code_pushes", "source_code_pushed"),
        (
            Increment::Total,
            "package_events_i_package_npm_pull_package",
            r#"pull_package_from_registry{label="npm"}"#,
        ),
    ];
    for (increment, name, expected) in table {
        if name == "i_container_registry_push_tag_deploy_token" {
            // An internal event's own name stands for its users as well.
            let ids = matcher.increment(increment, name).expect("it is known");
            let texts: Vec<String> =
                ids.iter().map(|id| matcher.counters()[id.0 as usize].to_string()).collect();
            assert_eq!(texts, [expected.to_owned(), format!("{name}.unique(user.id)")]);
        } else {
            assert_eq!(counter(increment, name).as_deref(), Some(expected), "{name}");
        }
    }
}

#[test]
fn most_listed_names_belong_to_an_internal_event_of_the_corpus() {
    let Some(corpus) = Corpus::find() else { return };
    let (definitions, lists) = load(&corpus);
    let definitions = definitions.with_legacy_names(lists);
    let matcher = Matcher::new(&definitions);
    let tracked = matcher.tracked_counters().len();
    let increments = definitions.increments();
    // A legacy name whose counter is one that tracked events change.
    let shared = |increment: Increment| {
        let shares = |name: &&String| {
            let ids = matcher.increment(increment, name).into_iter().flatten();
            definitions.event(name).is_none() && ids.into_iter().any(|id| (id.0 as usize) < tracked)
        };
        increments.keys().filter(shares).count()
    };
    let (totals, uniques) = (shared(Increment::Total), shared(Increment::UniqueUsers));
    println!(
        "{} names can be incremented; {totals} legacy names share the total of an internal event, {uniques} its \
         unique count; {} counters are changed by increments only",
        increments.len(),
        matcher.counters().len() - tracked,
    );
    assert_eq!((totals, uniques), (116, 194));
}
