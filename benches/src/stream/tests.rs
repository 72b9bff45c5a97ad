//! What a stream promises: reproducible, complete, of the usual size, valid JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::catalogue::{CatalogueEvent, Filter, Wanted};

/// Some 500 events as in the real definitions: plain ones, ones with the usual properties, ones with filters.
fn catalogue() -> Catalogue {
    Catalogue::new((0..500).map(|number| {
        let properties: &[&str] = match number % 4 {
            0 | 1 => &[],
            2 => &["label"],
            _ => &["label", "property", "value"],
        };
        let filters = if number % 4 == 3 { vec![filter(number)] } else { Vec::new() };
        CatalogueEvent {
            name: format!("perform_realistic_action_number_{number}"),
            properties: properties.iter().map(|name| (*name).to_owned()).collect(),
            filters,
        }
    }))
}

fn filter(number: u32) -> Filter {
    Filter::from([("label".to_owned(), Wanted::Text(format!("filter_{number}")))])
}

fn options(events: u64) -> StreamOptions {
    StreamOptions {
        seed: 42,
        events,
        from: "2026-10-10T00:00:00Z".parse().unwrap(),
        to: "2026-11-21T00:00:00Z".parse().unwrap(),
        users: 2_000,
        projects: 500,
        namespaces: 100,
        duplicates: 0.0,
    }
}

fn stream(events: u64) -> Stream {
    Stream::new(catalogue(), options(events))
}

fn lines(stream: &Stream) -> Vec<String> {
    let line = |event: TrackEvent<'_>| {
        let mut out = Vec::new();
        event.write_json(&mut out);
        String::from_utf8(out).unwrap()
    };
    stream.iter().map(line).collect()
}

fn parsed(stream: &Stream) -> Vec<Value> {
    lines(stream).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let other = Stream::new(catalogue(), StreamOptions { seed: 43, ..options(1_000) });
    assert_eq!(lines(&stream(1_000)), lines(&stream(1_000)));
    assert_ne!(lines(&stream(1_000)), lines(&other));
}

#[test]
fn batches_made_in_any_order_hold_the_stream_in_order() {
    let stream = stream(1_234);
    let mut bodies: Vec<(u64, Vec<u8>)> =
        (0..stream.batches()).rev().map(|batch| (batch, stream.body(batch))).collect();
    bodies.sort();
    let mut sent = Vec::new();
    for (batch, body) in bodies {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let events = body["events"].as_array().unwrap().clone();
        assert_eq!(events.len() as u64, stream.batch_len(batch));
        sent.extend(events);
    }
    assert_eq!(sent, parsed(&stream));
}

#[test]
fn a_batch_past_the_end_is_empty() {
    let stream = stream(60);
    assert_eq!((stream.batches(), stream.batch_len(1), stream.batch_len(2)), (2, 10, 0));
    assert_eq!(stream.body(2), b"{\"events\":[]}");
}

#[test]
fn every_event_occurs_and_a_few_are_unknown() {
    let stream = stream(5_000);
    let names: BTreeSet<String> = stream.iter().map(|event| event.name.into_owned()).collect();
    for event in catalogue().events() {
        assert!(names.contains(&event.name), "{} never occurs", event.name);
    }
    let unknown = stream.iter().filter(|event| words::UNKNOWN_EVENTS.contains(&event.name.as_ref()));
    assert!((5..60).contains(&unknown.count()));
}

#[test]
fn an_event_is_about_400_bytes_of_json() {
    let lines = lines(&stream(20_000));
    let average = lines.iter().map(String::len).sum::<usize>() / lines.len();
    assert!((380..420).contains(&average), "{average} bytes");
}

#[test]
fn a_line_is_one_json_object_that_says_what_the_event_says() {
    let stream = stream(3_000);
    for (line, event) in lines(&stream).iter().zip(stream.iter()) {
        assert!(!line.contains('\n'));
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(value["event"], event.name.as_ref());
        assert_eq!(value["event_id"], event.event_id.to_string());
        let moment: Timestamp = value["timestamp"].as_str().unwrap().parse().unwrap();
        assert_eq!(moment.as_millisecond(), event.moment.microseconds.div_euclid(1_000));
        let properties = event.additional_properties.as_ref().map(Vec::len);
        assert_eq!(
            value.get("additional_properties").map(|sent| sent.as_object().unwrap().len()),
            properties
        );
    }
}

#[test]
fn event_ids_are_distinct_version_4_uuids() {
    let ids: BTreeSet<Uuid> = stream(10_000).iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 10_000);
    assert!(ids.iter().all(|id| id.get_version_num() == 4));
}

#[test]
fn references_are_mostly_present_and_sometimes_missing() {
    let events = parsed(&stream(20_000));
    for (parameter, missing) in
        [("user_id", 250..600), ("project_id", 1_600..2_400), ("namespace_id", 4_500..5_500)]
    {
        let absent = events.iter().filter(|event| event.get(parameter).is_none()).count();
        assert!(missing.contains(&absent), "{parameter} is missing {absent} times");
    }
    let of_kind = |kind: fn(&Value) -> bool| events.iter().filter(|event| kind(&event["project_id"])).count();
    assert!(of_kind(Value::is_string) > 20);
    assert!(of_kind(Value::is_f64) > 10);
    assert!(of_kind(|id| id.as_i64().is_some_and(|id| id <= 0)) > 50);
}

#[test]
fn filters_are_hit_by_half_of_the_events_that_have_one() {
    let (mut filtered, mut hits) = (0, 0);
    for event in parsed(&stream(20_000)) {
        let name = event["event"].as_str().unwrap();
        let Some(number) = name.strip_prefix("perform_realistic_action_number_") else { continue };
        let number: u32 = number.parse().unwrap();
        if number % 4 == 3 {
            filtered += 1;
            hits += u32::from(event["additional_properties"]["label"] == format!("filter_{number}"));
        }
    }
    assert!(hits * 100 > filtered * 50 && hits * 100 < filtered * 70, "{hits} of {filtered}");
}

#[test]
fn duplicates_repeat_an_earlier_event_to_the_byte() {
    let stream = Stream::new(catalogue(), StreamOptions { duplicates: 0.1, ..options(10_000) });
    let mut first_deliveries = BTreeMap::new();
    let mut repeated = 0;
    for (event, line) in stream.iter().zip(lines(&stream)) {
        match first_deliveries.get(&event.event_id) {
            Some(first) => {
                assert_eq!(*first, line);
                repeated += 1;
            }
            None => drop(first_deliveries.insert(event.event_id, line)),
        }
    }
    assert!((800..1_200).contains(&repeated), "{repeated}");
}

#[test]
fn without_definitions_every_event_is_unknown() {
    let stream = Stream::new(Catalogue::new([]), options(100));
    assert!(stream.iter().all(|event| words::UNKNOWN_EVENTS.contains(&event.name.as_ref())));
}
