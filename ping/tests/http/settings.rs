//! What can be set over HTTP, what answers say is in force, and what the configuration file forbids.

use serde_json::{Value, json};

use crate::app::{App, ROOT, request};

const SETTINGS: &str = "/api/v4/application/settings";

/// The settings of a new installation, with some changed.
fn expected(changes: &Value) -> Value {
    let mut settings = json!({
        "usage_ping_enabled": true,
        "usage_ping_generation_enabled": true,
        "include_optional_data_in_service_ping": true,
        "usage_ping_features_enabled": false,
        "version_check_enabled": true,
    });
    for (name, value) in changes.as_object().unwrap() {
        settings[name] = value.clone();
    }
    settings
}

#[tokio::test]
async fn what_is_set_is_in_force_and_answered() {
    let app = App::start().await;
    assert_eq!(app.get(SETTINGS).await.json(), expected(&json!({})));
    // Each row goes on from the one before.
    for (body, changes) in [
        ("", json!({})),
        ("{}", json!({})),
        (r#"{"signup_enabled":false}"#, json!({})),
        (r#"{"version_check_enabled":false}"#, json!({"version_check_enabled": false})),
        (r#"{"version_check_enabled":null}"#, json!({"version_check_enabled": false})),
        (r#"{"version_check_enabled":"on"}"#, json!({})),
        (r#"{"usage_ping_generation_enabled":0}"#, json!({"usage_ping_generation_enabled": false})),
        (r#"{"usage_ping_generation_enabled":"yes"}"#, json!({})),
        (
            r#"{"include_optional_data_in_service_ping":"f"}"#,
            json!({"include_optional_data_in_service_ping": false}),
        ),
        (r#"{"include_optional_data_in_service_ping":true}"#, json!({})),
        (r#"{"usage_ping_features_enabled":true}"#, json!({"usage_ping_features_enabled": true})),
        // Switching the ping off switches the features off for good.
        (r#"{"usage_ping_enabled":false}"#, json!({"usage_ping_enabled": false})),
        (r#"{"usage_ping_features_enabled":true}"#, json!({"usage_ping_enabled": false})),
        (r#"{"usage_ping_enabled":true}"#, json!({})),
        (
            r#"{"usage_ping_enabled":true,"usage_ping_features_enabled":true}"#,
            json!({"usage_ping_features_enabled": true}),
        ),
        (
            r#"{"usage_ping_enabled":false,"usage_ping_features_enabled":true}"#,
            json!({"usage_ping_enabled": false}),
        ),
    ] {
        let answer = app.put(SETTINGS, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, expected(&changes)), "{body}");
        assert_eq!(app.get(SETTINGS).await.json(), expected(&changes), "{body}");
    }
}

#[tokio::test]
async fn a_form_and_a_query_string_set_too() {
    let app = App::start().await;
    let form = request("PUT", SETTINGS)
        .header("PRIVATE-TOKEN", ROOT)
        .header("Content-Type", "application/x-www-form-urlencoded");
    let answer = app.send(form, "usage_ping_enabled=false").await;
    assert_eq!(answer.json(), expected(&json!({"usage_ping_enabled": false})));
    let answer = app.put(&format!("{SETTINGS}?usage_ping_enabled=true&version_check_enabled=0"), "").await;
    assert_eq!(answer.json(), expected(&json!({"version_check_enabled": false})));
}

#[tokio::test]
async fn what_is_no_boolean_is_refused_and_changes_nothing() {
    let app = App::start().await;
    for (body, error) in [
        (r#"{"usage_ping_enabled":"maybe"}"#, "usage_ping_enabled is invalid"),
        (r#"{"usage_ping_enabled":2}"#, "usage_ping_enabled is invalid"),
        (r#"{"usage_ping_enabled":[]}"#, "usage_ping_enabled is invalid"),
        (
            r#"{"version_check_enabled":{},"usage_ping_generation_enabled":"x","usage_ping_enabled":false}"#,
            "usage_ping_generation_enabled is invalid, version_check_enabled is invalid",
        ),
    ] {
        let answer = app.put(SETTINGS, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({"error": error})), "{body}");
    }
    let malformed = app.put(SETTINGS, "{").await;
    assert_eq!(malformed.status.as_u16(), 400);
    let error = malformed.json()["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("message body does not match declared format"), "{error}");
    assert_eq!(app.get(SETTINGS).await.json(), expected(&json!({})));
}

#[tokio::test]
async fn what_the_configuration_file_forbids_cannot_be_switched_on() {
    let app = App::forbidden_by_file().await;
    let off = expected(&json!({"usage_ping_enabled": false}));
    assert_eq!(app.get(SETTINGS).await.json(), off);
    for body in [
        r#"{"usage_ping_enabled":true}"#,
        r#"{"usage_ping_enabled":true,"usage_ping_features_enabled":true}"#,
    ] {
        let answer = app.put(SETTINGS, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (200, off.clone()), "{body}");
    }
    // Payloads are made all the same.
    assert_eq!(app.post("/api/v4/tally/service_ping", "").await.status.as_u16(), 201);
}
