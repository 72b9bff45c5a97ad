//! GitLab's own definitions as a payload: every `key_path` that is active or broken, in its place, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};
use serde_yaml_ng::Value as Yaml;
use tally_query::service_ping::{Consent, Coverage, PayloadKind, Plan, SourceCoverage, coverage, generate};
use tally_query::{InstanceConfig, LicenseConfig};
use tally_schemas::DataSource;

use crate::app::with_app;
use crate::corpus;

#[test]
fn a_payload_has_every_active_key_path_and_no_other() {
    let Some(root) = corpus::root("payload of the corpus") else { return };
    with_app("corpus", |app| async move {
        let plan = Plan::new(&corpus::definitions(root));
        let expected: BTreeSet<_> = active_metrics(&root.join("config/metrics")).into_keys().collect();
        assert!(expected.len() > 2_500, "{}", expected.len());
        for kind in PayloadKind::ALL {
            let payload = app.payload(&plan, kind).await;
            let told: BTreeSet<_> = payload.metadata.iter().map(|metric| metric.name.clone()).collect();
            let differing: Vec<_> = told.symmetric_difference(&expected).take(10).collect();
            assert!(differing.is_empty(), "{kind}: {differing:?} …");
            let mut rest = payload.document;
            for key_path in &expected {
                assert!(take(&mut rest, key_path), "{key_path} is missing in the {kind} payload");
            }
            assert!(rest.is_empty(), "the {kind} payload has more: {rest:?}");
            let errors: Vec<_> = payload.metadata.iter().filter(|metric| metric.error.is_some()).collect();
            assert!(errors.is_empty(), "{kind}: {errors:?}");
            println!("{kind}: {} key paths, {} queries", expected.len(), payload.queries);
        }
        let (instance, license) = (InstanceConfig::default(), LicenseConfig::default());
        let coverage = coverage(&plan, &app.context(&instance, &license));
        println!("{coverage}");
        assert_covered(&coverage, expected.len());
    });
}

#[test]
fn a_payload_without_consent_has_what_the_contract_needs_and_no_other() {
    let Some(root) = corpus::root("payload of the corpus without consent") else { return };
    with_app("corpus_consent", |app| async move {
        let plan = Plan::new(&corpus::definitions(root));
        let metrics = active_metrics(&root.join("config/metrics"));
        let (instance, license) = (InstanceConfig::default(), LicenseConfig::default());
        for (enabled, optional, left_out) in [
            (true, false, ["optional", ""]),
            (false, true, ["operational", ""]),
            (false, false, ["optional", "operational"]),
        ] {
            let mut context = app.context(&instance, &license);
            context.consent = Consent {
                usage_ping_enabled: enabled,
                include_optional_data: optional,
                ..Consent::default()
            };
            let payload = generate(&plan, &context, &app.warehouse, PayloadKind::Full).await;
            let told: BTreeSet<_> = payload.metadata.into_iter().map(|metric| metric.name).collect();
            let permitted = metrics.iter().filter(|(_, category)| !left_out.contains(&category.as_str()));
            let permitted: BTreeSet<_> = permitted.map(|(key_path, _)| key_path.clone()).collect();
            let differing: Vec<_> = told.symmetric_difference(&permitted).take(10).collect();
            assert!(differing.is_empty(), "{left_out:?}: {differing:?} …");
            // An optional metric of the corpus, but one of the fields that name the instance.
            assert_eq!(payload.document["installation_type"], "tally");
        }
    });
}

fn assert_covered(coverage: &Coverage, expected: usize) {
    let total: usize = coverage.sources.values().map(SourceCoverage::in_payload).sum();
    assert_eq!(total, expected);
    let computed = |source| coverage.sources.get(&source).map_or(0, |coverage| coverage.computed);
    let internal = &coverage.sources[&DataSource::InternalEvents];
    assert_eq!((internal.computed, internal.fallbacks.len()), (internal.in_payload(), 0));
    assert!(computed(DataSource::Database) >= 30, "{coverage}");
    assert!(computed(DataSource::System) >= 15, "{coverage}");
    for source in coverage.sources.values() {
        assert!(source.fallbacks.keys().all(|reason| !reason.is_failure()), "{coverage}");
    }
}

/// Takes the value at a dotted path away, and the branches that become empty. A value may be an object itself.
fn take(tree: &mut Map<String, Value>, key_path: &str) -> bool {
    let Some((head, rest)) = key_path.split_once('.') else { return tree.remove(key_path).is_some() };
    let Some(branch) = tree.get_mut(head).and_then(Value::as_object_mut) else { return false };
    let taken = take(branch, rest);
    if branch.is_empty() {
        tree.remove(head);
    }
    taken
}

/// The key paths that the files say, each with its data category, read without Tally's own loader.
fn active_metrics(folder: &Path) -> BTreeMap<String, String> {
    let mut metrics = BTreeMap::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            metrics.append(&mut active_metrics(&path));
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            let definition: Yaml = serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let is_in = matches!(definition["status"].as_str(), Some("active" | "broken"));
            let Some(key_path) = definition["key_path"].as_str().filter(|_| is_in) else { continue };
            let category = definition["data_category"].as_str().unwrap();
            let key_paths = suffixes(&definition["time_frame"]).map(|suffix| format!("{key_path}{suffix}"));
            metrics.extend(key_paths.map(|key_path| (key_path, category.to_owned())));
        }
    }
    metrics
}

/// What a file's `time_frame` adds to its key path: something for each of a list, nothing for a single one.
fn suffixes(time_frame: &Yaml) -> impl Iterator<Item = &'static str> {
    let suffixes = match time_frame.as_sequence() {
        None => vec![""],
        Some(frames) => frames
            .iter()
            .map(|frame| match frame.as_str() {
                Some("7d") => "_weekly",
                Some("28d") => "_monthly",
                _ => "",
            })
            .collect(),
    };
    suffixes.into_iter()
}
