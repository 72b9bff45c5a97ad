//! The dictionary over HTTP.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tally_query::dictionary::{render_html, render_json};
use tally_schemas::Definitions;

use crate::app::with_app;

fn by_name<'a>(list: &'a Value, key: &str, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|entry| entry[key] == name);
    found.unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn everybody_may_read_every_definition_with_what_tally_makes_of_it() {
    with_app("dictionary", |app| async move {
        let answer = app.get("/dictionary.json", "").await;
        assert_eq!(answer.headers["content-type"], "application/json");
        let document = answer.json();
        let event = by_name(&document["events"], "action", "test_created");
        assert_eq!(event["counted"], true);
        assert_eq!(event["additional_properties"]["label"]["description"], "A label");
        let counted: Vec<&str> =
            event["metrics"].as_array().unwrap().iter().map(|key_path| key_path.as_str().unwrap()).collect();
        assert!(counted.contains(&"counts.created_or_closed_weekly"), "{counted:?}");
        assert!(!counted.contains(&"counts.removed"), "{counted:?}");
        assert_eq!(counted.iter().filter(|key_path| **key_path == "sums.minutes").count(), 1);
        assert!(event["file_path"].as_str().unwrap().ends_with("events/created.yml"));

        let metric = by_name(&document["metrics"], "key_path", "redis_hll_counters.test.users_weekly");
        assert_eq!(metric["time_frame"], "7d");
        assert_eq!(metric["computation"], "unique count");
        assert_eq!(
            metric["counters"],
            json!(["test_created.unique(user.id)", "test_closed.unique(user.id)"])
        );
        assert_eq!(metric["computed"], true);
        let rows = by_name(&document["metrics"], "key_path", "counts.rows");
        assert_eq!((&rows["computed"], &rows["computation"]), (&json!(false), &Value::Null));
        assert!(rows["not_computed_because"].as_str().unwrap().contains("database"), "{rows}");
        let removed = by_name(&document["metrics"], "key_path", "counts.removed");
        assert_eq!((&removed["status"], &removed["computed"]), (&json!("removed"), &json!(false)));
    });
}

#[test]
fn who_holds_a_form_already_is_told_so() {
    with_app("dictionary_tags", |app| async move {
        for path in ["/dictionary", "/dictionary.json"] {
            let first = app.get(path, "").await;
            assert_eq!(first.status, StatusCode::OK);
            let tag = first.headers["etag"].to_str().unwrap();
            for (sent, is_held) in [
                (tag.to_owned(), true),
                (format!("W/{tag}"), true),
                (format!("\"other\", {tag}"), true),
                ("*".to_owned(), true),
                ("\"other\"".to_owned(), false),
                (tag.trim_matches('"').to_owned(), false),
                (String::new(), false),
            ] {
                let request = Request::get(path).header("if-none-match", &sent);
                let answer = app.send(request, "", Body::empty()).await;
                let expected = if is_held { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
                assert_eq!((answer.status, answer.text.is_empty()), (expected, is_held), "{path}: {sent}");
                assert_eq!(answer.headers["etag"], tag, "{path}: {sent}");
            }
        }
    });
}

#[test]
fn the_page_may_run_its_own_script_and_style_and_nothing_else() {
    with_app("dictionary_page", |app| async move {
        let answer = app.get("/dictionary", "").await;
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        for element in ["script", "style"] {
            let (_, rest) = answer.text.split_once(&format!("<{element}>")).unwrap();
            let (content, _) = rest.split_once(&format!("</{element}>")).unwrap();
            let allowed = format!("{element}-src 'sha256-{}'", BASE64.encode(Sha256::digest(content)));
            assert!(policy.contains(&allowed), "{policy} without {allowed}");
        }
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        for loading in ["src=", "<link", "@import", "url("] {
            assert!(!answer.text.contains(loading), "{loading}");
        }
    });
}

/// A definition whose texts try to end the script element that holds them.
#[test]
fn texts_of_definitions_stay_texts() {
    let folder = tempfile::tempdir().unwrap();
    let event = "
description: '</script><script>alert(1)</script><!-- & more'
internal_events: true
action: sly
product_group: tally
milestone: '1.0'
introduced_by_url: https://example.com/1
tiers: [free]
";
    std::fs::write(folder.path().join("sly.yml"), event).unwrap();
    let definitions = Definitions::load(&[folder.path().to_string_lossy()]).unwrap();
    let page = render_html(&definitions);
    assert_eq!(page.matches("</script>").count(), 2, "one for the data, one for the script");
    let (_, data) = page.split_once("id=\"definitions\">").unwrap();
    let (data, _) = data.split_once("</script>").unwrap();
    let held: Value = serde_json::from_str(data).unwrap();
    assert_eq!(held, serde_json::from_str::<Value>(&render_json(&definitions)).unwrap());
    assert_eq!(held["events"][0]["description"], "</script><script>alert(1)</script><!-- & more");
}
