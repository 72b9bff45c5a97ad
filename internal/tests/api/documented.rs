//! Holds answers against the OpenAPI document.

use axum::http::response::Parts;
use serde_json::Value;

/// Whatever an endpoint answers is documented, faults of ours excepted: the status, the type, and which of several forms.
pub fn assert_documented(document: &Value, method: &str, path: &str, answer: &Parts, body: &str) {
    let path = format!("/api/v4{}", path.split('?').next().unwrap());
    let is_it = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let paths = document["paths"].as_object().unwrap();
    let (_, item) = paths.iter().find(|(template, _)| is_it(template)).expect("every path is documented");
    let Some(operation) = item.get(method.to_lowercase()) else { return };
    let status = answer.status;
    let response = resolved(document, &operation["responses"][status.as_str()]);
    if response.is_null() {
        assert_eq!(status, 500, "{method} {path} answers {status}");
        return;
    }
    let content_type = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
    let documented = response["content"].as_object().map(|content| content.keys().collect::<Vec<_>>());
    assert_eq!(
        content_type.into_iter().collect::<Vec<_>>(),
        documented.unwrap_or_default(),
        "{method} {path} answers {status}"
    );
    if let Some(forms) = response["content"]["application/json"].get("schema") {
        let forms = resolved(document, forms);
        let Some(forms) = forms["oneOf"].as_array() else { return };
        let body = serde_json::from_str(body).unwrap();
        let fitting = forms.iter().filter(|form| fits(resolved(document, form), &body)).count();
        assert_eq!(fitting, 1, "{method} {path} answers {status}, {body}: of {forms:?}");
    }
}

/// What a reference leads to.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
        None => value,
    }
}

/// Whether the body has all fields that an object of this form must have, none that it must not, and texts where they
/// belong.
fn fits(form: &Value, body: &Value) -> bool {
    if form["type"] == "null" || !body.is_object() {
        return body.is_null() == (form["type"] == "null");
    }
    let required = form["required"].as_array().into_iter().flatten();
    let has_all = required.into_iter().all(|name| body.get(name.as_str().unwrap()).is_some());
    let is_closed = form["additionalProperties"] == false;
    let is_known = |name: &String| form["properties"].get(name).is_some();
    let is_text = |(name, value): (&String, &Value)| {
        let documented = &form["properties"][name]["type"];
        let is_text =
            documented == "string" || documented.as_array().is_some_and(|of| of.contains(&"string".into()));
        documented.is_null() || value.is_null() || is_text == value.is_string()
    };
    let fields = body.as_object().unwrap();
    has_all && (!is_closed || fields.keys().all(is_known)) && fields.iter().all(is_text)
}
