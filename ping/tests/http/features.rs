//! Feature flags over HTTP, in GitLab's forms.

use serde_json::{Value, json};

use crate::app::{App, ROOT, request};

const FEATURES: &str = "/api/v4/features";

fn feature(name: &str, enabled: bool, definition: &Value) -> Value {
    let state = if enabled { "on" } else { "off" };
    json!({"name": name, "state": state, "gates": [{"key": "boolean", "value": enabled}], "definition": definition})
}

#[tokio::test]
async fn flags_are_set_listed_and_taken_back() {
    let app = App::start().await;
    assert_eq!(app.get(FEATURES).await.json(), json!([]));
    let known = json!({"name": "usage_data_queries_api", "type": "ops", "default_enabled": false});
    for (name, body, enabled, definition) in [
        ("usage_data_queries_api", r#"{"value":"true"}"#, true, &known),
        ("usage_data_queries_api", r#"{"value":false}"#, false, &known),
        ("usage_data_queries_api", r#"{"value":true}"#, true, &known),
        ("other", r#"{"value":true,"force":true}"#, true, &Value::Null),
        ("other", r#"{"value":0}"#, false, &Value::Null),
    ] {
        let answer = app.post(&format!("{FEATURES}/{name}"), body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()),
            (201, feature(name, enabled, definition)),
            "{name} {body}"
        );
    }
    let listed =
        json!([feature("other", false, &Value::Null), feature("usage_data_queries_api", true, &known)]);
    assert_eq!(app.get(FEATURES).await.json(), listed);
    for name in ["usage_data_queries_api", "never_set"] {
        let answer = app.delete(&format!("{FEATURES}/{name}")).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""), "{name}");
    }
    let states: Vec<Value> =
        app.get(FEATURES).await.json().as_array().unwrap().iter().map(|flag| flag["state"].clone()).collect();
    assert_eq!(states, ["off", "off"]);
}

#[tokio::test]
async fn a_flag_takes_true_and_false_and_is_everybodys() {
    let app = App::start().await;
    for (body, error) in [
        ("", "value is missing"),
        ("{}", "value is missing"),
        (r#"{"value":null}"#, "value is invalid"),
        (r#"{"value":"maybe"}"#, "value is invalid"),
        (r#"{"value":30}"#, "value is invalid"),
        (r#"{"value":["true"]}"#, "value is invalid"),
        (r#"{"value":"true","user":"alice"}"#, "user is not supported"),
        (r#"{"value":"30","key":"percentage_of_time"}"#, "value is invalid, key is not supported"),
    ] {
        let answer = app.post(&format!("{FEATURES}/some"), body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({"error": error})), "{body}");
    }
    let long = "x".repeat(256);
    let answer = app.post(&format!("{FEATURES}/{long}"), r#"{"value":"true"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({"error": "name is invalid"})));
    let no_text = app.post(&format!("{FEATURES}/%ff"), r#"{"value":"true"}"#).await;
    assert_eq!((no_text.status.as_u16(), no_text.json()), (404, json!({"message": "404 Not Found"})));
    assert_eq!(app.get(FEATURES).await.json(), json!([]));
}

#[tokio::test]
async fn a_form_sets_a_flag_as_gitlabs_documentation_shows() {
    let app = App::start().await;
    let form = request("POST", "/api/v4/features/some")
        .header("PRIVATE-TOKEN", ROOT)
        .header("Content-Type", "application/x-www-form-urlencoded");
    let answer = app.send(form, "value=true").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (201, feature("some", true, &Value::Null)));
}
