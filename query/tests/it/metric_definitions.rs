//! The metric definitions as YAML.

use axum::http::StatusCode;

use crate::app::with_app;

const PATH: &str = "/api/v4/usage_data/metric_definitions";

#[test]
fn definitions_are_yaml_for_everybody_one_a_key_path() {
    with_app("definitions", |app| async move {
        let answer = app.get(PATH, "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], "application/yaml");
        assert!(answer.text.starts_with("---\n- "), "{}", answer.text);
        let documents: Vec<serde_yaml_ng::Value> = serde_yaml_ng::from_str(&answer.text).unwrap();
        let mut summary: Vec<String> = documents
            .iter()
            .map(|document| {
                let text = |key: &str| document[key].as_str().unwrap_or("").to_owned();
                [text("key_path"), text("time_frame"), text("status"), text("file_path")].join(" ")
            })
            .collect();
        summary.sort();
        insta::assert_debug_snapshot!(summary);
        assert_eq!(documents[0]["tiers"].as_sequence().unwrap().len(), 3, "all fields are there");
    });
}

#[test]
fn the_document_calls_them_a_sequence_of_objects() {
    let document = serde_json::to_value(tally_query::document()).unwrap();
    let answer = &document["paths"][PATH]["get"]["responses"]["200"]["content"]["application/yaml"]["schema"];
    assert_eq!((&answer["type"], &answer["items"]["type"]), (&"array".into(), &"object".into()));
}

#[test]
fn paths_are_added_on_request_only() {
    with_app("definition_paths", |app| async move {
        let with_paths = app.get(&format!("{PATH}?include_paths=true"), "").await.text;
        assert_eq!(with_paths.matches("file_path: ").count(), with_paths.matches("key_path: ").count());
        for (query, is_asked_for) in [
            ("include_paths=false", false),
            ("include_paths=", false),
            ("include_paths=FALSE", false),
            ("include_paths=Yes", true),
            ("include_paths=ON", true),
            ("include_paths=maybe&include_paths=true", true),
            ("include_paths=true&include_paths=0", false),
        ] {
            let answer = app.get(&format!("{PATH}?{query}"), "").await;
            assert_eq!(
                (answer.status, answer.text.contains("file_path: ")),
                (StatusCode::OK, is_asked_for),
                "{query}"
            );
        }
        let answer = app.get(&format!("{PATH}?include_paths=maybe"), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.text, r#"{"error":"include_paths is invalid"}"#);
    });
}
