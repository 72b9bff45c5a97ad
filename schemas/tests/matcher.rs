//! The matcher against the contract's table, and against a plain reading of every rule one after another.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;

use proptest::prelude::*;
use tally_schemas::hash::property_hash;
use tally_schemas::{
    Counter, CounterId, CounterKind, Definitions, Effect, FilterValue, Identifier, Increment, Matcher,
    Number, PropertyValue, TrackedEvent, identifier_hash,
};
use uuid::Uuid;

type Properties = Vec<(Cow<'static, str>, PropertyValue<'static>)>;

fn text(text: &'static str) -> PropertyValue<'static> {
    PropertyValue::String(Cow::Borrowed(text))
}

fn properties<const N: usize>(list: [(&'static str, PropertyValue<'static>); N]) -> Properties {
    list.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect()
}

fn event(additional_properties: Properties) -> TrackedEvent<'static> {
    TrackedEvent {
        event_id: Uuid::nil(),
        name: Cow::Borrowed("view"),
        timestamp: 0,
        received_at: 0,
        user_id: Some(7),
        project_id: None,
        namespace_id: Some(9),
        additional_properties,
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    }
}

/// The event `view`, declaring label, property, value and custom, and one metric of each of `rules`.
fn definitions(rules: &[&str]) -> Definitions {
    let folder = tempfile::tempdir().expect("a folder");
    let common = "description: d\nproduct_group: g\nmilestone: '1.0'\nintroduced_by_url: https://example.com/1\ntiers: []\n";
    let declared =
        ["label", "property", "value", "custom"].map(|name| format!("{name}: {{description: d}}")).join(", ");
    for (action, fields) in [
        ("view", format!("internal_events: true\nadditional_properties: {{{declared}}}")),
        ("other", "internal_events: true".to_owned()),
        ("legacy", String::new()),
    ] {
        fs::write(
            folder.path().join(format!("{action}.yml")),
            format!("action: {action}\n{common}{fields}\n"),
        )
        .expect("the folder is writable");
    }
    for (index, rule) in rules.iter().enumerate() {
        let (status, rule) = rule
            .strip_prefix("removed ")
            .map_or(("active", *rule), |rule| ("removed\nremoved_by_url:\nmilestone_removed: '2.0'", rule));
        let mut yaml = format!(
            "key_path: m{index}\n{common}status: {status}\ntime_frame: 28d\ndata_source: internal_events\n"
        );
        write!(yaml, "data_category: optional\nvalue_type: number\nevents: [{rule}]\n")
            .expect("writing to a string");
        fs::write(folder.path().join(format!("{index}.yml")), yaml).expect("the folder is writable");
    }
    Definitions::load(&[folder.path().to_string_lossy()]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn matching(matcher: &Matcher, properties: &Properties) -> Vec<String> {
    let mut ids = Vec::new();
    matcher.lookup("view").expect("view is known").matching(properties, &mut ids);
    let mut texts: Vec<_> = ids.iter().map(|id| matcher.counters()[id.0 as usize].to_string()).collect();
    assert_eq!(texts[0], "view", "the plain total comes first");
    texts.remove(0);
    texts.sort();
    texts
}

#[test]
fn filters_are_strict_and_tell_types_apart() {
    let matcher = Matcher::new(&definitions(&[
        "{name: view, filter: {label: '1'}}",
        "{name: view, filter: {value: 1}}",
        "{name: view, filter: {custom: 0.5}}",
        "{name: view, filter: {label: a, property: b}}",
        "{name: view, filter: {label: a, value: 2}}",
    ]));
    let json = |text: &'static str| PropertyValue::Json(Cow::Borrowed(text));
    let table: [(Properties, &[&str]); 16] = [
        (properties([]), &[]),
        (properties([("label", text("1"))]), &["view{label=\"1\"}"]),
        (properties([("label", PropertyValue::Long(1))]), &[]),
        (properties([("label", text("1 "))]), &[]),
        (properties([("value", PropertyValue::Long(1))]), &["view{value=1}"]),
        (properties([("value", PropertyValue::Double(1.0))]), &["view{value=1}"]),
        (properties([("value", text("1"))]), &[]),
        (properties([("value", PropertyValue::Boolean(true))]), &[]),
        (properties([("value", json("1"))]), &[]),
        (properties([("value", PropertyValue::Null)]), &[]),
        (properties([("value", PropertyValue::Double(f64::NAN))]), &[]),
        (properties([("custom", PropertyValue::Double(0.5))]), &["view{custom=0.5}"]),
        (properties([("label", text("a"))]), &[]),
        (properties([("property", text("b")), ("label", text("a"))]), &["view{label=\"a\",property=\"b\"}"]),
        (
            properties([("label", text("a")), ("value", PropertyValue::Long(2)), ("property", text("b"))]),
            &["view{label=\"a\",property=\"b\"}", "view{label=\"a\",value=2}"],
        ),
        (properties([("label", text("b")), ("property", text("a"))]), &[]),
    ];
    for (properties, expected) in table {
        assert_eq!(matching(&matcher, &properties), expected, "{properties:?}");
    }
}

#[test]
fn only_what_is_counted_is_compiled_and_every_counter_once() {
    let matcher = Matcher::new(&definitions(&[
        "{name: view}",
        "{name: view, filter: {label: a}}",
        "{name: view, filter: {label: a}}",
        "{name: view, filter: {value: 1}}",
        "{name: view, filter: {value: 1.0}}",
        "{name: view, unique: user.id}",
        "{name: other, unique: user.id}",
        "{name: unknown}",
        "{name: legacy}",
        "removed {name: view, unique: project.id}",
        "{name: view, filter: {undeclared: a}}",
        "{name: view, unique: undeclared}",
        "{name: other, operator: sum(value)}",
    ]));
    let mut texts: Vec<_> = matcher.counters().iter().map(ToString::to_string).collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            "other",
            "other.unique(user.id)",
            "view",
            "view.unique(user.id)",
            "view{label=\"a\"}",
            "view{value=1}",
        ]
    );
    assert!(matcher.lookup("legacy").is_none() && matcher.lookup("unknown").is_none());
    let view = matcher.lookup("view").expect("view is known");
    assert_eq!(matcher.counters()[view.total().0 as usize].to_string(), "view");
    assert_eq!(view.counters().len(), 4);
}

#[test]
fn undeclared_properties_are_named() {
    let matcher = Matcher::new(&definitions(&[]));
    let view = matcher.lookup("view").expect("view is known");
    let sent = properties([("label", text("a")), ("extra", text("b")), ("Label", PropertyValue::Null)]);
    assert_eq!(view.undeclared(&sent).collect::<Vec<_>>(), ["extra", "Label"]);
    assert!(view.declares("custom") && !view.declares("extra"));
}

#[test]
fn a_missing_identifier_or_value_skips_that_rule_only() {
    let matcher = Matcher::new(&definitions(&[
        "{name: view, unique: user.id}",
        "{name: view, unique: project.id}",
        "{name: view, unique: namespace.id}",
        "{name: view, unique: label}",
        "{name: view, unique: label, operator: total}",
        "{name: view, unique: user.id, operator: total}",
        "{name: view, operator: sum(value)}",
    ]));
    let effects = |event: &TrackedEvent<'static>| -> Vec<(String, Option<Effect<'static>>)> {
        let mut ids: Vec<CounterId> = Vec::new();
        matcher.lookup("view").expect("view is known").matching(&event.additional_properties, &mut ids);
        let effect = |id| match matcher.effect(id, event) {
            Some(Effect::UniqueTotal(value)) => Some(Effect::UniqueTotal(Cow::Owned(value.into_owned()))),
            Some(Effect::Count) => Some(Effect::Count),
            Some(Effect::Sum(nanos)) => Some(Effect::Sum(nanos)),
            Some(Effect::Unique(hash)) => Some(Effect::Unique(hash)),
            None => None,
        };
        let mut effects: Vec<_> =
            ids.into_iter().map(|id| (matcher.counters()[id.0 as usize].to_string(), effect(id))).collect();
        effects.sort_by(|(a, _), (b, _)| a.cmp(b));
        effects
    };
    let expected = |label: Option<u64>, total: Option<&'static str>, sum: Option<i128>| {
        [
            ("view", Some(Effect::Count)),
            ("view.sum(value)", sum.map(Effect::Sum)),
            ("view.totals(label)", total.map(|total| Effect::UniqueTotal(Cow::Borrowed(total)))),
            ("view.totals(user.id)", Some(Effect::UniqueTotal(Cow::Borrowed("7")))),
            ("view.unique(label)", label.map(Effect::Unique)),
            ("view.unique(namespace.id)", Some(Effect::Unique(identifier_hash(9)))),
            ("view.unique(project.id)", None),
            ("view.unique(user.id)", Some(Effect::Unique(identifier_hash(7)))),
        ]
        .map(|(counter, effect)| (counter.to_owned(), effect))
    };
    assert_eq!(effects(&event(properties([]))), expected(None, None, None));
    let sent = properties([("label", text("a")), ("value", PropertyValue::Double(0.1))]);
    let hash = property_hash(&text("a"));
    assert_eq!(effects(&event(sent)), expected(hash, Some("a"), Some(100_000_000)));
    let sent = properties([("label", PropertyValue::Null), ("value", text("one"))]);
    assert_eq!(effects(&event(sent)), expected(None, None, None));
    let sent = properties([("label", PropertyValue::Double(1.0)), ("value", PropertyValue::Long(-2))]);
    let hash = property_hash(&PropertyValue::Double(1.0));
    assert_eq!(effects(&event(sent)), expected(hash, Some("1.0"), Some(-2_000_000_000)));
}

/// What the contract says of a filter, without any index.
fn plainly_matches(counter: &Counter, properties: &Properties) -> bool {
    counter.filter.iter().all(|(key, expected)| {
        let found = properties.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        match (expected, found) {
            (FilterValue::String(expected), Some(PropertyValue::String(found))) => expected == found,
            (FilterValue::Number(expected), Some(PropertyValue::Long(found))) => {
                *expected == Number::from(*found)
            }
            (FilterValue::Number(expected), Some(PropertyValue::Double(found))) => {
                Some(*expected) == Number::from_double(*found)
            }
            _ => false,
        }
    })
}

fn sent() -> impl Strategy<Value = Properties> {
    let value = prop_oneof![
        prop::sample::select(vec!["", "1", "2", "a", "b"]).prop_map(text),
        (0..3_i64).prop_map(PropertyValue::Long),
        prop::sample::select(vec![0.0, 0.5, 1.0, 2.0]).prop_map(PropertyValue::Double),
        any::<bool>().prop_map(PropertyValue::Boolean),
        Just(PropertyValue::Null),
    ];
    let names = vec!["label", "property", "value", "custom", "undeclared"];
    prop::collection::btree_map(prop::sample::select(names), value, 0..6)
        .prop_map(|map| {
            map.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect::<Properties>()
        })
        .prop_shuffle()
}

#[test]
fn the_index_finds_what_reading_every_rule_finds() {
    let mut rules = Vec::new();
    for label in ["'1'", "a", "b", "''"] {
        for property in ["'1'", "a", "b"] {
            rules.push(format!("{{name: view, filter: {{label: {label}, property: {property}}}}}"));
            rules.push(format!(
                "{{name: view, unique: user.id, filter: {{label: {label}, property: {property}}}}}"
            ));
        }
        for number in ["0", "0.5", "1", "'1'"] {
            rules.push(format!("{{name: view, filter: {{label: {label}, custom: {number}}}}}"));
            rules.push(format!("{{name: view, filter: {{label: {label}, custom: {number}, value: 2}}}}"));
        }
        rules.push(format!("{{name: view, filter: {{property: {label}}}}}"));
    }
    let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
    let matcher = Matcher::new(&definitions(&rules));
    let view = matcher.lookup("view").expect("view is known");
    assert_eq!(view.counters().len(), rules.len() + 1);
    let of_view: Vec<&Counter> =
        view.counters().iter().map(|id| &matcher.counters()[id.0 as usize]).collect();
    assert!(of_view.iter().any(|counter| counter.kind == CounterKind::Unique(Identifier::User)));
    proptest!(ProptestConfig::with_cases(2000), |(sent in sent())| {
        let mut expected: Vec<String> = of_view
            .iter()
            .filter(|counter| plainly_matches(counter, &sent))
            .map(ToString::to_string)
            .filter(|text| text != "view")
            .collect();
        expected.sort();
        prop_assert_eq!(matching(&matcher, &sent), expected);
    });
}
