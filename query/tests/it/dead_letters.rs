//! Listings of dead letters over known rows: whose they are shows to their maintainers and to nobody else.

use serde_json::{Value, json};

use crate::app::{TestApp, with_app};

const LIST: &str = "/api/v4/tally/dead_letters";

/// Maintainers of 5 and of 6 (through its group), a guest and a developer of 5, and somebody who is a member of nothing.
const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: maintainer}
  - {id: 3, username: owner}
  - {id: 4, username: guest}
  - {id: 5, username: developer}
  - {id: 6, username: outsider}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: maintainer, user: maintainer, scopes: [read_api], sha256: "<glpat-maintainer>"}
  - {name: ai, user: maintainer, scopes: [ai_workflows], sha256: "<glpat-ai>"}
  - {name: owner, user: owner, scopes: [api], sha256: "<glpat-owner>"}
  - {name: guest, user: guest, scopes: [api], sha256: "<glpat-guest>"}
  - {name: developer, user: developer, scopes: [api], sha256: "<glpat-developer>"}
  - {name: outsider, user: outsider, scopes: [api], sha256: "<glpat-outsider>"}
namespaces:
  - {id: 9, path: acme, kind: group, members: [{user: owner, access_level: owner}]}
projects:
  - id: 5
    path: solo/web
    visibility: private
    members:
      - {user: maintainer, access_level: maintainer}
      - {user: guest, access_level: guest}
      - {user: developer, access_level: developer}
  - {id: 6, path: acme/shop, namespace_id: 9, visibility: private}
"#;

const COLUMNS: &str = "id, reason, detail, endpoint, topic, partition, offset, recorded_at, payload, project_id, key, user_id, \
                       content_type, whole_size";

fn id(number: u32) -> String {
    uuid::Uuid::from_u128(u128::from(number) << 64 | u128::from(1000 - number)).to_string()
}

/// Letters 1 to 4 of projects 5, 6, none, and of the directory; 5 is what became of replaying 1.
async fn known_letters(app: &TestApp) {
    let row = |number, reason: &str, place: &str, at: &str, rest: &str| {
        format!("('{}', '{reason}', 'why', {place}, '2026-11-{at}', {rest})", id(number))
    };
    let rows = [
        row(1, "rejected_by_store", "'', 'tally.events', 1, 7", "10", "unhex('00ff'), 5, 'k', 0, '', 0"),
        row(
            2,
            "invalid",
            "'/api/v4/usage_data/track_event', '', 0, 0",
            "11",
            "'{}', 6, '', 3, 'text/xml', 900",
        ),
        row(3, "undecodable", "'', 'tally.events', 0, 8", "12", "'garbage', 0, '', 0, '', 0"),
        row(4, "undecodable", "'', 'tally.directory', 0, 9", "13", "'a hash of a secret', 0, '', 0, '', 0"),
        row(5, "rejected_by_store", "'', 'tally.events', 1, 70", "14", "unhex('00ff'), 5, 'k', 0, '', 0"),
    ];
    app.sql(&format!("INSERT INTO dead_letters ({COLUMNS}) VALUES {}", rows.join(", "))).await;
    let steps = [("started", "[], []"), ("done", "[1], [70]")].map(|(state, places)| {
        format!(
            "('{}', 1, '{}', '2026-11-14', '{state}', 'ops', '', 'tally.events', {places})",
            id(1),
            id(900)
        )
    });
    app.sql(&format!(
        "INSERT INTO dead_letter_replays (letter_id, attempt, replay_id, at, state, by, detail, topic, partitions, offsets) \
         VALUES {}",
        steps.join(", ")
    ))
    .await;
}

/// The numbers of the letters that a listing shows.
async fn listed(app: &TestApp, token: &str, query: &str) -> Vec<u32> {
    let letters = app.get(&format!("{LIST}{query}"), token).await.json();
    letters.as_array().unwrap().iter().map(number).collect()
}

fn number(letter: &Value) -> u32 {
    let id: uuid::Uuid = letter["id"].as_str().unwrap().parse().unwrap();
    (id.as_u128() >> 64) as u32
}

#[test]
fn letters_show_to_the_maintainers_of_their_project_and_to_nobody_else() {
    with_app("letters_tenancy", |app| async move {
        let app = app.with_directory(DIRECTORY);
        known_letters(&app).await;
        for (token, all, of_5, of_6) in [
            ("glpat-root", vec![5, 4, 3, 2, 1], Ok(vec![5, 1]), Ok(vec![2])),
            ("glpat-maintainer", vec![5, 1], Ok(vec![5, 1]), Err(404)),
            ("glpat-owner", vec![2], Err(404), Ok(vec![2])),
            ("glpat-developer", vec![], Err(403), Err(404)),
            ("glpat-guest", vec![], Err(403), Err(404)),
            ("glpat-outsider", vec![], Err(404), Err(404)),
        ] {
            assert_eq!(listed(&app, token, "").await, all, "{token}");
            for (project, expected) in [(5, of_5), (6, of_6)] {
                let answer = app.get(&format!("{LIST}?project_id={project}"), token).await;
                let seen = match answer.status.as_u16() {
                    200 => Ok(answer.json().as_array().unwrap().iter().map(number).collect()),
                    status => Err(status),
                };
                assert_eq!(seen, expected, "{token}, project {project}");
            }
            for letter in 1..=5 {
                let status = app.get(&format!("{LIST}/{}", id(letter)), token).await.status;
                assert_eq!(status, if all.contains(&letter) { 200 } else { 404 }, "{token}, letter {letter}");
            }
            assert!(listed(&app, "glpat-root", "?project_id=0").await.is_empty(), "0 is no project");
        }
        assert_eq!(app.get(LIST, "glpat-ai").await.status, 403);
        assert_eq!(app.get(LIST, "").await.status, 401);
    });
}

#[test]
fn a_letter_is_shown_with_where_it_came_from_and_what_became_of_it() {
    with_app("letters_shown", |app| async move {
        let app = app.with_directory(DIRECTORY);
        known_letters(&app).await;
        let shown = async |number| app.get(&format!("{LIST}/{}", id(number)), "glpat-root").await.json();
        insta::assert_json_snapshot!([shown(1).await, shown(2).await, shown(5).await]);
        let payload = async |number| {
            let path = format!("{LIST}/{}?payload=true", id(number));
            app.get(&path, "glpat-root").await.json()["payload"].clone()
        };
        assert_eq!([payload(1).await, payload(3).await], [json!("AP8="), json!("Z2FyYmFnZQ==")]);
        assert_eq!(payload(4).await, "", "of the directory, not even to administrators");
        for path in ["x", "00000000-0000-0000-0000-000000000000", "%ff"] {
            assert_eq!(app.get(&format!("{LIST}/{path}"), "glpat-root").await.status, 404, "{path}");
        }
    });
}

#[test]
fn letters_are_filtered() {
    with_app("letters_filters", |app| async move {
        let app = app.with_directory(DIRECTORY);
        known_letters(&app).await;
        for (query, numbers) in [
            ("?reason=undecodable", vec![4, 3]),
            ("?reason=expired", vec![]),
            ("?since=2026-11-12T00:00:00Z", vec![5, 4, 3]),
            ("?until=2026-11-12T00:00:00Z", vec![2, 1]),
            ("?since=2026-11-11T00:00:00Z&until=2026-11-11T00:00:00.001Z", vec![2]),
            ("?reason=rejected_by_store&project_id=5", vec![5, 1]),
        ] {
            assert_eq!(listed(&app, "glpat-root", query).await, numbers, "{query}");
        }
        assert_eq!(app.get(&format!("{LIST}?reason=other"), "glpat-root").await.status, 400);
    });
}

#[test]
fn pages_follow_each_other_by_cursor_and_lose_none_of_one_instant() {
    with_app("letters_pages", |app| async move {
        let app = app.with_directory(DIRECTORY);
        app.sql(
            "INSERT INTO dead_letters (id, reason, recorded_at, project_id) \
             SELECT generateUUIDv4(), 'invalid', toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + intDiv(number, 20), 5 \
             FROM numbers(45)",
        )
        .await;
        let mut path = format!("{LIST}?per_page=7");
        let mut seen = Vec::new();
        let mut times = Vec::new();
        loop {
            let answer = app.get(&path, "glpat-maintainer").await;
            for letter in answer.json().as_array().unwrap() {
                seen.push(letter["id"].as_str().unwrap().to_owned());
                times.push(letter["recorded_at"].as_str().unwrap().to_owned());
            }
            let Some(link) = answer.headers.get("link") else { break };
            let link = link.to_str().unwrap().strip_prefix("<https://tally.example.com").unwrap();
            path = link.split_once('>').unwrap().0.to_owned();
        }
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
        assert_eq!(seen.len(), 45);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 45);
        // Somebody else's cursor grants nothing.
        let theirs = path.replace(LIST, "").replace("/api/v4/tally/dead_letters", "");
        assert!(listed(&app, "glpat-owner", &theirs).await.is_empty());
    });
}
