//! Keys and the people behind them: finding them, and what is made for them.

use std::collections::HashSet;

use serde_json::{Value, json};
use tally_directory::SecretHash;

use crate::shell::{Shell, key_body};

const RECOVERY: &str = "two_factor_recovery_codes";
const TOKEN: &str = "personal_access_token";

fn failed(message: &str) -> (u16, Value) {
    (200, json!({"success": false, "message": message}))
}

async fn authorized(shell: &Shell, key: &str) -> (u16, Value) {
    let key = key.replace('+', "%2B").replace('=', "%3D").replace(' ', "%20");
    shell.get(&format!("authorized_keys?key={key}")).await
}

#[tokio::test]
async fn a_key_is_found_by_its_body() {
    let shell = Shell::start().await;
    let body = key_body("alice");
    let expected = json!({
        "id": 1, "title": "alice's key", "key": format!("ssh-ed25519 {body} Alice A (tally.example.com)"),
        "created_at": "2026-01-02T03:04:05.000Z", "expires_at": null, "last_used_at": null, "usage_type": "auth",
    });
    assert_eq!(authorized(&shell, &body).await, (200, expected));
    let (status, answer) = authorized(&shell, &key_body("dev")).await;
    assert_eq!((status, &answer["id"]), (200, &json!(8)));
    assert_eq!(answer["expires_at"], "2026-03-01T12:00:01.000Z");
    assert_eq!(answer["last_used_at"], "2026-02-01T00:00:00.000Z");
    assert_eq!(answer["usage_type"], "auth_and_signing");
    let (status, answer) = authorized(&shell, &key_body("reading")).await;
    assert_eq!((status, &answer["id"]), (200, &json!(2)));
}

#[tokio::test]
async fn a_key_that_does_not_sign_in_is_not_found() {
    let shell = Shell::start().await;
    let alice = key_body("alice");
    let not_found = (404, json!({"message": "404 Key Not Found"}));
    let unauthorized = (401, json!({"message": "401 Unauthorized"}));
    for (key, expected) in [
        (key_body("unknown"), &not_found),
        (key_body("expired"), &not_found),
        (key_body("off"), &not_found),
        (key_body("signing"), &not_found),
        (alice[..8].to_owned(), &not_found),
        (alice[..alice.len() - 1].to_owned(), &not_found),
        (format!("ssh-ed25519 {alice}"), &not_found),
        ("not Base64!".to_owned(), &not_found),
        (String::new(), &not_found),
        (key_body("blocked"), &unauthorized),
        (key_body("gone"), &unauthorized),
    ] {
        assert_eq!(&authorized(&shell, &key).await, expected, "{key}");
    }
    let missing = (400, json!({"error": "key is missing"}));
    assert_eq!(shell.get("authorized_keys").await, missing);
    assert_eq!(shell.get("authorized_keys?other=1").await, missing);
}

#[tokio::test]
async fn a_user_is_found_by_key_id_or_name() {
    let shell = Shell::start().await;
    let alice = json!({"id": 2, "name": "Alice A", "username": "alice"});
    let rows = [
        ("discover?key_id=1", alice.clone()),
        ("discover?username=alice", alice.clone()),
        ("discover?user_id=2", alice.clone()),
        ("discover?key_id=1&username=dev", alice),
        ("discover?username=blocked", json!({"id": 7, "name": "blocked", "username": "blocked"})),
        ("discover?key_id=4", Value::Null),
        ("discover?key_id=99", Value::Null),
        ("discover?key_id=x", Value::Null),
        ("discover?key_id=2", Value::Null),
        ("discover?key_id=99&username=alice", Value::Null),
        ("discover?username=nobody", Value::Null),
        ("discover?user_id=99", Value::Null),
        ("discover", Value::Null),
    ];
    for (path, expected) in rows {
        assert_eq!(shell.get(path).await, (200, expected), "{path}");
    }
}

#[tokio::test]
async fn recovery_codes_replace_those_before() {
    let shell = Shell::start().await;
    let mut before: HashSet<String> = ["old code".to_owned()].into();
    for who in [json!({"key_id": 9}), json!({"user_id": 10})] {
        let (status, answer) = shell.post(RECOVERY, &who).await;
        let codes: Vec<String> = serde_json::from_value(answer["recovery_codes"].clone()).unwrap();
        assert_eq!((status, &answer["success"], codes.len()), (200, &json!(true), 10));
        assert!(
            codes.iter().all(|code| code.len() == 16 && code.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
        assert!(codes.iter().all(|code| !before.contains(code)));
        let kept = shell.directory.read().user(10).unwrap().recovery_codes.clone();
        assert_eq!(kept, codes.iter().map(|code| SecretHash::of(code)).collect::<Vec<_>>());
        before = codes.into_iter().collect();
        assert_eq!(before.len(), 10, "each is another");
    }
}

#[tokio::test]
async fn recovery_codes_are_for_users_with_a_second_factor() {
    let shell = Shell::start().await;
    let rows = [
        (json!({"key_id": 99}), "Could not find the given key"),
        (json!({"key_id": 4}), "Could not find the given key"),
        (json!({}), "Could not find the given key"),
        (json!({"key_id": 11}), "Could not find a user for the given key"),
        (json!({"user_id": 99}), "Could not find the given user"),
        (json!({"user_id": "x"}), "Could not find the given user"),
        (json!({"username": "nobody"}), "Could not find the given user"),
        (json!({"key_id": 2}), "Deploy keys cannot be used to retrieve recovery codes"),
        (json!({"key_id": 3}), "Deploy keys cannot be used to retrieve recovery codes"),
        (json!({"key_id": 1}), "Two-factor authentication is not enabled for this user"),
        (json!({"user_id": 2}), "Two-factor authentication is not enabled for this user"),
    ];
    for (who, message) in rows {
        assert_eq!(shell.post(RECOVERY, &who).await, failed(message), "{who}");
    }
    assert_eq!(shell.directory.read().user(10).unwrap().recovery_codes, [SecretHash::of("old code")]);
}

#[tokio::test]
async fn a_token_is_shown_once_and_signs_in() {
    let shell = Shell::start().await;
    let rows = [
        (
            json!({"key_id": 1, "name": "a", "scopes": ["read_api", "api", "api"], "expires_at": "2026-12-31"}),
            json!({"scopes": ["read_api", "api"], "expires_at": "2026-12-31"}),
        ),
        (
            json!({"user_id": 2, "name": "b", "scopes": ["api"]}),
            json!({"scopes": ["api"], "expires_at": null}),
        ),
        (
            json!({"user_id": 2, "name": "c", "scopes": ["read_user"], "expires_at": ""}),
            json!({"scopes": ["read_user"], "expires_at": null}),
        ),
    ];
    for (call, expected) in rows {
        let (status, answer) = shell.post(TOKEN, &call).await;
        let token = answer["token"].as_str().unwrap_or_else(|| panic!("{call}: {answer}")).to_owned();
        assert!(token.starts_with("glpat-") && token.len() == 26, "{token}");
        let principal = shell.directory.authenticate(&token, shell.now()).unwrap();
        assert_eq!((principal.user_id, principal.token_name.as_str()), (2, call["name"].as_str().unwrap()));
        let mut expected = expected;
        expected["success"] = json!(true);
        expected["token"] = json!(token);
        assert_eq!((status, answer), (200, expected), "{call}");
        let mut exported = Vec::new();
        shell.directory.export(&mut exported).unwrap();
        let exported = String::from_utf8(exported).unwrap();
        assert!(!exported.contains(&token) && exported.contains(&SecretHash::of(&token).to_hex()));
    }
    let form = "key_id=1&name=d&scopes[]=api&scopes[]=read_api&expires_at=2027-01-01";
    let (_, answer) = shell.post_form(TOKEN, form).await;
    assert_eq!(answer["scopes"], json!(["api", "read_api"]));
}

#[tokio::test]
async fn what_is_wrong_with_a_wish_for_a_token_is_told() {
    let shell = Shell::start().await;
    let scopes = r#"Valid scopes are: ["ai_workflows", "api", "read_api", "read_service_ping", "read_user"]"#;
    let invalid_scope = |scope: &str| format!("Invalid scope: '{scope}'. {scopes}");
    let invalid_date = |date: &str| format!("Invalid token expiry date: '{date}'");
    let rows = [
        (json!({"key_id": 99}), "Could not find the given key".to_owned()),
        (json!({}), "Could not find the given key".to_owned()),
        (json!({"key_id": 11}), "Could not find a user for the given key".to_owned()),
        (json!({"user_id": 99}), "Could not find the given user".to_owned()),
        (json!({"key_id": 2}), "Deploy keys cannot be used to create personal access tokens".to_owned()),
        (json!({"key_id": 3}), "Deploy keys cannot be used to create personal access tokens".to_owned()),
        (json!({"key_id": 1}), "No token name specified".to_owned()),
        (json!({"key_id": 1, "name": " "}), "No token name specified".to_owned()),
        (json!({"key_id": 1, "name": "n"}), "No token scopes specified".to_owned()),
        (json!({"key_id": 1, "name": "n", "scopes": []}), "No token scopes specified".to_owned()),
        (
            json!({"key_id": 1, "name": "n", "scopes": ["api", "badscope", "worse"]}),
            invalid_scope("badscope"),
        ),
        (
            json!({"key_id": 1, "name": "n", "scopes": ["badscope"], "expires_at": "never"}),
            invalid_scope("badscope"),
        ),
        (
            json!({"key_id": 1, "name": "n", "scopes": ["api"], "expires_at": "invalid-date"}),
            invalid_date("invalid-date"),
        ),
        (json!({"key_id": 1, "name": "n", "scopes": ["api"], "expires_at": 5}), invalid_date("5")),
        (
            json!({"key_id": 1, "name": "n", "scopes": ["api"], "expires_at": "2026-03-01"}),
            invalid_date("2026-03-01"),
        ),
        (
            json!({"key_id": 1, "name": "taken", "scopes": ["api"]}),
            "Failed to create token: Name has already been taken".to_owned(),
        ),
        (
            json!({"key_id": 7, "name": "n", "scopes": ["api"]}),
            "Failed to create token: Not permitted to create".to_owned(),
        ),
        (
            json!({"key_id": 1, "name": "n".repeat(256), "scopes": ["api"]}),
            "Failed to create token: Name is too long (maximum is 255 characters)".to_owned(),
        ),
    ];
    for (call, message) in rows {
        assert_eq!(shell.post(TOKEN, &call).await, failed(&message), "{call}");
    }
    assert_eq!(shell.directory.read().tokens().len(), 1);
}
