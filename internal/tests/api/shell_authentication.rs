//! Who gets in: holders of the shared secret, in each of the ways to show it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::shell::{SECRET, Shell};
use crate::world::{NOW, sign};

/// Every endpoint behind the shared secret.
const ENDPOINTS: [(&str, &str); 9] = [
    ("POST", "allowed"),
    ("POST", "lfs_authenticate"),
    ("GET", "authorized_keys"),
    ("GET", "discover"),
    ("GET", "check"),
    ("POST", "two_factor_recovery_codes"),
    ("POST", "personal_access_token"),
    ("POST", "pre_receive"),
    ("POST", "post_receive"),
];

fn unauthorized() -> (u16, Value) {
    (401, json!({"message": "401 Unauthorized"}))
}

fn claims() -> Value {
    let now = NOW.parse::<Timestamp>().unwrap().as_second();
    json!({"iss": "gitlab-shell", "iat": now, "exp": now + 60})
}

async fn status_with(shell: &Shell, headers: &[(&str, &str)]) -> u16 {
    let answer = shell.send("GET", "check", headers, "").await.parts();
    if answer.0 == 401 {
        assert_eq!(answer, unauthorized());
    }
    answer.0
}

#[tokio::test]
async fn every_endpoint_asks_for_the_secret() {
    let shell = Shell::start().await;
    let wrong = STANDARD.encode("another secret");
    for (method, path) in ENDPOINTS {
        assert_eq!(shell.send(method, path, &[], "{}").await.parts(), unauthorized(), "{path}");
        let headers = [("Gitlab-Shared-Secret", wrong.as_str())];
        assert_eq!(shell.send(method, path, &headers, "{}").await.parts(), unauthorized(), "{path}");
        let user_token = [("PRIVATE-TOKEN", "glpat-taken")];
        assert_eq!(shell.send(method, path, &user_token, "{}").await.parts(), unauthorized(), "{path}");
        let right = STANDARD.encode(SECRET);
        let answer = shell.send(method, path, &[("Gitlab-Shared-Secret", &right)], "{}").await;
        assert_ne!(answer.parts(), unauthorized(), "{path}");
    }
}

#[tokio::test]
async fn whoever_shows_nothing_is_not_told_what_is_wrong_with_the_query() {
    let shell = Shell::start().await;
    let path = format!("discover?{}", "a=1&".repeat(101));
    assert_eq!(shell.send("GET", &path, &[], "").await.parts(), unauthorized());
    let right = STANDARD.encode(SECRET);
    let answer = shell.send("GET", &path, &[("Gitlab-Shared-Secret", &right)], "").await;
    assert_eq!(answer.parts(), (400, json!({"error": "the query string has too many parameters"})));
}

#[tokio::test]
async fn the_secret_is_taken_from_the_header_in_base64() {
    let shell = Shell::start().await;
    for (shown, expected) in [
        (STANDARD.encode(SECRET), 200),
        (STANDARD.encode(format!("{SECRET}\n")), 200),
        (SECRET.to_owned(), 401),
        (STANDARD.encode(""), 401),
        (STANDARD.encode(&SECRET[1..]), 401),
        ("%%%".to_owned(), 401),
    ] {
        assert_eq!(status_with(&shell, &[("Gitlab-Shared-Secret", &shown)]).await, expected, "{shown}");
    }
}

#[tokio::test]
async fn the_secret_is_taken_from_the_parameter_as_it_is() {
    let shell = Shell::start().await;
    let json_type = ("Content-Type", "application/json");
    let form_type = ("Content-Type", "application/x-www-form-urlencoded");
    let rows = [
        ("GET", "check?secret_token=shell%27s+secret", json_type, "", 200),
        ("GET", "check?secret_token=another", json_type, "", 401),
        ("GET", "check?secret_token=", json_type, "", 401),
        ("GET", "check", json_type, r#"{"secret_token":"shell's secret"}"#, 401),
        ("POST", "pre_receive?secret_token=shell%27s%20secret&gl_repository=project-3", json_type, "", 200),
        (
            "POST",
            "pre_receive",
            json_type,
            r#"{"secret_token":"shell's secret","gl_repository":"project-3"}"#,
            200,
        ),
        ("POST", "pre_receive", json_type, r#"{"secret_token":"another","gl_repository":"project-3"}"#, 401),
        ("POST", "pre_receive", json_type, r#"{"secret_token":["shell's secret"]}"#, 401),
        ("POST", "pre_receive", form_type, "secret_token=shell%27s+secret&gl_repository=project-3", 200),
        ("POST", "pre_receive", form_type, "secret_token=another&gl_repository=project-3", 401),
        // Whoever shows nothing isn't told what is wrong with the body.
        ("POST", "pre_receive", json_type, "{", 401),
        ("POST", "pre_receive", ("Content-Type", "text/xml"), "<a/>", 401),
        ("POST", "pre_receive?secret_token=shell%27s+secret", json_type, "{", 400),
        ("POST", "pre_receive?secret_token=shell%27s+secret", ("Content-Type", "text/xml"), "<a/>", 415),
        // What is shown first decides.
        ("POST", "pre_receive?secret_token=another", json_type, r#"{"secret_token":"shell's secret"}"#, 401),
    ];
    for (method, path, content_type, body, expected) in rows {
        let answer = shell.send(method, path, &[content_type], body).await;
        assert_eq!(answer.status, expected, "{method} {path} {body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_token_is_good_while_it_is_in_force() {
    let shell = Shell::start().await;
    let now = NOW.parse::<Timestamp>().unwrap().as_second();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        sign(SECRET, Algorithm::HS256, &claims)
    };
    let right = STANDARD.encode(SECRET);
    for (token, expected) in [
        (sign(SECRET, Algorithm::HS256, &claims()), 200),
        (with("exp", json!(now - 59)), 200),
        (with("exp", json!(now - 60)), 401),
        (with("exp", json!(null)), 401),
        (with("iat", json!(now + 60)), 200),
        (with("iat", json!(now + 61)), 401),
        (with("iat", json!(null)), 401),
        (with("nbf", json!(now + 61)), 401),
        (with("iss", json!("gitlab-kas")), 401),
        (with("iss", json!(null)), 401),
        (sign("another secret", Algorithm::HS256, &claims()), 401),
        (sign(SECRET, Algorithm::HS384, &claims()), 401),
        (SECRET.to_owned(), 401),
        (String::new(), 401),
    ] {
        let headers = [("Gitlab-Shell-Api-Request", token.as_str())];
        assert_eq!(status_with(&shell, &headers).await, expected, "{token}");
        // A token that is shown decides, whatever else is.
        let headers = [("Gitlab-Shared-Secret", right.as_str()), headers[0]];
        assert_eq!(status_with(&shell, &headers).await, expected, "{token} and the secret");
    }
}

#[tokio::test]
async fn a_secret_is_rotated_without_a_restart() {
    let shell = Shell::start().await;
    let header = |secret: &str| STANDARD.encode(secret);
    let token = |secret: &str| sign(secret, Algorithm::HS256, &claims());
    let steps = [
        ("new\nshell's secret\n", [200, 200]),
        ("new\n", [401, 200]),
        ("\n", [401, 200]),
        (SECRET, [200, 401]),
    ];
    for (content, expected) in steps {
        shell.write_secrets(content);
        for (secret, expected) in [SECRET, "new"].into_iter().zip(expected) {
            let shared = status_with(&shell, &[("Gitlab-Shared-Secret", &header(secret))]).await;
            let signed = status_with(&shell, &[("Gitlab-Shell-Api-Request", &token(secret))]).await;
            assert_eq!((shared, signed), (expected, expected), "{secret} with {content:?}");
        }
    }
}

#[tokio::test]
async fn without_a_secret_file_nobody_gets_in() {
    let shell = Shell::configured(|config| config.shared_secret_file = std::path::PathBuf::new()).await;
    for shown in ["", &STANDARD.encode(SECRET)] {
        assert_eq!(status_with(&shell, &[("Gitlab-Shared-Secret", shown)]).await, 401);
    }
    let empty_key = sign("", Algorithm::HS256, &claims());
    assert_eq!(status_with(&shell, &[("Gitlab-Shell-Api-Request", &empty_key)]).await, 401);
}
