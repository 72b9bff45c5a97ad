//! The Service Ping from end to end: an instance, a proxy, the receiver, all as processes of their own.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tally_tests::instance::Instance;
use tally_tests::process::{STORE_PASSWORD, Tally, clickhouse, free_port, get_json, service_ping};
use tally_tests::proxy::Proxy;
use tally_tests::wait;

const DEADLINE: Duration = Duration::from_secs(20);

/// The version that instances of these tests have, one security release behind its own line and two behind the newest.
const VERSION: &str = "2.1.0";
const RELEASES: &str = "
- {version: 2.0.4, date: 2026-09-01}
- {version: 2.1.0, date: 2026-10-01}
- {version: 2.1.1, date: 2026-10-20, security: true}
- {version: 2.2.0, date: 2026-11-01}
- {version: 2.2.1, date: 2026-11-10}
";

/// A receiver of its own.
struct Receiver {
    tally: Tally,
    store: String,
}

impl Receiver {
    async fn start(folder: &Path) -> Result<Self> {
        let releases = folder.join("releases.yml");
        std::fs::write(&releases, RELEASES)?;
        let (port, store_port) = (free_port(), free_port());
        let listen = format!("127.0.0.1:{port}");
        let settings = [
            format!("collect.releases_file={}", releases.display()),
            format!("engine.listen=127.0.0.1:{store_port}"),
            format!("store.password={STORE_PASSWORD}"),
        ];
        let flags = settings.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<&str> =
            ["collect", "--data-dir", "received", "--listen", &listen].into_iter().chain(flags).collect();
        let tally = Tally::start(folder, port, &arguments).await?;
        Ok(Self { tally, store: format!("http://127.0.0.1:{store_port}") })
    }

    async fn stored(&self, sql: &str) -> Result<String> {
        clickhouse(&self.store, sql).await
    }
}

/// An instance that reports to `receiver`, through `proxy` if there is one.
async fn instance(receiver: &Receiver, proxy: Option<&Proxy>, more: &[&str]) -> Result<Instance> {
    let mut settings = vec![
        format!("ping.base_url={}", receiver.tally.url()),
        "ping.allow_private_addresses=true".to_owned(),
        format!("query.instance.version={VERSION}"),
        "query.instance.hostname=tally.example.com".to_owned(),
    ];
    settings.extend(more.iter().map(ToString::to_string));
    // The machine's own exceptions must not keep the proxy out.
    let environment = proxy.map(|proxy| [("HTTP_PROXY", proxy.url()), ("NO_PROXY", String::new())]);
    Instance::start_with(&settings, environment.as_ref().map_or(&[], |variables| variables)).await
}

async fn call(instance: &Instance, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
    let request = Client::new().request(method, format!("{}{path}", instance.tally.url()));
    let response = request.header("PRIVATE-TOKEN", &instance.admin).json(body).send().await?;
    Ok((response.status(), response.json().await?))
}

/// The payload as the page for people offers it for download.
async fn download(instance: &Instance) -> Result<String> {
    let url = format!("{}/admin/application_settings/usage_data.json", instance.tally.url());
    let response = Client::new().get(url).header("PRIVATE-TOKEN", &instance.admin).send().await?;
    let disposition =
        response.headers().get("content-disposition").context("a download")?.to_str()?.to_owned();
    ensure!(disposition.starts_with("attachment"), "{disposition}");
    Ok(response.text().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_reaches_the_receiver_through_a_proxy_as_it_was_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(folder.path()).await?;
    let proxy = Proxy::start().await?;
    let instance = instance(&receiver, Some(&proxy), &[]).await?;

    let shown = instance.run(&["ping", "--preview"])?;
    ensure!(download(&instance).await? == shown, "the download is not what was shown");
    let said = instance.run(&["ping", "--send"])?;
    let stored = receiver.stored("SELECT payload FROM collected_pings FORMAT TSVRaw").await?;
    ensure!(stored == shown, "stored: {stored}\nshown: {shown}");
    let id = receiver.stored("SELECT usage_data_id FROM collected_pings").await?;
    ensure!(said.contains(&id), "{said} names no {id}");
    let stored = "SELECT usage_data_id, attempt FROM service_ping_submissions";
    ensure!(clickhouse(&instance.store, stored).await? == format!("{id}\t1"));
    let url = format!("{}/api/v4/usage_data/service_ping", instance.tally.url());
    let latest = get_json(&url, &instance.admin).await?;
    ensure!(latest == serde_json::from_str::<Value>(&shown)?);

    let uuid = serde_json::from_str::<Value>(&shown)?["uuid"].as_str().context("a uuid")?.to_owned();
    wait::until("the metadata", DEADLINE, || async {
        let sql =
            "SELECT uuid, metrics LIKE '%counts.count_total_view_dashboard%' FROM collected_ping_metadata";
        Ok((receiver.stored(sql).await? == format!("{uuid}\t1")).then_some(()))
    })
    .await?;
    let base = receiver.tally.url();
    let expected = [format!("POST {base}/usage_data"), format!("POST {base}/usage_ping_metadata")];
    ensure!(proxy.seen() == expected, "{:?}", proxy.seen());

    // A second time it is the same payload, which the receiver knows.
    instance.run(&["ping", "--send"])?;
    ensure!(receiver.stored("SELECT count() FROM collected_pings FINAL").await? == "1");
    let status = instance.run(&["ping", "--status"])?;
    ensure!(status.contains(&base), "{status}");
    instance.tally.stop().await?;
    receiver.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_downloaded_payload_can_be_uploaded_by_hand() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(folder.path()).await?;
    let instance = instance(&receiver, None, &["ping.usage_ping_enabled=false"]).await?;

    let refused = instance.run(&["ping", "--send"]).unwrap_err().to_string();
    ensure!(refused.contains("usage_ping_enabled"), "{refused}");
    let (status, settings) =
        call(&instance, Method::PUT, "/api/v4/application/settings", &json!({"usage_ping_enabled": true}))
            .await?;
    ensure!(status == 200 && settings["usage_ping_enabled"] == false, "{status} {settings}");
    ensure!(instance.run(&["ping", "--send"]).is_err(), "switched on over HTTP");

    let payload = download(&instance).await?;
    let form = [
        "--boundary",
        "Content-Disposition: form-data; name=\"usage_data\"; filename=\"payload.json\"",
        "Content-Type: application/json",
        "",
        &payload,
        "--boundary--",
        "",
    ];
    let upload = |form: String| {
        let request = Client::new().post(format!("{}/usage_data/new", receiver.tally.url()));
        request.header("content-type", "multipart/form-data; boundary=boundary").body(form).send()
    };
    let response = upload(form.join("\r\n")).await?;
    let status = response.status();
    let answer: Value = response.json().await?;
    let id = answer["dev_ops_score"]["usage_data_id"].as_u64().context(answer.to_string())?;
    ensure!(status == 201 && id > 0, "{status} {answer}");
    ensure!(receiver.stored("SELECT payload FROM collected_pings FORMAT TSVRaw").await? == payload);

    let unknown = form.join("\r\n").replace(&payload, "{\"hello\": \"world\"}");
    let response = upload(unknown).await?;
    ensure!(response.status() == 422, "{}", response.status());
    let answer: Value = response.json().await?;
    ensure!(answer["error"].as_str().is_some_and(|error| error.contains("uuid")), "{answer}");
    instance.tally.stop().await?;
    receiver.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_check_tells_what_to_do_and_keeps_version_and_host_only() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(folder.path()).await?;
    let instance = instance(&receiver, None, &[]).await?;
    let said = instance.run(&["ping", "--version-check"])?;
    ensure!(said.contains("danger") || said.contains("asap"), "{said}");
    let asked = "SELECT version, hostname FROM version_checks";
    let expected = format!("{VERSION}\ttally.example.com");
    wait::until("the check in the tables", DEADLINE, || async {
        Ok((receiver.stored(asked).await? == expected).then_some(()))
    })
    .await?;

    let check = |version: &str, format: &str| {
        let info = BASE64.encode(json!({ "version": version }).to_string());
        let url = format!("{}/check.{format}", receiver.tally.url());
        Client::new()
            .get(url)
            .query(&[("gitlab_info", info)])
            .header("Referer", "https://tally.example.com/x")
            .send()
    };
    for (version, severity, text) in [
        ("2.2.1", "success", "up-to-date"),
        ("2.2.0", "warning", "update available"),
        ("2.1.1", "warning", "update available"),
        (VERSION, "danger", "update asap"),
    ] {
        let answer: Value = check(version, "json").await?.json().await?;
        ensure!(answer["severity"] == severity && answer["latest_version"] == "2.2.1", "{version}: {answer}");
        ensure!(answer["latest_stable_versions"] == json!(["2.2.1", "2.1.1", "2.0.4"]), "{answer}");
        let picture = check(version, "svg").await?.text().await?;
        ensure!(picture.contains(text), "{version}: {picture}");
        let picture = check(version, "png").await?.bytes().await?;
        ensure!(picture.starts_with(b"\x89PNG"), "{version} has no PNG");
    }
    let (status, _) = call(
        &instance,
        Method::PUT,
        "/api/v4/application/settings",
        &json!({"version_check_enabled": false}),
    )
    .await?;
    ensure!(status == 200);
    let said = instance.run(&["ping", "--version-check"])?;
    ensure!(said.contains("off"), "{said}");
    // Somebody else's check comes after any that should not have been made.
    check("2.0.4", "json").await?;
    wait::until("the last check in the tables", DEADLINE, || async {
        let last = "SELECT count() FROM version_checks WHERE version = '2.0.4'";
        Ok((receiver.stored(last).await? == "1").then_some(()))
    })
    .await?;
    let by_instance = format!("SELECT count() FROM version_checks WHERE version = '{VERSION}'");
    ensure!(receiver.stored(&by_instance).await? == "4", "asked though the check is switched off");
    instance.tally.stop().await?;
    receiver.tally.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_explained_and_legacy_increments_are_counted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start(folder.path()).await?;
    let instance = instance(&receiver, None, &[]).await?;
    for _ in 0..3 {
        let path = "/api/v4/usage_data/increment_counter";
        let (status, _) = call(&instance, Method::POST, path, &json!({"event": "view_dashboard"})).await?;
        ensure!(status == 200, "{status}");
    }
    wait::until("the increments in the ping", DEADLINE, || async {
        let ping = service_ping(&instance.tally.url(), &instance.admin).await?;
        Ok((ping["counts"]["count_total_view_dashboard"] == 3).then_some(()))
    })
    .await?;
    let explanation = instance.run(&["ping", "--explain", "counts.count_total_view_dashboard"])?;
    for part in ["count_total_view_dashboard.yml", "internal_events", "view_dashboard", "3"] {
        ensure!(explanation.contains(part), "{explanation} names no {part}");
    }
    let unknown = instance.run(&["ping", "--explain", "counts.unheard_of"]).unwrap_err().to_string();
    ensure!(unknown.contains("counts.unheard_of"), "{unknown}");
    instance.tally.stop().await?;
    receiver.tally.stop().await
}
