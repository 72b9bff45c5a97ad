//! Real trackers, through a proxy that loses answers: whatever they send is in `TrackedEvents` and `Sessions`, once, with the
//! values that the site and the servers behind it had.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tally_tests::instance::Instance;
use tally_tests::losing_proxy::LosingProxy;
use tally_tests::outside::{chromium, node_modules, python, require, root};
use tally_tests::wait;
use tokio::process::Command;

use crate::cube_api::table;
use crate::visits;

/// The project whose key the trackers have.
const PROJECT: i64 = 6;
const KEY: &str = "9a1f6c3e-tracking-key";
const DEADLINE: Duration = Duration::from_mins(1);

const DIRECTORY: &str = "
projects:
  - id: 6
    path: acme/secret
    namespace_id: 7
    visibility: private
    product_analytics: {instrumentation_key: 9a1f6c3e-tracking-key}
    members: [{user: alice, access_level: developer}, {user: bob, access_level: developer}]
";

/// A Tally whose project 6 has a tracking key, and a proxy before it.
async fn start() -> Result<(Instance, LosingProxy)> {
    let instance = Instance::start_with(&visits::settings(), &[]).await?;
    let file = instance.folder.path().join("key.yml");
    std::fs::write(&file, DIRECTORY)?;
    instance.run(&["directory", "import", &file.display().to_string()])?;
    let proxy = LosingProxy::start(format!("127.0.0.1:{}", instance.tally.port)).await?;
    Ok((instance, proxy))
}

async fn run(program: &Path, script: &str, environment: &[(&str, &Path)], proxy: &LosingProxy) -> Result<()> {
    let output = Command::new(program)
        .envs(environment.iter().copied())
        .arg(root().join("tests/clients").join(script))
        .args([&proxy.url(), KEY])
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Waits until `TrackedEvents` holds every event that went through the proxy; fails if it ever holds one twice.
async fn everything_arrived_once(instance: &Instance, proxy: &LosingProxy) -> Result<()> {
    let sent = proxy.sent();
    let repeated = sent.values().filter(|times| **times > 1).count();
    println!("{} events, {repeated} of them more than once", sent.len());
    ensure!(repeated >= 2, "no tracker has repeated anything");
    let expected: BTreeSet<&str> = sent.keys().map(String::as_str).collect();
    let query =
        json!({"dimensions": ["TrackedEvents.eventId"], "measures": ["TrackedEvents.count"], "limit": 1000});
    let arrived = wait::until("every event", DEADLINE, || async {
        let rows = table(instance, PROJECT, query.clone(), &["TrackedEvents.eventId", "TrackedEvents.count"])
            .await?;
        let lag = instance.tally.metric("tally_processor_lag_records").await?;
        Ok((rows.len() >= expected.len() && lag == Some(0.0)).then_some(rows))
    })
    .await
    .with_context(|| instance.tally.log_tail())?;
    let ids: BTreeSet<&str> = arrived.iter().map(|row| row[0].as_str()).collect();
    ensure!(ids == expected, "arrived {ids:?}\nsent {expected:?}");
    ensure!(arrived.iter().all(|row| row[1] == "1"), "some event is there twice: {arrived:?}");
    Ok(())
}

/// Asserts what a query gets, in any order: the values of `dimensions`, then the count of their cube.
async fn expect(
    instance: &Instance,
    dimensions: &[&str],
    filters: serde_json::Value,
    expected: &[&[&str]],
) -> Result<()> {
    let cube = dimensions[0].split('.').next().unwrap_or_default();
    let count = format!("{cube}.count");
    let query = json!({"dimensions": dimensions, "measures": [count], "filters": filters});
    let members: Vec<&str> = dimensions.iter().copied().chain([count.as_str()]).collect();
    let mut seen = table(instance, PROJECT, query, &members).await?;
    seen.sort();
    let mut expected: Vec<Vec<String>> =
        expected.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
    expected.sort();
    ensure!(seen == expected, "{members:?} where {filters}\nare      {seen:?}\nexpected {expected:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_browsers_track_arrives_once() -> Result<()> {
    let Some(modules) = require("trackers in a browser", node_modules("@snowplow/browser-tracker")) else {
        return Ok(());
    };
    let Some(chromium) = require("trackers in a browser", chromium()) else { return Ok(()) };
    let (instance, proxy) = start().await?;
    let environment = [("TALLY_NODE_MODULES", modules.as_path()), ("TALLY_CHROMIUM", chromium.as_path())];
    run(Path::new("node"), "trackers_browser.mjs", &environment, &proxy).await?;
    everything_arrived_once(&instance, &proxy).await?;

    let of = |member: &str, value: &str| json!({"member": member, "operator": "equals", "values": [value]});
    let no_ping = json!({"member": "TrackedEvents.event", "operator": "notEquals", "values": ["page_ping"]});
    expect(
        &instance,
        &["TrackedEvents.event", "TrackedEvents.pageUrlpath", "TrackedEvents.userId"],
        json!([no_ping, of("TrackedEvents.pageUrlhosts", "shop.example")]),
        &[
            &["page_view", "/gitlab/pricing", "", "1"],
            &["custom", "/gitlab/pricing", "", "1"],
            &["link_click", "/gitlab/pricing", "", "1"],
            &["page_view", "/gitlab/pricing/team", "", "1"],
            &["page_view", "/gitlab/pricing/team", "user-77", "1"],
            &["custom", "/gitlab/pricing/team", "user-77", "1"],
        ],
    )
    .await?;
    expect(
        &instance,
        &["TrackedEvents.pageTitle", "TrackedEvents.pageReferrer"],
        json!([of("TrackedEvents.event", "page_view"), of("TrackedEvents.pageUrlhosts", "shop.example")]),
        &[
            &["Pricing", "https://www.google.com/search?q=tally", "1"],
            &["Pricing", "", "1"],
            &["Signed in", "", "1"],
        ],
    )
    .await?;
    expect(
        &instance,
        &["TrackedEvents.targetUrl", "TrackedEvents.elementId"],
        json!([of("TrackedEvents.event", "link_click")]),
        &[&[
            "http://shop.example/gitlab/pricing?utm_source=letter&utm_medium=email&utm_campaign=autumn&plan=gold#team",
            "to-team",
            "1",
        ]],
    )
    .await?;
    expect(
        &instance,
        &["TrackedEvents.customEventName", "TrackedEvents.customEventProps", "TrackedEvents.customUserProps"],
        json!([of("TrackedEvents.event", "custom")]),
        &[
            &["purchase", r#"{"plan":"gold","seats":3}"#, "", "1"],
            &["purchase", r#"{"plan":"gold","seats":3}"#, r#"{"tier":"premium"}"#, "1"],
            &["vote", r#"{"text":"ja, größer"}"#, "", "3"],
        ],
    )
    .await?;
    expect(
        &instance,
        &[
            "TrackedEvents.event",
            "TrackedEvents.userId",
            "TrackedEvents.documentLanguage",
            "TrackedEvents.viewportSize",
        ],
        json!([of("TrackedEvents.pageUrlhosts", "docs.example")]),
        &[
            &["page_view", "", "de", "1200x700", "3"],
            &["struct", "reader-5", "de", "1200x700", "3"],
            &["custom", "reader-5", "de", "1200x700", "3"],
        ],
    )
    .await?;
    let pings =
        json!({"measures": ["TrackedEvents.count"], "filters": [of("TrackedEvents.event", "page_ping")]});
    let pings = table(&instance, PROJECT, pings, &["TrackedEvents.count"]).await?;
    let pings: u64 = pings[0][0].parse()?;
    ensure!((1..=10).contains(&pings), "{pings} page pings in three seconds and what came after");

    // Each visit with a tracker's session is one; of whom nothing is known there is no session to tell.
    expect(
        &instance,
        &["Sessions.userId", "Sessions.documentLanguage"],
        json!([{"member": "Sessions.userId", "operator": "equals", "values": ["reader-5", "user-77"]}]),
        &[&["reader-5", "de", "3"], &["user-77", "en", "1"]],
    )
    .await?;
    instance.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_servers_track_arrives_once() -> Result<()> {
    let Some(modules) = require("trackers on a server", node_modules("@snowplow/node-tracker")) else {
        return Ok(());
    };
    let Some(python) = require("trackers on a server", python()) else { return Ok(()) };
    let (instance, proxy) = start().await?;
    let environment = [("TALLY_NODE_MODULES", modules.as_path())];
    tokio::try_join!(
        run(Path::new("node"), "trackers_node.mjs", &environment, &proxy),
        run(&python, "trackers_python.py", &[], &proxy),
    )?;
    everything_arrived_once(&instance, &proxy).await?;

    // Each script runs by POST with base64 and by GET without: the same events twice.
    let of_user =
        |user: &str| json!([{"member": "TrackedEvents.userId", "operator": "equals", "values": [user]}]);
    let described = [
        "TrackedEvents.event",
        "TrackedEvents.pageUrl",
        "TrackedEvents.pageTitle",
        "TrackedEvents.agentName",
    ];
    expect(
        &instance,
        &described,
        of_user("node-9"),
        &[
            &["page_view", "https://app.example/checkout?step=2", "Checkout", "Firefox", "2"],
            &["struct", "", "", "Firefox", "2"],
            &["custom", "", "", "Firefox", "2"],
        ],
    )
    .await?;
    expect(
        &instance,
        &described,
        of_user("python-3"),
        &[
            &["page_view", "https://jobs.example/nightly", "Nightly", "Safari", "2"],
            &["page_view", "https://jobs.example/nightly/done", "", "Safari", "2"],
            &["struct", "", "", "Safari", "2"],
            &["custom", "", "", "Safari", "2"],
        ],
    )
    .await?;
    expect(
        &instance,
        &["TrackedEvents.customEventName", "TrackedEvents.customEventProps", "TrackedEvents.customUserProps"],
        json!([{"member": "TrackedEvents.customEventName", "operator": "set"}, {"member": "TrackedEvents.event", "operator": "equals", "values": ["custom"]}]),
        &[&["refund", r#"{"amount":7}"#, "", "2"], &["backup", r#"{"bytes": 1024}"#, r#"{"team": "ops"}"#, "2"]],
    )
    .await?;
    expect(
        &instance,
        &["Sessions.sessionID", "Sessions.userId", "Sessions.eventsCount"],
        json!([{"member": "Sessions.userId", "operator": "equals", "values": ["node-9"]}]),
        &[&["7d0f4b52-0d0c-4f8d-a1a7-54a4f2a9b1d2", "node-9", "6", "1"]],
    )
    .await?;
    instance.tally.stop().await
}
