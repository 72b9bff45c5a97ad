//! Other people's clients against a running Tally: python-gitlab and @gitbeaker/rest list events, a browser's document runs the
//! dictionary's script.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::outside::{node_modules, python, require, root};
use tally_tests::process::get_json;
use tally_tests::wait;

/// What DESIGN promises from the answer to a POST until the event is listed.
const LISTED_WITHIN: Duration = Duration::from_secs(1);

/// Eleven events of alice's in project 5, of several kinds, and two in project 6.
fn contributions() -> Value {
    let issue = |number: u64, action: &str| {
        json!({"action": action, "target_type": "Issue", "target_id": 100 + number, "target_iid": number,
               "target_title": format!("Issue {number}"), "project_id": 5})
    };
    let push = json!({"action": "pushed", "project_id": 5, "push_data": {"commit_count": 2, "action": "pushed",
        "ref_type": "branch", "commit_from": "a".repeat(40), "commit_to": "b".repeat(40), "ref": "main",
        "commit_title": "Make it so"}});
    let note = json!({"action": "commented", "target_type": "Note", "target_id": 900, "project_id": 5, "note": {"id": 900,
        "body": "Yes.", "noteable_id": 101, "noteable_iid": 1, "noteable_type": "Issue"}});
    let wiki = json!({"action": "created", "target_type": "WikiPage::Meta", "target_id": 3, "project_id": 5,
        "wiki_page": {"format": "markdown", "slug": "home", "title": "Home", "wiki_page_meta_id": 3}});
    let joined = json!({"action": "joined", "project_id": 5});
    let elsewhere = |action: &str| json!({"action": action, "project_id": 6});
    json!([
        joined,
        issue(1, "created"),
        issue(2, "created"),
        note,
        push,
        wiki,
        issue(1, "closed"),
        issue(3, "created"),
        issue(3, "closed"),
        issue(3, "reopened"),
        elsewhere("joined"),
        elsewhere("created"),
        issue(4, "created")
    ])
}

/// A client's script and what it printed.
fn seen_by(command: &mut Command, script: &str, instance: &Instance) -> Result<Value> {
    let output = command
        .arg(root().join("tests/clients").join(script))
        .args([&instance.tally.url(), &instance.token, "2", "5", "acme/web"])
        .output()?;
    ensure!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The ids at these places of what was posted, newest first.
fn at(ids: &[u64], places: &[usize]) -> Value {
    let mut chosen: Vec<u64> = places.iter().map(|place| ids[*place]).collect();
    chosen.sort_unstable_by(|a, b| b.cmp(a));
    json!(chosen)
}

#[tokio::test(flavor = "multi_thread")]
async fn gitlab_clients_list_the_events_that_were_posted() -> Result<()> {
    let Some(python) = require("python-gitlab", python()) else { return Ok(()) };
    let Some(modules) = require("@gitbeaker/rest", node_modules("@gitbeaker/rest")) else { return Ok(()) };
    let instance = Instance::start().await?;
    let posted = Instant::now();
    let ids = instance.post(&instance.token, &contributions()).await?;
    let waited = instance.listed(&instance.token, ids[ids.len() - 1]).await?;
    println!("listed {waited:?} after the answer, {:?} after the request", posted.elapsed());
    ensure!(waited < LISTED_WITHIN, "listed only after {waited:?}");
    let bobs = instance
        .post(&instance.admin, &json!([{"action": "created", "project_id": 6, "author_id": 3}]))
        .await?;
    wait::until("bob's event", Duration::from_secs(20), || async {
        let events =
            get_json(&format!("{}/api/v4/projects/6/events", instance.tally.url()), &instance.token).await?;
        Ok((events[0]["id"] == bobs[0]).then_some(()))
    })
    .await?;

    let everything: Vec<usize> = (0..ids.len()).collect();
    let in_web: Vec<usize> = everything.iter().copied().filter(|place| ![10, 11].contains(place)).collect();
    let mut all = at(&ids, &everything);
    all.as_array_mut().context("a list")?.insert(0, json!(bobs[0]));

    let seen = seen_by(&mut Command::new(python), "events_python_gitlab.py", &instance)?;
    for listing in ["own", "own_get_all", "user"] {
        ensure!(seen[listing] == at(&ids, &everything), "python-gitlab, {listing}: {seen}");
    }
    for listing in ["project", "project_by_path", "project_keyset", "anonymous_user"] {
        ensure!(seen[listing] == at(&ids, &in_web), "python-gitlab, {listing}: {seen}");
    }
    ensure!(seen["all"] == all, "python-gitlab, scope=all: {seen}");
    ensure!(seen["pushed"] == at(&ids, &[4]), "{seen}");
    ensure!(seen["issues"] == json!([1, 2, 6, 7, 8, 9, 12].map(|place: usize| ids[place])), "{seen}");
    ensure!(seen["project_total"] == 11 && seen["project_pages"] == 4, "{seen}");
    ensure!(
        seen["first"]["target_title"] == "Issue 4" && seen["first"]["author"]["username"] == "alice",
        "{seen}"
    );
    ensure!(
        seen["errors"]
            == json!({
                "no_token": {"status": 401, "message": "401 Unauthorized"},
                "unknown_project": {"status": 404, "message": "404 Project Not Found"},
                "bad_action": {"status": 400, "message": "action does not have a valid value"},
            }),
        "{}",
        seen["errors"]
    );

    let seen =
        seen_by(Command::new("node").env("TALLY_NODE_MODULES", modules), "events_gitbeaker.mjs", &instance)?;
    for listing in ["own", "user", "user_activities"] {
        ensure!(seen[listing] == at(&ids, &everything), "gitbeaker, {listing}: {seen}");
    }
    for listing in ["project", "project_by_path", "project_keyset"] {
        ensure!(seen[listing] == at(&ids, &in_web), "gitbeaker, {listing}: {seen}");
    }
    ensure!(seen["all"] == all && seen["pushed"] == at(&ids, &[4]), "{seen}");
    ensure!(seen["second_page"] == at(&ids, &[5, 6, 7]), "{seen}");
    ensure!(
        seen["pagination"]
            == json!({"total": 11, "next": 3, "current": 2, "previous": 1, "perPage": 3, "totalPages": 4}),
        "{seen}"
    );
    ensure!(seen["unknown_project"]["status"] == 404, "{seen}");
    instance.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dictionary_searches_in_its_page() -> Result<()> {
    let Some(modules) = require("the dictionary's page", node_modules("jsdom")) else { return Ok(()) };
    let instance = Instance::start().await?;
    let url = format!("{}/dictionary", instance.tally.url());
    let document = get_json(&format!("{url}.json"), "").await?;
    let list = |kind: &str| document[kind].as_array().cloned().context("a list");
    let (events, metrics) = (list("events")?, list("metrics")?);
    let of_dashboards = metrics.iter().filter(|metric| {
        metric["key_path"].as_str().is_some_and(|path| path.contains("total_view_dashboard"))
    });
    let expected = [
        ("", events.len() + metrics.len()),
        ("kind=event", events.len()),
        ("kind=metric&q=counts+TOTAL_view_dashboard", of_dashboards.count()),
        ("q=unheard-of", 0),
    ];
    let output = Command::new("node")
        .env("TALLY_NODE_MODULES", modules)
        .arg(root().join("tests/clients/dictionary_jsdom.mjs"))
        .arg(&url)
        .args(expected.map(|(filters, _)| filters))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown: Value = serde_json::from_slice(&output.stdout)?;
    for ((filters, found), shown) in expected.iter().zip(shown.as_array().context("a list")?) {
        let line = format!("{found} of {} definitions", events.len() + metrics.len());
        ensure!(
            shown["found"] == line && shown["drawn"] == (*found).min(60),
            "{filters}: {shown}, expected {line}"
        );
    }
    instance.tally.stop().await
}
