//! The OpenAPI document says what the endpoints answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::access::ENDPOINTS;
use crate::app::{Answer, App, ROOT, request};

fn document() -> Value {
    serde_json::to_value(tally_ping::http::document()).unwrap()
}

/// The path as the document names it.
fn documented_path(path: &str) -> String {
    path.replace("/features/some", "/features/{name}")
}

#[test]
fn every_endpoint_is_documented_with_its_scopes_and_no_other() {
    let document = document();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let offered: BTreeSet<String> =
        ENDPOINTS.iter().map(|(method, path, _)| format!("{method} {}", documented_path(path))).collect();
    assert_eq!(documented, offered);
    for (method, path, scopes) in ENDPOINTS {
        let operation = &document["paths"][documented_path(path)][method.to_lowercase()];
        let sentence = format!("For administrators. Scope: `{}`.", scopes.replace(' ', "` or `"));
        let description = operation["description"].as_str().unwrap();
        assert!(description.ends_with(&sentence), "{method} {path}: {description}");
    }
}

fn assert_documented(document: &Value, method: &str, path: &str, answer: &Answer) {
    let operation = &document["paths"][documented_path(path)][method.to_lowercase()];
    let mut response = &operation["responses"][answer.status.as_str()];
    if let Some(reference) = response["$ref"].as_str() {
        response = document.pointer(reference.trim_start_matches('#')).unwrap();
    }
    assert!(response.is_object(), "{method} {path} answers {}", answer.status);
    let documented: Vec<&str> =
        response["content"].as_object().into_iter().flat_map(|of| of.keys()).map(String::as_str).collect();
    let answered = answer.header("content-type").map(|of| of.split(';').next().unwrap());
    assert_eq!(documented, answered.into_iter().collect::<Vec<_>>(), "{method} {path} {}", answer.status);
}

#[tokio::test]
async fn statuses_and_types_of_answers_are_documented() {
    let document = document();
    let app = App::start().await;
    for (method, path, _) in ENDPOINTS {
        for token in ["", ROOT, "glpat-alice", "nobody"] {
            for body in ["", "{", r#"{"value":"true","version_check_enabled":"maybe"}"#] {
                let answer = app.send(request(method, path).header("PRIVATE-TOKEN", token), body).await;
                assert_documented(&document, method, path, &answer);
            }
        }
    }
    let settings =
        app.put("/api/v4/application/settings", r#"{"usage_ping_generation_enabled":false}"#).await;
    assert_documented(&document, "PUT", "/api/v4/application/settings", &settings);
    let refused = app.post("/api/v4/tally/service_ping", "").await;
    assert_eq!(
        refused.json()["message"],
        json!("400 Bad request - the setting usage_ping_generation_enabled is off")
    );
    assert_documented(&document, "POST", "/api/v4/tally/service_ping", &refused);
}
