//! Holds answers against the OpenAPI document.

use axum::http::StatusCode;
use serde_json::Value;

/// Whatever an endpoint answers is documented, faults of ours excepted.
pub fn assert_documented(document: &Value, method: &str, path: &str, status: StatusCode) {
    let path = format!("/api/v4{}", path.split('?').next().unwrap());
    let is_it = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let paths = document["paths"].as_object().unwrap();
    let (_, item) = paths.iter().find(|(template, _)| is_it(template)).expect("every path is documented");
    let Some(operation) = item.get(method.to_lowercase()) else { return };
    let is_documented = !operation["responses"][status.as_str()].is_null();
    assert!(is_documented || status == 500, "{method} {path} answers {status}");
}
