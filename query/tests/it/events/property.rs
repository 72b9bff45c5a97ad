//! Every listing of every reader over generated users, groups, projects, memberships and events is what the naive model
//! says: page by page, with totals, by number and by cursor.

use std::fmt::Write;

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::insert;
use super::model::{Endpoint, Event, Filter, Member, Project, Source, User, World};
use crate::app::{Answer, NOW, TestApp, with_app};

const USERS: usize = 5;
const NAMESPACES: usize = 3;
const PROJECTS: usize = 6;

/// A world is a few hundred requests. `TALLY_EVENTS_WORLDS` asks for more of them, `TALLY_EVENTS_SEED` for others.
const WORLDS: u32 = 6;

/// Before everything else so that the three years matter, too.
const DAYS: [&str; 6] = ["2023-11-17", "2023-11-19", "2026-05-01", "2026-11-16", "2026-11-17", "2026-11-18"];

fn users() -> impl Strategy<Value = Vec<User>> {
    let user = (any::<bool>(), any::<bool>()).prop_map(|(is_external, has_private_profile)| User {
        is_admin: false,
        is_external,
        has_private_profile,
    });
    vec(user, USERS).prop_map(|mut users| {
        users[0].is_admin = true;
        users
    })
}

fn project() -> impl Strategy<Value = Project> {
    let access = || prop_oneof![4 => Just("enabled"), 2 => Just("private"), 1 => Just("disabled")];
    let features = [access(), access(), access(), access(), access()];
    let visibility = select(vec!["public", "internal", "private", "private"]);
    (proptest::option::of(0..NAMESPACES), visibility, features)
        .prop_map(|(namespace, visibility, features)| Project { namespace, visibility, features })
}

fn member() -> impl Strategy<Value = Member> {
    let source =
        prop_oneof![(0..PROJECTS).prop_map(Source::Project), (0..NAMESPACES).prop_map(Source::Namespace)];
    let level = select(vec![10, 15, 20, 30, 40, 50]);
    (1..USERS, source, level, prop::bool::weighted(0.2))
        .prop_map(|(user, source, level, is_expired)| Member { user, source, level, is_expired })
}

fn event() -> impl Strategy<Value = Event> {
    let kinds = vec![
        ("pushed", "", ""),
        ("joined", "", ""),
        ("created", "", ""),
        ("created", "Issue", ""),
        ("closed", "WorkItem", ""),
        ("merged", "MergeRequest", ""),
        ("approved", "MergeRequest", ""),
        ("created", "Milestone", ""),
        ("created", "Snippet", ""),
        ("updated", "WikiPage::Meta", ""),
        ("destroyed", "DesignManagement::Design", ""),
        ("commented", "Note", "Issue"),
        ("commented", "DiscussionNote", "MergeRequest"),
        ("commented", "DiffNote", "Commit"),
        ("commented", "Note", "Snippet"),
    ];
    // A few instants, so that many events share theirs.
    let instant = (select(DAYS.to_vec()), select(vec!["00:00:00Z", "10:30:00Z", "23:59:59.999Z"]));
    let users = 0..=USERS as i64;
    (
        select(kinds),
        instant,
        // One project of these is unknown to the directory, 0 is none.
        (0..=PROJECTS as i64 + 1, 1..=USERS as i64, users.clone()),
        vec(users, 0..2),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
    )
        .prop_map(
            |(
                kind,
                (day, time),
                (project_id, author_id, target_author_id),
                assignee_ids,
                confidential,
                internal,
            )| {
                let (action, target_type, noteable_type) = kind;
                let instant: Timestamp = format!("{day}T{time}").parse().unwrap();
                Event {
                    id: 0,
                    created_at: instant.as_millisecond(),
                    action,
                    target_type,
                    noteable_type,
                    is_internal: internal && action == "commented",
                    is_confidential: confidential,
                    project_id,
                    author_id,
                    target_author_id,
                    assignee_ids,
                }
            },
        )
}

prop_compose! {
    fn world()(
        users in users(),
        parents in vec(proptest::option::of(0..NAMESPACES), NAMESPACES),
        projects in vec(project(), PROJECTS),
        members in vec(member(), 0..14),
        events in vec(event(), 20..90),
        shift in 0..90_u64,
    ) -> World {
        let namespaces = parents.iter().enumerate().map(|(at, parent)| parent.filter(|parent| *parent < at)).collect();
        let mut unique: Vec<Member> = Vec::new();
        for member in members {
            if !unique.iter().any(|known| (known.user, known.source) == (member.user, member.source)) {
                unique.push(member);
            }
        }
        // Ids don't follow time.
        let count = events.len() as u64;
        let events = events.into_iter().enumerate().map(|(at, event)| Event { id: (at as u64 + shift) % count + 1, ..event });
        World { users, namespaces, projects, members: unique, events: events.collect() }
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let day = || proptest::option::weighted(0.3, select(DAYS.to_vec()));
    let action = proptest::option::weighted(0.4, select(vec!["pushed", "commented", "created", "left"]));
    let target_type =
        proptest::option::weighted(0.4, select(vec!["issue", "note", "merge_request", "wiki", "project"]));
    (action, target_type, day(), day()).prop_map(|(action, target_type, before, after)| Filter {
        action,
        target_type,
        before,
        after,
    })
}

/// The world's users, groups and projects as the directory reads them.
fn directory(world: &World) -> String {
    let mut yaml = "users:\n".to_owned();
    for (at, user) in world.users.iter().enumerate() {
        let (id, admin, external, private) =
            (at + 1, user.is_admin, user.is_external, user.has_private_profile);
        writeln!(yaml, "  - {{id: {id}, username: u{id}, admin: {admin}, external: {external}, private_profile: {private}}}").unwrap();
    }
    yaml += "tokens:\n";
    for id in 1..=world.users.len() {
        writeln!(yaml, "  - {{name: t, user: u{id}, scopes: [read_api], sha256: \"<t{id}>\"}}").unwrap();
    }
    let members = |source: Source| {
        let of_source = world.members.iter().filter(|member| member.source == source);
        let entries = of_source.map(|member| {
            let level = match member.level {
                10 => "guest",
                15 => "planner",
                20 => "reporter",
                30 => "developer",
                40 => "maintainer",
                _ => "owner",
            };
            let expiry =
                if member.is_expired { ", expires_at: 2026-11-18" } else { ", expires_at: 2026-11-19" };
            format!("{{user: u{}, access_level: {level}{expiry}}}", member.user + 1)
        });
        entries.collect::<Vec<_>>().join(", ")
    };
    yaml += "namespaces:\n";
    for (at, parent) in world.namespaces.iter().enumerate() {
        let parent = parent.map(|parent| format!("parent_id: {}, ", parent + 1)).unwrap_or_default();
        let members = members(Source::Namespace(at));
        writeln!(yaml, "  - {{id: {}, path: n{at}, {parent}members: [{members}]}}", at + 1).unwrap();
    }
    yaml += "projects:\n";
    for (at, project) in world.projects.iter().enumerate() {
        let namespace = project.namespace.map(|id| format!("namespace_id: {}, ", id + 1)).unwrap_or_default();
        let [issues, repository, merge_requests, wiki, snippets] = project.features;
        let features = format!(
            "{{issues: {issues}, repository: {repository}, merge_requests: {merge_requests}, wiki: {wiki}, snippets: {snippets}}}"
        );
        let (visibility, members) = (project.visibility, members(Source::Project(at)));
        writeln!(yaml, "  - {{id: {}, path: g/p{at}, {namespace}visibility: {visibility}, features: {features}, members: [{members}]}}", at + 1).unwrap();
    }
    yaml
}

async fn write_events(app: &TestApp, world: &World) {
    for table in ["contributions", "project_contributions", "contribution_projects"] {
        app.sql(&format!("TRUNCATE TABLE {table}")).await;
    }
    let rows = world.events.iter().map(|event| {
        let note = match event.noteable_type {
            "" => String::new(),
            noteable => {
                format!("{{\"id\":1,\"noteable_type\":\"{noteable}\",\"internal\":{}}}", event.is_internal)
            }
        };
        format!(
            "({}, fromUnixTimestamp64Milli({}), '{}', '{}', '{note}', {}, {}, {}, {}, {:?})",
            event.id,
            event.created_at,
            event.action,
            event.target_type,
            event.is_confidential,
            event.project_id,
            event.author_id,
            event.target_author_id,
            event.assignee_ids
        )
    });
    let columns = "id, created_at, action, target_type, note, confidential, project_id, author_id, target_author_id, assignee_ids";
    insert(app, columns, &format!("VALUES {}", rows.collect::<Vec<_>>().join(", "))).await;
}

fn ids(answer: &Answer) -> Vec<u64> {
    answer.json().as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap()).collect()
}

/// Reads a listing to its end, by number and by cursor, and compares each page with the model's.
async fn compare(app: &TestApp, path: &str, token: &str, expected: &[(u64, bool)], per_page: usize) {
    let url = |more: &str| format!("{path}&per_page={per_page}{more}");
    let pages: Vec<Vec<u64>> = expected
        .chunks(per_page)
        .map(|page| page.iter().filter(|(_, is_visible)| *is_visible).map(|(id, _)| *id).collect())
        .collect();
    let count = pages.len().max(1);
    for number in 1..=count {
        let answer = app.get(&url(&format!("&page={number}")), token).await;
        let page = pages.get(number - 1).cloned().unwrap_or_default();
        assert_eq!(ids(&answer), page, "page {number} of {path} for {token}");
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        let next = if number < count { (number + 1).to_string() } else { String::new() };
        let told = [header("x-total"), header("x-total-pages"), header("x-next-page")];
        assert_eq!(
            told,
            [expected.len().to_string(), count.to_string(), next],
            "page {number} of {path} for {token}"
        );
    }
    let mut next = Some(url("&pagination=keyset"));
    let mut by_cursor = Vec::new();
    while let Some(path) = next {
        let answer = app.get(&path, token).await;
        by_cursor.push(ids(&answer));
        next = answer.headers.get("link").map(|link| {
            let url = link.to_str().unwrap().strip_prefix("<https://tally.example.com").unwrap();
            url.strip_suffix(">; rel=\"next\"").unwrap().to_owned()
        });
    }
    let pages = if pages.is_empty() { vec![Vec::new()] } else { pages };
    assert_eq!(by_cursor, pages, "{path} for {token} by cursor");
}

/// How many listings of the world were compared.
async fn compare_all(app: &TestApp, world: &World, filters: &[Filter], per_page: usize) -> usize {
    let app = app.with_directory(&directory(world));
    write_events(&app, world).await;
    let now: Timestamp = NOW.parse().unwrap();
    let users = (1..=USERS as i64).map(Endpoint::User);
    let projects = (1..=PROJECTS as i64 + 1).map(Endpoint::Project);
    let endpoints: Vec<Endpoint> =
        [Endpoint::Own, Endpoint::All].into_iter().chain(users).chain(projects).collect();
    let mut compared = 0;
    for reader in [None].into_iter().chain((1..=USERS as i64).map(Some)) {
        let token = reader.map(|id| format!("t{id}")).unwrap_or_default();
        for (at, endpoint) in endpoints.iter().enumerate() {
            let filter = &filters[(at + compared) % filters.len()];
            let is_ascending = compared % 3 == 0;
            let sort = if is_ascending { "asc" } else { "desc" };
            let path = match endpoint {
                Endpoint::Own | Endpoint::All if reader.is_none() => continue,
                Endpoint::Own => "events?".to_owned(),
                Endpoint::All => "events?scope=all&".to_owned(),
                Endpoint::User(id) if id % 2 == 0 => format!("users/u{id}/events?"),
                Endpoint::User(id) => format!("users/{id}/events?"),
                Endpoint::Project(id) => format!("projects/{id}/events?"),
            };
            let path = format!("/api/v4/{path}sort={sort}{}", filter.query());
            match world.listing(reader, *endpoint, filter, now) {
                None => {
                    let answer = app.get(&path, &token).await;
                    let body = serde_json::json!({"message": "404 Project Not Found"});
                    assert_eq!(
                        (answer.status.as_u16(), answer.any_json()),
                        (404, body),
                        "{path} for {token}"
                    );
                }
                Some(mut expected) => {
                    if !is_ascending {
                        expected.reverse();
                    }
                    compare(&app, &path, &token, &expected, per_page).await;
                }
            }
            compared += 1;
        }
    }
    compared
}

fn number_of(variable: &str) -> Option<u32> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_listing_is_what_the_naive_model_says() {
    with_app("events_property", |app| async move {
        for table in ["contributions", "project_contributions", "contribution_projects"] {
            app.sql(&format!("SYSTEM STOP TTL MERGES {table}")).await;
        }
        let seed = number_of("TALLY_EVENTS_SEED").unwrap_or(2026);
        let mut runner =
            TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed.into()), ..Config::default() });
        let worlds = (world(), vec(filter(), 3), 2..30_usize);
        let mut compared = 0;
        for number in 0..number_of("TALLY_EVENTS_WORLDS").unwrap_or(WORLDS) {
            let (world, mut filters, per_page) = worlds.new_tree(&mut runner).unwrap().current();
            filters.push(Filter::default());
            println!("world {number}: {} events, {per_page} a page", world.events.len());
            compared += compare_all(&app, &world, &filters, per_page).await;
        }
        println!("{compared} listings compared");
        assert!(compared > 0);
    });
}

/// The model itself: one private project, of which guests see issues and nothing of the code.
#[test]
fn the_model_tells_readers_apart() {
    let event = |id, action, target_type| Event {
        id,
        created_at: NOW.parse::<Timestamp>().unwrap().as_millisecond() - id as i64,
        action,
        target_type,
        noteable_type: "",
        is_internal: false,
        is_confidential: false,
        project_id: 1,
        author_id: 1,
        target_author_id: 0,
        assignee_ids: Vec::new(),
    };
    let user = || User { is_admin: false, is_external: false, has_private_profile: false };
    let world = World {
        users: vec![user(), user()],
        namespaces: Vec::new(),
        projects: vec![Project { namespace: None, visibility: "private", features: ["enabled"; 5] }],
        members: vec![Member { user: 0, source: Source::Project(0), level: 10, is_expired: false }],
        events: vec![event(1, "closed", "Issue"), event(2, "pushed", "")],
    };
    let listing =
        |reader, endpoint| world.listing(reader, endpoint, &Filter::default(), NOW.parse().unwrap());
    assert_eq!(listing(Some(1), Endpoint::Project(1)), Some(vec![(2, false), (1, true)]));
    assert_eq!(listing(Some(2), Endpoint::Project(1)), None);
    assert_eq!(listing(Some(2), Endpoint::User(1)), Some(Vec::new()));
}
