//! Loading definitions, and matching an event that feeds hundreds of counters told apart by label and property.
//! `TALLY_DEFINITIONS_CORPUS` names the folder with `config/events` and `config/metrics` to load; without it only
//! matching is measured, over generated definitions of the same shape as GitLab's `ci_template_included`.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tally_schemas::{Definitions, Matcher, PropertyValue};

const FILTERS: usize = 160;

/// One event with [`FILTERS`] counters besides its total, each with a filter on label and property.
fn wide_event() -> Definitions {
    let folder = tempfile::tempdir().expect("a folder for the definitions");
    let common = "description: d\nproduct_group: g\nmilestone: '1.0'\nintroduced_by_url: https://example.com/1\ntiers: []\n";
    let properties = "additional_properties: {label: {description: d}, property: {description: d}}";
    let event = format!("action: include_template\ninternal_events: true\n{common}{properties}\n");
    let mut metric = format!(
        "key_path: templates\n{common}status: active\ntime_frame: 28d\ndata_source: internal_events\n"
    );
    metric.push_str("data_category: optional\nvalue_type: number\nevents:\n");
    for index in 0..FILTERS {
        let (label, property) = (index / 2, index % 2 == 0);
        writeln!(metric, "- {{name: include_template, unique: project.id, filter: {{label: template_{label}, property: '{property}'}}}}")
            .expect("writing to a string");
    }
    fs::write(folder.path().join("event.yml"), event).expect("the folder is writable");
    fs::write(folder.path().join("metric.yml"), metric).expect("the folder is writable");
    Definitions::load(&[folder.path().to_string_lossy()]).expect("the definitions are sound")
}

fn matching(criterion: &mut Criterion) {
    let matcher = Matcher::new(&wide_event());
    let text = |text: &'static str| PropertyValue::String(Cow::Borrowed(text));
    let properties =
        [(Cow::Borrowed("label"), text("template_40")), (Cow::Borrowed("property"), text("false"))];
    let mut counters = Vec::new();
    criterion.bench_function("look up and match an event of 160 filters", |bencher| {
        bencher.iter(|| {
            counters.clear();
            let event = matcher.lookup(black_box("include_template")).expect("the event is known");
            event.matching(black_box(&properties), &mut counters);
            black_box(counters.len())
        });
    });
    assert_eq!(counters.len(), 2);
}

fn loading(criterion: &mut Criterion) {
    let Ok(root) = std::env::var("TALLY_DEFINITIONS_CORPUS") else { return };
    let paths = [format!("{root}/config/events"), format!("{root}/config/metrics")];
    let mut group = criterion.benchmark_group("corpus");
    group.sample_size(10);
    group.bench_function("load", |bencher| {
        bencher.iter(|| Definitions::load(black_box(&paths)).expect("the corpus is sound"));
    });
    let definitions = Definitions::load(&paths).expect("the corpus is sound");
    group.bench_function("compile", |bencher| bencher.iter(|| Matcher::new(black_box(&definitions))));
    group.finish();
}

criterion_group!(benches, matching, loading);
criterion_main!(benches);
