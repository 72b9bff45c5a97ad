//! Every granularity in time zones with all kinds of clock changes, against counting by a calendar of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde_json::json;

use crate::app::{ALICE, TestApp, with_app};

const LOAD: &str = "/api/v4/projects/42/product_analytics/request/load";
const TIME: &str = "TrackedEvents.derivedTstamp";

/// Clock changes by an hour, half an hour and two; at midnight, at 2:45 and during the day; zones without any, and ones beside
/// whole hours.
const ZONES: [&str; 16] = [
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "America/Havana",
    "Europe/Berlin",
    "Europe/London",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
];

const GRANULARITIES: [&str; 8] = ["second", "minute", "hour", "day", "week", "month", "quarter", "year"];

/// Milliseconds around an instant at which something ends or begins.
const AROUND: [i64; 9] = [-3_600_001, -1_800_000, -1_000, -1, 0, 1, 1_799_999, 1_800_000, 3_600_000];

/// Instants around every clock change of two years in every zone, and around every local midnight of the turns of months.
fn instants() -> BTreeSet<i64> {
    let [from, to]: [Timestamp; 2] =
        ["2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"].map(|at| at.parse().unwrap());
    let mut edges = BTreeSet::new();
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        let changes = zone.following(from).map(|change| change.timestamp()).take_while(|change| *change < to);
        edges.extend(changes.map(Timestamp::as_millisecond));
        for (year, month) in [(2024, 1), (2024, 3), (2024, 12), (2025, 1), (2025, 4), (2025, 7), (2025, 10)] {
            let midnight = DateTime::new(year, month, 1, 0, 0, 0, 0).unwrap();
            edges.insert(zone.to_timestamp(midnight).unwrap().as_millisecond());
        }
    }
    edges.iter().flat_map(|edge| AROUND.map(|offset| edge + offset)).collect()
}

/// The bucket's label, and what tells two of one label apart: the clock of an hour that comes twice.
fn bucket(instant: i64, zone: &TimeZone, granularity: &str) -> (String, i32) {
    let at = Timestamp::from_millisecond(instant).unwrap().to_zoned(zone.clone());
    let (date, time) = (at.date(), at.time());
    let midnight = |date: Date| (date.to_datetime(Time::midnight()), 0);
    let within = |seconds: i64| {
        let beyond = SignedDuration::from_nanos(i64::from(time.subsec_nanosecond()))
            + SignedDuration::from_secs((i64::from(time.minute()) * 60 + i64::from(time.second())) % seconds);
        (at.datetime().checked_sub(beyond).unwrap(), at.offset().seconds())
    };
    let (start, clock) = match granularity {
        "second" => within(1),
        "minute" => within(60),
        "hour" => within(3_600),
        "day" => midnight(date),
        "week" => {
            let days_in = Span::new().days(i64::from(date.weekday().to_monday_zero_offset()));
            midnight(date.checked_sub(days_in).unwrap())
        }
        "month" => midnight(date.first_of_month()),
        "quarter" => midnight(Date::new(date.year(), (date.month() - 1) / 3 * 3 + 1, 1).unwrap()),
        "year" => midnight(date.first_of_year()),
        other => panic!("{other} is no granularity"),
    };
    (start.strftime("%Y-%m-%dT%H:%M:%S.000").to_string(), clock)
}

async fn insert(app: &TestApp, instants: &BTreeSet<i64>) {
    let mut values = String::new();
    for at in instants {
        let _ = write!(values, "(42, fromUnixTimestamp64Milli({at}), 'page_view'),");
    }
    app.sql(&format!("INSERT INTO page_events (project_id, timestamp, event) VALUES {values}")).await;
}

#[test]
fn buckets_are_those_of_the_calendar_whatever_the_clocks_do() {
    with_app("granularities", |app| async move {
        let instants = instants();
        insert(&app, &instants).await;
        for name in ZONES {
            let zone = TimeZone::get(name).unwrap();
            for granularity in GRANULARITIES {
                let mut expected: BTreeMap<(String, i32), u64> = BTreeMap::new();
                for instant in &instants {
                    *expected.entry(bucket(*instant, &zone, granularity)).or_default() += 1;
                }
                let mut expected: Vec<(String, String)> =
                    expected.into_iter().map(|((label, _), count)| (label, count.to_string())).collect();
                let query = json!({
                    "measures": ["TrackedEvents.count"],
                    "timeDimensions": [{"dimension": TIME, "granularity": granularity}],
                    "timezone": name,
                    "limit": 50_000,
                });
                let answer = app.post(LOAD, ALICE, &json!({"query": query})).await.json();
                let rows = answer["results"][0]["data"].as_array().unwrap();
                let mut counted: Vec<(String, String)> = rows
                    .iter()
                    .map(|row| {
                        let text = |key: &str| row[key].as_str().unwrap().to_owned();
                        (text(&format!("{TIME}.{granularity}")), text("TrackedEvents.count"))
                    })
                    .collect();
                expected.sort();
                counted.sort();
                let differences: Vec<_> =
                    expected.iter().zip(&counted).filter(|(wanted, found)| wanted != found).take(3).collect();
                assert!(differences.is_empty(), "{name}, {granularity}: {differences:?}");
                assert_eq!(expected.len(), counted.len(), "{name}, {granularity}");
            }
        }
        println!("{} instants, {} zones, {} granularities", instants.len(), ZONES.len(), GRANULARITIES.len());
    });
}
