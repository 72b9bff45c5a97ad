//! The page of the Service Ping and the payload as a file.

use serde_json::Value;

use crate::app::{App, NOW, ROOT, request};

const PAGE: &str = "/admin/application_settings/service_usage_data";
const FILE: &str = "/admin/application_settings/usage_data.json";
const PING: &str = "/api/v4/usage_data/service_ping";
const SETTINGS: &str = "/api/v4/application/settings";

#[tokio::test]
async fn the_page_shows_settings_schedule_and_payload() {
    let app = App::start().await;
    let page = app.get(PAGE).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for text in [
        "0f7e2d1a-3b4c-4d5e-8f60-718293a4b5c6",
        "<code>include_optional_data_in_service_ping</code>",
        "sent to https://version.example.com",
        "2026-11-18 10:30:00 UTC",
        "Nothing was sent yet.",
        "Up to date.",
        "The receiver has sent none yet.",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
}

#[tokio::test]
async fn what_others_wrote_is_text_on_the_page() {
    let app = App::start().await;
    app.take_receiver_away();
    let _refused = app.ping.send_now().await;
    let page = app.get(PAGE).await;
    for markup in ["<script", "<example>", "<refused>", "<the notes>"] {
        assert!(!page.text.contains(markup), "{markup}: {}", page.text);
    }
    assert_eq!(page.text.matches("</pre>").count(), 1);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for text in ["http-equiv", "src=", "url(", "@import", "style=\"", "onclick"] {
        assert!(!page.text.contains(text), "{text}");
    }
    let links = page.text.matches("href=").count();
    assert_eq!(links, page.text.matches("href=\"usage_data.json").count());
}

#[tokio::test]
async fn the_policy_names_the_pages_own_style() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let app = App::start().await;
    let page = app.get(PAGE).await;
    let (_, rest) = page.text.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
}

#[tokio::test]
async fn preview_and_file_are_the_stored_payload_and_nothing_is_sent() {
    let app = App::start().await;
    let file = app.get(FILE).await;
    assert_eq!(file.status.as_u16(), 200);
    assert_eq!(
        file.header("content-disposition"),
        Some("attachment; filename=\"service-ping-2026-11-18.json\"")
    );
    assert_eq!(file.header("content-type"), Some("application/json"));
    assert_eq!(file.header("cache-control"), Some("no-store"));
    let page = app.get(PAGE).await;
    assert_eq!(app.generated(), 1, "one payload is made for both");
    assert_eq!(app.get(PING).await.text, file.text);
    assert_eq!(shown(&page.text), serde_json::from_str::<Value>(&file.text).unwrap());
    assert!(page.text.contains(&format!("{} bytes", file.text.len())), "{}", page.text);
    assert!(app.asked().iter().all(|url| url.contains("/check.json")), "{:?}", app.asked());
    // Two pages at once make one payload, too.
    app.advance_hours(8 * 24);
    futures::join!(app.get(PAGE), app.get(FILE));
    assert_eq!(app.generated(), 2);
}

/// The payload as the page has it.
fn shown(page: &str) -> Value {
    let (_, rest) = page.split_once("aria-label=\"Payload\">").unwrap();
    let (text, _) = rest.split_once("</pre>").unwrap();
    let mut plain = text.to_owned();
    for (entity, character) in
        [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")]
    {
        plain = plain.replace(entity, character);
    }
    serde_json::from_str(&plain).unwrap_or_else(|error| panic!("{error}: {plain}"))
}

#[tokio::test]
async fn the_file_is_what_is_sent_byte_for_byte() {
    let app = App::start().await;
    let file = app.get(FILE).await;
    let submission = app.ping.send_now().await.unwrap();
    let recorded_at: Value = serde_json::from_str::<Value>(&file.text).unwrap()["recorded_at"].clone();
    assert_eq!(recorded_at, NOW.replace('Z', ".000Z"));
    assert_eq!(submission.recorded_at.to_string(), NOW);
    assert_eq!(app.posted("/usage_data"), [file.text]);
}

#[tokio::test]
async fn submissions_and_score_are_shown() {
    let app = App::start().await;
    app.ping.send_now().await.unwrap();
    let page = app.get(PAGE).await;
    for text in [
        "taken as 41",
        "<th scope=\"row\">Issues</th><td class=\"number\">2.50</td><td class=\"number\">10.00</td><td class=\"number\">25.0 %</td>",
        "<th scope=\"row\">CI pipelines</th>",
        "<td>2026-11-18 10:30 UTC</td>",
    ] {
        assert!(page.text.contains(text), "{text}: {}", page.text);
    }
    // The next week's payload finds nobody.
    app.advance_hours(8 * 24);
    app.take_receiver_away();
    app.ping.send_now().await.unwrap_err();
    let page = app.get(PAGE).await;
    assert!(page.text.contains("<td class=\"bad\">no answer: connection"), "{}", page.text);
    assert!(page.text.contains("taken as 41"), "{}", page.text);
}

#[tokio::test]
async fn the_version_check_is_shown_by_its_severity() {
    let app = App::start().await;
    for (severity, text) in [
        ("success", "<span class=\"good\">Up to date.</span>"),
        ("warning", "<span class=\"warn\">Update available.</span>"),
        ("danger", "<span class=\"bad\">Update as soon as possible.</span>"),
    ] {
        app.judge_version(severity);
        assert!(app.get(PAGE).await.text.contains(text), "{severity}");
        app.advance_hours(24);
    }
    app.take_receiver_away();
    assert!(app.get(PAGE).await.text.contains("Not known:</span> no answer: connection"));
    let asked = app.asked().len();
    app.put(SETTINGS, r#"{"version_check_enabled":false}"#).await;
    assert!(app.get(PAGE).await.text.contains("Switched off."));
    assert_eq!(app.asked().len(), asked, "nobody is asked while the check is switched off");
    let alone = App::forbidden_by_file().await;
    assert!(alone.get(PAGE).await.text.contains("Nobody to ask."));
}

#[tokio::test]
async fn a_page_says_what_is_switched_off_and_why() {
    let app = App::forbidden_by_file().await;
    let page = app.get(PAGE).await;
    assert!(page.text.contains("<code>ping.usage_ping_enabled = false</code>"), "{}", page.text);
    assert!(page.text.contains("not sent: usage_ping_enabled is off"), "{}", page.text);
    assert!(page.text.contains("aria-label=\"Payload\""), "a payload is made all the same");

    let app = App::start().await;
    assert!(!app.get(PAGE).await.text.contains("configuration file"));
    app.advance_hours(8 * 24);
    app.put(SETTINGS, r#"{"usage_ping_generation_enabled":false}"#).await;
    let page = app.get(PAGE).await;
    assert_eq!(page.status.as_u16(), 200);
    assert!(page.text.contains("No payload is made while"), "{}", page.text);
    let file = app.get(FILE).await;
    assert_eq!((file.status.as_u16(), file.text.as_str()), (404, r#"{"message":"404 Not Found"}"#));
}

#[tokio::test]
async fn a_browsers_token_goes_along_with_the_link_and_nowhere_else() {
    let app = App::start().await;
    let page = app.send(request("GET", &format!("{PAGE}?private_token={ROOT}")), "").await;
    let link = format!("href=\"usage_data.json?private_token={ROOT}\"");
    assert_eq!(page.text.matches(&link).count(), 1, "{}", page.text);
    assert_eq!(page.text.matches(ROOT).count(), 1);
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert!(app.get(PAGE).await.text.contains("href=\"usage_data.json\""));
}
