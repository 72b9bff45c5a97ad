//! What the collector offers, and that its document says so.

use std::collections::BTreeSet;

use serde_json::Value;

#[test]
fn every_route_is_documented_as_open_to_everybody() {
    let document = serde_json::to_value(tally_collect::document()).unwrap();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.insert(format!("{method} {path}"));
            assert_eq!(operation["security"], serde_json::json!([{}]), "{method} {path}");
            assert!(
                operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()),
                "{method} {path}"
            );
        }
    }
    let offered = [
        "get /",
        "get /check.json",
        "get /check.png",
        "get /check.svg",
        "get /collector.css",
        "get /usage_data/new",
        "post /usage_data",
        "post /usage_data/new",
        "post /usage_ping_errors",
        "post /usage_ping_metadata",
    ];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), offered);
    let content = &document["paths"]["/usage_data"]["post"]["requestBody"]["content"];
    let kinds: Vec<&String> = content.as_object().map(serde_json::Map::keys).into_iter().flatten().collect();
    assert_eq!(kinds, ["application/json", "multipart/form-data"], "{content}");
    assert_ne!(document["components"]["schemas"]["Receipt"], Value::Null);
}
