//! The contexts of an event: what GitLab's SDK and Snowplow's trackers say in them goes to columns, all others are kept as
//! they are.

use serde::Deserialize;
use tally_schemas::PageEvent;

use super::unstruct::object;
use super::{EventBuilder, Refused};
use crate::snowplow::schema::{self, SchemaKey, SelfDescribing};

/// `client_session` of trackers that keep sessions by themselves.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientSession {
    session_id: String,
    session_index: u32,
    user_id: String,
}

/// `browser_context` of Snowplow's browser tracker.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BrowserContext {
    viewport: Option<String>,
    document_size: Option<String>,
    resolution: Option<String>,
    browser_language: Option<String>,
    document_language: Option<String>,
    /// A program steers the browser.
    webdriver: Option<bool>,
}

/// `PerformanceTiming` of the browser, times in milliseconds since the epoch.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PerformanceTiming {
    navigation_start: f64,
    load_event_end: f64,
}

/// Browsers' client hints.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientHints {
    is_mobile: bool,
}

/// Takes in the contexts within `text`.
pub(super) fn add(builder: &EventBuilder, event: &mut PageEvent, text: &str) -> Result<(), Refused> {
    let malformed =
        |error: serde_json::Error| Refused::invalid(format!("the contexts are malformed: {error}"));
    let mut others = Vec::new();
    for context in schema::contexts(text).map_err(malformed)? {
        // Data of another form than their schema has are nobody's loss but theirs: they are kept as they are.
        if !take(builder, event, &context).unwrap_or(false) {
            others.push(context);
        }
    }
    if !others.is_empty() {
        event.contexts = serde_json::to_string(&others).map_err(malformed)?;
    }
    Ok(())
}

/// Whether all that matters of the context is in columns now.
fn take(
    builder: &EventBuilder,
    event: &mut PageEvent,
    context: &SelfDescribing<'_>,
) -> Result<bool, serde_json::Error> {
    let data = context.data.get();
    let Some(key) = SchemaKey::parse(&context.schema) else { return Ok(false) };
    match (key.vendor, key.name) {
        ("com.gitlab", "user_context") => {
            event.custom_user_props = object(context.data);
            Ok(true)
        }
        (SchemaKey::SNOWPLOW, "client_session") => {
            add_session(builder, event, &serde_json::from_str(data)?);
            Ok(true)
        }
        (SchemaKey::SNOWPLOW, "browser_context") => {
            add_browser(builder, event, serde_json::from_str(data)?);
            Ok(true)
        }
        ("org.w3", "PerformanceTiming") => {
            event.load_ms = load_ms(&serde_json::from_str(data)?);
            Ok(true)
        }
        ("org.ietf", "http_client_hints") => {
            event.is_mobile |= serde_json::from_str::<ClientHints>(data)?.is_mobile;
            Ok(false)
        }
        _ => Ok(false),
    }
}

/// The tracker's own parameters win, except that they leave out what this says.
fn add_session(builder: &EventBuilder, event: &mut PageEvent, session: &ClientSession) {
    if event.session_id.is_empty() {
        event.session_id = builder.text(&session.session_id);
        event.session_index = session.session_index;
    }
    // Snowplow's trackers write this user when they are to be anonymous.
    if event.domain_user_id.is_empty() && !is_nobody(&session.user_id) {
        event.domain_user_id = builder.text(&session.user_id);
    }
}

fn is_nobody(user_id: &str) -> bool {
    user_id.bytes().all(|byte| byte == b'0' || byte == b'-')
}

fn add_browser(builder: &EventBuilder, event: &mut PageEvent, browser: BrowserContext) {
    let fill = |field: &mut String, value: Option<String>| {
        if field.is_empty() {
            *field = builder.owned(value.unwrap_or_default());
        }
    };
    fill(&mut event.viewport_size, browser.viewport);
    fill(&mut event.document_size, browser.document_size);
    fill(&mut event.screen_resolution, browser.resolution);
    fill(&mut event.browser_language, browser.browser_language);
    fill(&mut event.document_language, browser.document_language);
    event.is_bot |= browser.webdriver.unwrap_or(false);
}

/// 0 stands for what has not happened yet.
fn load_ms(timing: &PerformanceTiming) -> Option<f64> {
    let is_loaded = timing.navigation_start > 0.0 && timing.load_event_end >= timing.navigation_start;
    is_loaded.then_some(timing.load_event_end - timing.navigation_start)
}
