//! What is kept of people.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use tally_capture::{AddressPolicy, UserIdPolicy};
use tally_service::http::Peer;

use crate::app::{App, POST, payload};

#[tokio::test]
async fn addresses_are_dropped_unless_the_operator_wants_them() {
    for (policy, own, given) in [
        (AddressPolicy::Drop, "", ""),
        (AddressPolicy::Anonymise, "203.0.113.0", "198.51.100.0"),
        (AddressPolicy::Keep, "203.0.113.77", "198.51.100.9"),
    ] {
        let app = App::with(|config| config.privacy.ip_address = policy);
        assert_eq!(app.kept(json!({"e": "pv"})).await.ip_address, own);
        assert_eq!(app.kept(json!({"e": "pv", "ip": "198.51.100.9"})).await.ip_address, given);
        assert_eq!(app.kept(json!({"e": "pv", "ip": "nonsense"})).await.ip_address, own);
    }
    assert_eq!(App::new().kept(json!({"e": "pv"})).await.ip_address, "", "dropped by default");
}

#[tokio::test]
async fn proxies_are_believed_as_the_guard_believes_them() {
    let app = App::with(|config| config.privacy.ip_address = AddressPolicy::Keep);
    for (peer, expected) in [("10.0.0.1", "198.51.100.9"), ("192.0.2.1", "192.0.2.1")] {
        let request = Request::post(POST).header("x-forwarded-for", "198.51.100.9");
        let mut request = request.body(Body::from(payload(&[json!({"e": "pv"})]))).unwrap();
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
        assert_eq!(app.send(request).await.status, 200);
        assert_eq!(app.events().pop().unwrap().ip_address, expected);
    }
}

#[tokio::test]
async fn who_asks_for_anonymity_gets_it() {
    let app = App::with(|config| {
        config.privacy.ip_address = AddressPolicy::Keep;
        config.cookie.enabled = true;
    });
    let event = json!({"e": "pv", "ip": "198.51.100.9", "tnuid": "visitor"});
    let request = Request::post(POST)
        .header("sp-anonymous", "*")
        .header("cookie", "sp=c2de8d32-0d25-4b74-accf-6a50fa758a9c");
    let answer = app.send(request.body(Body::from(payload(&[event]))).unwrap()).await;
    assert_eq!(answer.header("set-cookie"), "");
    let event = app.events().pop().unwrap();
    assert_eq!((&*event.ip_address, &*event.network_user_id), ("", ""));
}

#[tokio::test]
async fn there_is_no_cookie_unless_the_operator_wants_one() {
    const VISITOR: &str = "c2de8d32-0d25-4b74-accf-6a50fa758a9c";
    let post = |tnuid: &str| {
        let request = Request::post(POST).header("cookie", format!("sp={VISITOR}"));
        request.body(Body::from(payload(&[json!({"e": "pv", "tnuid": tnuid})]))).unwrap()
    };
    let app = App::new();
    assert_eq!(app.send(post("")).await.header("set-cookie"), "");
    assert_eq!(app.events().pop().unwrap().network_user_id, "");

    let app = App::with(|config| config.cookie.enabled = true);
    let answer = app.send(post("")).await;
    assert!(answer.header("set-cookie").starts_with(&format!("sp={VISITOR}; ")));
    assert_eq!(app.events().pop().unwrap().network_user_id, VISITOR);
    app.send(post("from the tracker")).await;
    assert_eq!(app.events().pop().unwrap().network_user_id, "from the tracker");

    let answer = app.get("/i?e=pv&aid=site-key").await;
    let event = app.events().pop().unwrap();
    assert_eq!(event.network_user_id.len(), 36, "a newcomer");
    assert!(answer.header("set-cookie").contains(&event.network_user_id));
}

#[tokio::test]
async fn user_ids_become_pseudonyms_wherever_they_are_kept() {
    let mut key = tempfile::NamedTempFile::new().unwrap();
    writeln!(key, "an operator's secret").unwrap();
    let app = App::with(|config| {
        config.privacy.user_id = UserIdPolicy::Pseudonymise;
        config.privacy.pseudonym_key_file = key.path().to_owned();
    });
    let event = app.kept(json!({"e": "pv", "uid": "alice@example.com"})).await;
    assert_eq!(event.user_id.len(), 32);
    app.post(&[json!({"e": "pv"}), json!({"uid": "alice@example.com"})]).await;
    let letter = String::from_utf8(app.dead_letters()[0].payload.clone()).unwrap();
    assert!(letter.contains(&event.user_id) && !letter.contains("alice"), "{letter}");
}

#[tokio::test]
async fn a_dead_letter_names_nobody_whom_its_event_would_not_have_named() {
    let mut key = tempfile::NamedTempFile::new().unwrap();
    writeln!(key, "an operator's secret").unwrap();
    let app = App::with(|config| {
        config.privacy.user_id = UserIdPolicy::Pseudonymise;
        config.privacy.pseudonym_key_file = key.path().to_owned();
    });
    let url = "https://alice:secret@shop.example/cart";
    let events = [
        r#"{"uid":"alice","ip":"203.0.113.9","aid":"site-key"}"#.to_owned(),
        r#"{"uid":4711,"ip":["203.0.113.9"],"aid":"site-key"}"#.to_owned(),
        r#"{"uid":["alice"],"aid":"site-key"}"#.to_owned(),
        r#"{"uid":"alice","vid":1e999,"ip":"203.0.113.9"}"#.to_owned(),
        r#"{"uid":"alice","page":"\ud800","deep":DEEP}"#
            .replace("DEEP", &format!("{}{}", "[".repeat(200), "]".repeat(200))),
        format!(r#"{{"aid":"site-key","url":"{url}","refr":"{url}"}}"#),
        r#"[{"uid":"alice"}]"#.to_owned(),
        r#"{"\ud800":1,"uid":"alice"}"#.to_owned(),
    ];
    let body = payload(&[json!({"e": "pv"}), json!("EVENTS")]).replace(r#""EVENTS""#, &events.join(","));
    assert_eq!(app.post_body(body).await.status, 200);
    let letters = app.dead_letters();
    assert_eq!(letters.len(), events.len());
    for letter in letters {
        let kept = String::from_utf8(letter.payload).unwrap();
        for secret in ["alice", "4711", "203.0.113.9", "secret"] {
            assert!(!kept.contains(secret), "{kept}");
        }
    }
}

#[tokio::test]
async fn a_dead_letter_of_who_asks_for_anonymity_has_neither_address_nor_visitor() {
    let app = App::with(|config| config.privacy.ip_address = AddressPolicy::Keep);
    let refused =
        json!({"e": "xx", "ip": "198.51.100.9", "tnuid": "visitor", "nuid": "other", "uid": "alice"});
    let body = payload(&[json!({"e": "pv"}), refused]);
    let request = Request::post(POST).header("sp-anonymous", "*").body(Body::from(body)).unwrap();
    assert_eq!(app.send(request).await.status, 200);
    let kept: serde_json::Value = serde_json::from_slice(&app.dead_letters()[0].payload).unwrap();
    let expected =
        json!({"e": "xx", "ip": null, "tnuid": null, "nuid": null, "uid": "alice", "aid": "site-key"});
    assert_eq!(kept, expected);
}
