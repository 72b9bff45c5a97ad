//! The additional properties of a generated event: values that meet a metric's filter, values that just miss it, and
//! what clients send without being asked.

use std::borrow::Cow;

use super::event::PropertyValue;
use super::words;
use crate::catalogue::{CatalogueEvent, Filter, Wanted};
use crate::random::Random;

/// Properties in the order in which they are sent; no name occurs twice.
pub type Properties<'a> = Vec<(Cow<'a, str>, PropertyValue)>;

/// How the properties of one event relate to a metric's filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// Every property has the filter's value.
    Hit,
    /// One property has the filter's value in another type.
    WrongType,
    /// One property has almost the filter's value.
    NearMiss,
    /// One property is left out.
    Incomplete,
}

/// Draws the properties of one occurrence of `event`.
pub fn draw<'a>(random: &mut Random, event: &'a CatalogueEvent) -> Option<Properties<'a>> {
    let mut properties = Properties::new();
    let mut left_out = None;
    if !event.filters.is_empty() && random.per_mille(850) {
        let filter = random.choose(&event.filters);
        left_out = aim_at(random, filter, &mut properties);
    }
    for name in &event.properties {
        let taken = properties.iter().any(|(known, _)| known == name) || left_out == Some(name.as_str());
        if !taken && random.per_mille(850) {
            properties.push((Cow::Borrowed(name), free_value(random, name)));
        }
    }
    add_undeclared(random, event, &mut properties);
    if properties.is_empty() && random.per_mille(700) { None } else { Some(properties) }
}

/// Draws the properties of an event that no definition knows.
pub fn draw_unknown(random: &mut Random) -> Option<Properties<'static>> {
    let label = (Cow::Borrowed("label"), free_text(random));
    if random.per_mille(800) { Some(vec![label]) } else { None }
}

/// Adds the filter's properties; returns the name of the one that must stay missing.
fn aim_at<'a>(random: &mut Random, filter: &'a Filter, properties: &mut Properties<'a>) -> Option<&'a str> {
    let aim = match random.below(100) {
        0..70 => Aim::Hit,
        70..80 => Aim::WrongType,
        80..92 => Aim::NearMiss,
        _ => Aim::Incomplete,
    };
    let odd_one = random.below(filter.len() as u64) as usize;
    let mut left_out = None;
    for (position, (name, value)) in filter.iter().enumerate() {
        let aim = if position == odd_one { aim } else { Aim::Hit };
        match aimed_value(random, aim, value) {
            Some(value) => properties.push((Cow::Borrowed(name), value)),
            None => left_out = Some(name.as_str()),
        }
    }
    left_out
}

fn aimed_value(random: &mut Random, aim: Aim, wanted: &Wanted) -> Option<PropertyValue> {
    match (aim, wanted) {
        (Aim::Incomplete, _) => None,
        (Aim::Hit, Wanted::Text(text)) => Some(PropertyValue::Text(text.clone().into())),
        (Aim::Hit, Wanted::Number(number)) => Some(number_hit(random, *number)),
        (Aim::WrongType, Wanted::Text(text)) => Some(other_type_of_text(random, text)),
        (Aim::WrongType, Wanted::Number(number)) => Some(PropertyValue::Text(number.to_string().into())),
        (Aim::NearMiss, Wanted::Text(text)) => Some(PropertyValue::Text(near_miss(random, text).into())),
        (Aim::NearMiss, Wanted::Number(number)) => Some(PropertyValue::Thousandths(thousandths(*number) + 1)),
    }
}

/// The number, written with or without a decimal point: 1 and 1.0 are equal.
fn number_hit(random: &mut Random, number: f64) -> PropertyValue {
    if number.fract() == 0.0 && random.per_mille(700) {
        PropertyValue::Integer(number as i64)
    } else {
        PropertyValue::Thousandths(thousandths(number))
    }
}

fn thousandths(number: f64) -> i64 {
    (number * 1_000.0).round() as i64
}

/// What a client sends that doesn't know the type: `true` for `"true"`, `3` for `"3"`, else some number.
fn other_type_of_text(random: &mut Random, text: &str) -> PropertyValue {
    match text {
        "true" => PropertyValue::Boolean(true),
        "false" => PropertyValue::Boolean(false),
        _ => {
            text.parse().map_or_else(|_| PropertyValue::Integer(random.between(0, 9)), PropertyValue::Integer)
        }
    }
}

/// A text that differs from `text` in one small thing.
fn near_miss(random: &mut Random, text: &str) -> String {
    match random.below(5) {
        0 => format!("{text} "),
        1 => format!(" {text}"),
        2 => format!("{text}_"),
        3 => text.chars().skip(1).collect(),
        _ if text.to_uppercase() == text => format!("{text}x"),
        _ => text.to_uppercase(),
    }
}

fn free_value(random: &mut Random, name: &str) -> PropertyValue {
    match name {
        "value" => free_number(random),
        "label" => free_text(random),
        "property" => free_property(random),
        _ => match random.below(10) {
            0..2 => PropertyValue::Integer(random.between(0, 500)),
            2 => PropertyValue::Thousandths(random.between(0, 100_000)),
            _ => free_text(random),
        },
    }
}

/// Mostly a number, as sums need it; now and then something else, which a sum must skip.
fn free_number(random: &mut Random) -> PropertyValue {
    match random.below(100) {
        0..45 => PropertyValue::Integer(random.skewed(1_000) as i64),
        45..50 => PropertyValue::Thousandths(random.between(0, 9) * 100),
        50..88 => PropertyValue::Thousandths(random.between(0, 60_000)),
        88..91 => PropertyValue::Thousandths(-random.between(1, 5_000)),
        91..93 => PropertyValue::Integer(random.between(1_000_000, 1_000_000_000)),
        93..97 => PropertyValue::Text(random.between(0, 99).to_string().into()),
        97..99 => PropertyValue::Text("12.5 minutes".into()),
        _ => PropertyValue::Null,
    }
}

fn free_text(random: &mut Random) -> PropertyValue {
    match random.below(100) {
        0..55 => PropertyValue::Text((*random.choose(&words::LABELS)).into()),
        55..83 => {
            let number = random.skewed(2_000);
            PropertyValue::Text(format!("{}_{number}", random.choose(&words::LABELS[..11])).into())
        }
        83..97 => PropertyValue::Text((*random.choose(&words::UNUSUAL_LABELS)).into()),
        97..99 => PropertyValue::Integer(random.between(-1, 20)),
        _ => PropertyValue::Null,
    }
}

fn free_property(random: &mut Random) -> PropertyValue {
    match random.below(10) {
        0..5 => free_text(random),
        _ => PropertyValue::Text(page_path(random).into()),
    }
}

fn page_path(random: &mut Random) -> String {
    let group = random.skewed(200);
    let project = random.skewed(50);
    format!("/group-{group}/subgroup/project-{project}/{}", random.choose(&words::PAGES))
}

/// What no definition of the event declares, and what makes up the usual size of an event.
fn add_undeclared(random: &mut Random, event: &CatalogueEvent, properties: &mut Properties<'_>) {
    let talkative = random.per_mille(560);
    for name in words::UNDECLARED {
        if talkative && random.per_mille(700) && !is_taken(event, properties, name) {
            properties.push((Cow::Borrowed(name), undeclared_value(random, name)));
        }
    }
    // The usual names, where the event doesn't declare them: they must be cut before anything counts them.
    for name in ["label", "property", "value"] {
        if random.per_mille(30) && !is_taken(event, properties, name) {
            properties.push((Cow::Borrowed(name), free_value(random, name)));
        }
    }
    if random.per_mille(10) {
        let nested = random.choose::<&str>(&words::NESTED);
        properties.push((Cow::Borrowed("context"), PropertyValue::Nested(nested)));
    }
}

/// Whether the event declares the property, or has got it because a filter asks for it undeclared.
fn is_taken(event: &CatalogueEvent, properties: &Properties<'_>, name: &str) -> bool {
    event.properties.iter().any(|declared| declared == name)
        || properties.iter().any(|(sent, _)| sent == name)
}

fn undeclared_value(random: &mut Random, name: &str) -> PropertyValue {
    match name {
        "user_agent" => PropertyValue::Text((*random.choose(&words::USER_AGENTS)).into()),
        "correlation_id" => PropertyValue::Text(format!("01K{:023X}", random.bits()).into()),
        "client_version" => PropertyValue::Thousandths(18_000 + random.between(0, 11) * 100),
        _ => PropertyValue::Text(format!("https://gitlab.example.com{}", page_path(random)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Wanted {
        Wanted::Text(value.to_owned())
    }

    fn filtered_event() -> CatalogueEvent {
        let filter = Filter::from([
            ("label".to_owned(), text("auto_devops")),
            ("value".to_owned(), Wanted::Number(1.0)),
        ]);
        CatalogueEvent {
            name: "ci_template_included".to_owned(),
            properties: vec!["label".to_owned(), "value".to_owned()],
            filters: vec![filter],
        }
    }

    fn drawn(event: &CatalogueEvent, count: u64) -> Vec<Properties<'_>> {
        (0..count).filter_map(|index| draw(&mut Random::new(5, 0, index), event)).collect()
    }

    fn meets_filter(properties: &Properties<'_>) -> bool {
        let value_of =
            |wanted: &str| properties.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        value_of("label") == Some(&PropertyValue::Text("auto_devops".into()))
            && matches!(
                value_of("value"),
                Some(PropertyValue::Integer(1) | PropertyValue::Thousandths(1_000))
            )
    }

    #[test]
    fn a_filter_is_met_by_more_than_half_of_the_events_and_missed_by_a_quarter() {
        let event = filtered_event();
        let hits = drawn(&event, 10_000).iter().filter(|properties| meets_filter(properties)).count();
        assert!((5_000..7_500).contains(&hits), "{hits} of 10,000");
    }

    #[test]
    fn a_filter_is_missed_by_type_by_a_little_and_by_absence() {
        let event = filtered_event();
        let drawn = drawn(&event, 10_000);
        let with = |name: &str, value: PropertyValue| {
            drawn
                .iter()
                .filter(|properties| properties.contains(&(Cow::Borrowed(name), value.clone())))
                .count()
        };
        assert!(with("value", PropertyValue::Text("1".into())) > 100);
        assert!(with("value", PropertyValue::Thousandths(1_001)) > 100);
        assert!(with("value", PropertyValue::Thousandths(1_000)) > 500);
        assert!(with("label", PropertyValue::Text("auto_devops ".into())) > 50);
        assert!(with("label", PropertyValue::Text("AUTO_DEVOPS".into())) > 50);
        let without_label =
            drawn.iter().filter(|properties| properties.iter().all(|(name, _)| name != "label"));
        assert!(without_label.count() > 200);
    }

    #[test]
    fn no_property_is_sent_twice() {
        let undeclared_filter = CatalogueEvent { properties: Vec::new(), ..filtered_event() };
        for properties in drawn(&filtered_event(), 5_000).into_iter().chain(drawn(&undeclared_filter, 5_000))
        {
            let mut names: Vec<&str> = properties.iter().map(|(name, _)| name.as_ref()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), properties.len(), "{properties:?}");
        }
    }

    #[test]
    fn a_text_of_a_number_or_boolean_becomes_that_number_or_boolean() {
        let mut random = Random::new(1, 1, 1);
        assert_eq!(other_type_of_text(&mut random, "false"), PropertyValue::Boolean(false));
        assert_eq!(other_type_of_text(&mut random, "42"), PropertyValue::Integer(42));
        assert!(matches!(other_type_of_text(&mut random, "auto"), PropertyValue::Integer(0..=9)));
    }

    #[test]
    fn a_near_miss_never_equals_its_target() {
        for index in 0..1_000 {
            for target in ["auto_devops", "A", "1", "日本"] {
                assert_ne!(near_miss(&mut Random::new(9, 9, index), target), target);
            }
        }
    }
}
