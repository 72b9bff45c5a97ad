//! Requests as real trackers sent them, byte for byte but for the site's host: GitLab's browser SDK 0.3.4 (Snowplow's browser
//! tracker 4.3.0) in Chromium with and without consent, Snowplow's trackers for Node 4.8.0 and Python 1.1.0.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tally_capture::AddressPolicy;
use tally_schemas::PageEvent;

use crate::app::{Answer, App, PROJECT};

async fn replay(app: &App, recorded: &str) -> Answer {
    let recorded: Value = serde_json::from_str(recorded).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut request = Request::builder().method(&*text(&recorded["method"])).uri(text(&recorded["path"]));
    for (name, value) in recorded["headers"].as_object().unwrap() {
        request = request.header(name, text(value));
    }
    let body = if recorded["body"].is_null() { String::new() } else { recorded["body"].to_string() };
    app.send(request.body(Body::from(body)).unwrap()).await
}

async fn kept(recorded: &str) -> Vec<PageEvent> {
    let app = App::with(|config| config.privacy.ip_address = AddressPolicy::Anonymise);
    assert_eq!(replay(&app, recorded).await.status, 200);
    let events = app.events();
    assert!(events.iter().all(|event| event.project_id == PROJECT && event.client_event_id));
    events
}

fn names(events: &[PageEvent]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (&*event.event, &*event.event_name)).collect()
}

#[tokio::test]
async fn a_browser_may_send_whatever_headers_its_tracker_was_told_to() {
    let answer = replay(&App::new(), include_str!("recorded/browser_preflight.json")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-headers"), "content-type,sp-anonymous,x-gitlab-appid");
    assert!(answer.header("access-control-allow-methods").contains("POST"));
}

#[tokio::test]
async fn gitlabs_sdk_without_consent() {
    let events = kept(include_str!("recorded/browser_anonymous_view.json")).await;
    assert_eq!(names(&events), [("page_view", "page_view")]);
    let view = &events[0];
    assert_eq!(view.page_url, "https://shop.example/shop?utm_campaign=spring");
    assert_eq!((&*view.page_url_host, &*view.page_url_path), ("shop.example", "/shop"));
    assert_eq!((&*view.campaign_name, &*view.page_title), ("spring", "Shop"));
    assert_eq!((&*view.browser_language, &*view.document_language), ("en-US", "de"));
    assert_eq!((&*view.agent_name, &*view.os_family), ("Chrome", "Linux"));
    assert_eq!((&*view.viewport_size, &*view.screen_resolution), ("800x600", "800x600"));
    assert_eq!((&*view.platform, &*view.tracker_version), ("web", "js-4.3.0"));
    assert!(view.is_bot, "a program steers the browser");
    assert_eq!((&*view.session_id, &*view.domain_user_id, &*view.ip_address), ("", "", ""));
    assert_eq!(view.load_ms, None, "the page was not loaded yet");
    assert!(view.contexts.contains("web_page") && !view.contexts.contains("browser_context"));

    let events = kept(include_str!("recorded/browser_anonymous.json")).await;
    assert_eq!(
        names(&events),
        [("custom", "signup"), ("application_error", "application_error"), ("link_click", "link_click")]
    );
    assert!(events.iter().all(|event| event.user_id.is_empty() && event.session_id.is_empty()));
}

#[tokio::test]
async fn gitlabs_sdk_with_consent() {
    let events = kept(include_str!("recorded/browser_view.json")).await;
    assert_eq!(events[0].session_id, "f3eff3cf-a6a9-4230-853b-26ee51600470");
    assert_eq!(events[0].domain_user_id, "f7c1979d-3368-4924-97dd-dbdbe3839142");
    assert_eq!(events[0].session_index, 1);
    assert_eq!(events[0].ip_address, "203.0.113.0");

    let events = kept(include_str!("recorded/browser.json")).await;
    let [custom, error, click] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*custom.custom_event_name, &*custom.custom_event_props), ("signup", r#"{"plan":"gold"}"#));
    assert_eq!((&*custom.user_id, &*custom.custom_user_props), ("carol", r#"{"role":"admin"}"#));
    assert_eq!(custom.load_ms, Some(225.0));
    assert_eq!(custom.unstruct, "", "everything is in columns");
    let unstruct: Value = serde_json::from_str(&error.unstruct).unwrap();
    assert_eq!(unstruct["data"]["message"], json!("boom"));
    assert_eq!((&*click.element_id, &*click.unstruct), ("go", ""));
    assert_eq!(click.target_url, "https://shop.example/shop?consent=1#x");
}

#[tokio::test]
async fn the_tracker_for_node() {
    let events = kept(include_str!("recorded/node.json")).await;
    assert_eq!(names(&events), [("page_view", "page_view"), ("struct", "act"), ("custom", "signup")]);
    assert!(events.iter().all(|event| event.user_id == "alice" && event.session_id == "sess-1"));
    let [view, structured, custom] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&*view.campaign_source, &*view.referrer_medium), ("news", "search"));
    assert_eq!((&*view.referrer_source, &*view.referrer_term), ("Google", "tally"));
    assert_eq!((&*view.agent_name, &*view.os_name), ("Firefox", "Ubuntu"), "the user's, not the server's");
    assert_eq!(view.ip_address, "203.0.113.0", "the user's, not the server's");
    assert_eq!(
        [&structured.category, &structured.action, &structured.label, &structured.property],
        ["cat", "act", "l", "p"]
    );
    assert_eq!(structured.value, Some(1.5));
    assert_eq!(structured.contexts, r#"[{"schema":"iglu:com.acme/thing/jsonschema/1-0-0","data":{"a":1}}]"#);
    assert_eq!((&*custom.custom_user_props, &*custom.contexts), (r#"{"company":"Acme"}"#, ""));

    let events = kept(include_str!("recorded/node_get.json")).await;
    assert_eq!(names(&events), [("page_view", "page_view")]);
    assert_eq!(events[0].page_title, "B ü");
}

#[tokio::test]
async fn the_tracker_for_python() {
    let events = kept(include_str!("recorded/python.json")).await;
    assert_eq!(
        names(&events),
        [
            ("page_view", "page_view"),
            ("page_ping", "page_ping"),
            ("struct", "a"),
            ("link_click", "link_click")
        ]
    );
    assert!(events.iter().all(|event| event.user_id == "bob" && event.ip_address == "2001:db8:1::"));
    assert_eq!(events[1].unstruct, r#"{"pp_mix":"1","pp_max":"2","pp_miy":"3","pp_may":"4"}"#);
    assert_eq!((&*events[3].target_url, &*events[3].element_id), ("https://x.example", "go"));
}
