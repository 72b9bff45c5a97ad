//! What a page costs, printed; at ten million events with
//!
//!     TALLY_EVENTS_TIMING=10000000 cargo test --release -p tally-query --test it timing -- --nocapture
//!
//! One author did everything over three years, and half of it in one project, the other half in a hundred others. Each
//! figure is a whole request: authentication, the statements and their HTTP, visibility, rendering.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::app::{NOW, TestApp, with_app};

/// Of the user; each kind of project listing has as many. Few, unless asked for, so that every run of the tests has time.
const USUAL_EVENTS: u64 = 100_000;

/// Milliseconds over which they are spread: nearly three years.
const PERIOD_MS: u64 = 94_000_000_000;

/// Requests a figure is the median of.
const REQUESTS: usize = 15;

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: busy}
  - {id: 2, username: member}
tokens:
  - {name: t, user: busy, scopes: [api], sha256: "<t1>"}
  - {name: t, user: member, scopes: [api], sha256: "<t2>"}
namespaces:
  - {id: 1, path: g, members: [{user: member, access_level: owner}]}
projects:
"#;

/// A project that has as many events as the user, and a hundred that have as many together.
const LARGE_PROJECT: u64 = 500;
const PROJECTS: u64 = 100;

fn directory() -> String {
    let project = |id: u64, namespace: &str| {
        format!("  - {{id: {id}, path: g/p{id}, {namespace}visibility: public}}\n")
    };
    let small = (1..=PROJECTS).map(|id| project(id, "namespace_id: 1, "));
    small.chain([project(LARGE_PROJECT, "")]).fold(DIRECTORY.to_owned(), |yaml, entry| yaml + &entry)
}

/// The user's events in a hundred projects; another's, as many, in the large project.
async fn insert_events(app: &TestApp, events: u64) {
    let interval_ms = PERIOD_MS / events;
    let columns = "id, action, target_type, target_id, target_iid, target_title, project_id, author_id, created_at, \
                   confidential, note, push_data";
    let rows = |project: &str, author: u64, first_id: u64| {
        format!(
            "SELECT number + {first_id}, ['pushed', 'commented', 'created', 'closed', 'merged'][number % 5 + 1], \
             ['', 'Note', 'Issue', 'Issue', 'MergeRequest'][number % 5 + 1], number, number % 1000, \
             concat('The title of number ', toString(number)), {project}, {author}, \
             toDateTime64('2026-11-18 10:00:00', 3, 'UTC') - toIntervalMillisecond(({events} - number) * {interval_ms}), 0, \
             if(number % 5 = 1, concat('{{\"id\":', toString(number), ',\"noteable_type\":\"Issue\",\"body\":\"', \
                hex(sipHash128(number)), hex(sipHash128(number, 1)), hex(sipHash128(number, 2)), '\"}}'), ''), \
             if(number % 5 = 0, concat('{{\"commit_count\":1,\"action\":\"pushed\",\"ref_type\":\"branch\",\"ref\":\"main\",\
                \"commit_to\":\"', lower(hex(sipHash128(number))), '\"}}'), '') \
             FROM numbers({events}) SETTINGS max_partitions_per_insert_block = 0"
        )
    };
    app.sql(&format!("INSERT INTO contributions ({columns}) {}", rows("cityHash64(number) % 100 + 1", 1, 1)))
        .await;
    let of_another = rows(&LARGE_PROJECT.to_string(), 2, events + 1);
    app.sql(&format!("INSERT INTO contributions ({columns}) {of_another}")).await;
    app.sql(
        "INSERT INTO project_contributions SELECT * FROM contributions SETTINGS max_partitions_per_insert_block = 0",
    )
    .await;
    app.sql(
        "INSERT INTO contribution_projects SELECT author_id, project_id, max(created_at) FROM contributions \
         GROUP BY author_id, project_id",
    )
    .await;
}

async fn measure(app: &TestApp, name: &str, path: &str, token: &str) {
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        let started = Instant::now();
        let answer = app.get(path, token).await;
        times.push(started.elapsed());
        assert_eq!(answer.json().as_array().unwrap().len(), 20, "{path}");
    }
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{name:<44} {:7.1} ms (fastest {:.1})",
        milliseconds(times[REQUESTS / 2]),
        milliseconds(times[0])
    );
}

/// The path of a page by cursor, so many milliseconds behind the first.
async fn at_depth(app: &TestApp, path: &str, token: &str, ms_behind: u64) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    let first = format!("{path}{separator}pagination=keyset");
    let now: Timestamp = NOW.parse().unwrap();
    let day = Timestamp::from_millisecond(now.as_millisecond() - ms_behind as i64).unwrap().to_string()[..10]
        .to_owned();
    // A day's listing begins there, and its cursors hold without the day.
    let before = format!("&before={day}");
    let answer = app.get(&format!("{first}{before}"), token).await;
    let link = answer.headers["link"].to_str().unwrap();
    let next =
        link.strip_prefix("<https://tally.example.com").unwrap().strip_suffix(">; rel=\"next\"").unwrap();
    next.replace(&format!("before={day}&"), "").replace(&before, "")
}

#[test]
fn a_page_costs_the_same_at_any_depth() {
    let asked = std::env::var("TALLY_EVENTS_TIMING").ok().and_then(|text| text.parse().ok());
    let events: u64 = asked.unwrap_or(USUAL_EVENTS);
    with_app("events_timing", move |app| async move {
        let app = app.with_directory(&directory());
        let started = Instant::now();
        insert_events(&app, events).await;
        println!("{events} events each in {:?}", started.elapsed());
        let listings = [
            ("user, own", "/api/v4/events".to_owned(), "t1"),
            ("user, read by another", "/api/v4/users/busy/events".to_owned(), "t2"),
            ("project", format!("/api/v4/projects/{LARGE_PROJECT}/events"), "t2"),
            ("scope=all over 100 projects", "/api/v4/events?scope=all".to_owned(), "t2"),
        ];
        for (name, path, token) in &listings {
            let separator = if path.contains('?') { '&' } else { '?' };
            measure(&app, &format!("{name}: first page, counted"), path, token).await;
            measure(&app, &format!("{name}: page 400"), &format!("{path}{separator}page=400"), token).await;
            measure(
                &app,
                &format!("{name}: first, keyset"),
                &format!("{path}{separator}pagination=keyset"),
                token,
            )
            .await;
            // At ten million events, 500,000 pages, these are the 10th, the 10,000th and the 400,000th.
            for depth in [events / 1_000_000, events / 1000, events / 25] {
                let path = at_depth(&app, path, token, depth * 20 * (PERIOD_MS / events)).await;
                measure(&app, &format!("{name}: keyset after {depth} pages"), &path, token).await;
            }
        }
    });
}
