//! The agent server: who it must be, what it is told about agents and projects.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::world::{AGENT, KAS_SECRET, NOW, OLD_KAS_SECRET, World, kas_token, sign};

const SIGNED: &str = "Gitlab-Kas-Api-Request";

/// Endpoint, body, and whether an agent is meant.
fn endpoints() -> [(&'static str, &'static str, Option<Value>, bool); 4] {
    [
        ("GET", "/internal/kubernetes/agent_info", None, true),
        ("GET", "/internal/kubernetes/project_info?id=101", None, true),
        ("POST", "/internal/kubernetes/usage_metrics", Some(json!({})), false),
        ("POST", "/internal/kubernetes/modules/cilium_alert", Some(json!({"alert": {}})), true),
    ]
}

#[tokio::test]
async fn only_the_agent_server_gets_in() {
    let world = World::new();
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_second();
    let claims = json!({"iss": "gitlab-kas", "iat": now, "exp": now + 5});
    let with = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        sign(KAS_SECRET, Algorithm::HS256, &claims)
    };
    let bearer = format!("Bearer {AGENT}");
    let rows = [
        (None, false),
        (Some(String::new()), false),
        (Some(KAS_SECRET.to_owned()), false),
        (Some("a.b.c".to_owned()), false),
        (Some(sign("another secret", Algorithm::HS256, &claims)), false),
        (Some(sign(KAS_SECRET, Algorithm::HS512, &claims)), false),
        (Some(with("iss", json!("gitlab-shell"))), false),
        (Some(with("iss", json!(null))), false),
        (Some(with("exp", json!(now - 61))), false),
        (Some(with("iat", json!(now + 61))), false),
        (Some(with("nbf", json!(now + 61))), false),
        (Some(with("exp", json!(now - 59))), true),
        (Some(with("iat", json!(now + 59))), true),
        (Some(sign(OLD_KAS_SECRET, Algorithm::HS256, &claims)), true),
        (Some(kas_token()), true),
    ];
    for (method, path, body, _) in endpoints() {
        for (signed, gets_in) in &rows {
            let mut headers = vec![("Authorization", bearer.as_str())];
            headers.extend(signed.as_deref().map(|signed| (SIGNED, signed)));
            let answer = world.call(method, path, &headers, body.as_ref()).await;
            if *gets_in {
                assert!(answer.status.is_success(), "{path} {signed:?}: {answer:?}");
            } else {
                assert_eq!(
                    answer.parts(),
                    (401, json!({"message": "401 Unauthorized"})),
                    "{path} {signed:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_secret_is_rotated_without_a_restart() {
    let world = World::new();
    let path = "/internal/kubernetes/usage_metrics";
    let signed = kas_token();
    let status = || async { world.call("POST", path, &[(SIGNED, &signed)], None).await.status.as_u16() };
    assert_eq!(status().await, 204);
    world.rotate_kas_secret(&format!("the secret to come\n{KAS_SECRET}\n"));
    assert_eq!(status().await, 204);
    world.rotate_kas_secret("the secret to come\n");
    assert_eq!(status().await, 401);
}

#[tokio::test]
async fn a_secret_in_base64_signs_as_it_is_and_decoded() {
    let world = World::new();
    let claims = json!({"iss": "gitlab-kas", "aud": "gitlab-kas", "exp": 4_000_000_000_i64});
    let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
    for (line, key, status) in [
        (encoded(&[7; 32]), vec![7; 32], 204),
        (encoded(&[7; 32]), encoded(&[7; 32]).into_bytes(), 204),
        (encoded(&[7; 32]), vec![8; 32], 401),
        (encoded(&[7; 16]), vec![7; 16], 401),
        (encoded(&[7; 16]), encoded(&[7; 16]).into_bytes(), 204),
    ] {
        world.rotate_kas_secret(&format!("one that is to come\n{line}\n"));
        let signed = sign(&key, Algorithm::HS256, &claims);
        let path = "/internal/kubernetes/usage_metrics";
        let answer = world.call("POST", path, &[(SIGNED, &signed)], None).await;
        assert_eq!(answer.status.as_u16(), status, "{line} {key:?}");
    }
}

#[tokio::test]
async fn where_an_agent_is_meant_its_token_must_be_shown() {
    let world = World::new();
    let signed = kas_token();
    let forbidden = (403, json!({"message": "403 Forbidden"}));
    for (method, path, body, needs_agent) in endpoints() {
        for token in [None, Some("Bearer nobody"), Some("Bearer "), Some(AGENT), Some("Basic x")] {
            let mut headers = vec![(SIGNED, signed.as_str())];
            headers.extend(token.map(|token| ("Authorization", token)));
            let answer = world.call(method, path, &headers, body.as_ref()).await;
            if needs_agent {
                assert_eq!(answer.parts(), forbidden, "{path} {token:?}");
            } else {
                assert_eq!(answer.status.as_u16(), 204, "{path} {token:?}");
            }
        }
    }
}

fn gitaly(id: i64, path: &str, digest: &str) -> (Value, Value) {
    let info = json!({"address": "unix:/var/run/gitaly/gitaly.socket", "token": null, "features": {}});
    let relative_path = format!("@hashed/{}/{}/{digest}.git", &digest[..2], &digest[2..4]);
    let repository = json!({
        "storage_name": "default",
        "relative_path": relative_path,
        "gl_repository": format!("project-{id}"),
        "gl_project_path": path,
    });
    (info, repository)
}

#[tokio::test]
async fn an_agent_is_told_of_its_own_project() {
    let world = World::new();
    let answer = world.call_for_agent("GET", "/internal/kubernetes/agent_info", None).await;
    // SHA-256 of "100".
    let digest = "ad57366865126e55649ecb23ae1d48887544976efea46a48eb5d85a6eeb4d306";
    let (info, repository) = gitaly(100, "group/clusters", digest);
    let expected = json!({
        "project_id": 100, "agent_id": 7, "agent_name": "production", "gitaly_info": info,
        "gitaly_repository": repository, "default_branch": "trunk",
    });
    assert_eq!(answer.parts(), (200, expected));
}

#[tokio::test]
async fn an_agent_is_told_of_public_projects_only() {
    let world = World::new();
    // SHA-256 of "101".
    let digest = "16dc368a89b428b2485484313ba67a3912ca03f2b2b42429174a4f8b3dc84e44";
    let (info, repository) = gitaly(101, "group/sub/open", digest);
    let expected = json!({
        "project_id": 101, "gitaly_info": info, "gitaly_repository": repository, "default_branch": "main",
    });
    for id in ["101", "group/sub/open", "group%2Fsub%2Fopen"] {
        let path = format!("/internal/kubernetes/project_info?id={id}");
        assert_eq!(world.call_for_agent("GET", &path, None).await.parts(), (200, expected.clone()), "{id}");
    }
    // Its own private one, an internal one, one whose code is for members, and none.
    for id in ["100", "group/clusters", "102", "103", "999", "nowhere", "", "99999999999999999999"] {
        let path = format!("/internal/kubernetes/project_info?id={id}");
        let answer = world.call_for_agent("GET", &path, None).await.parts();
        assert_eq!(answer, (404, json!({"message": "404 Not Found"})), "{id}");
    }
    let answer = world.call_for_agent("GET", "/internal/kubernetes/project_info", None).await.parts();
    assert_eq!(answer, (400, json!({"error": "id is missing"})));
}

#[tokio::test]
async fn methods_that_are_not_offered_are_named() {
    let world = World::new();
    for (method, path, allow) in [
        ("POST", "/internal/kubernetes/agent_info", "OPTIONS, GET, HEAD"),
        ("POST", "/internal/kubernetes/project_info", "OPTIONS, GET, HEAD"),
        ("GET", "/internal/kubernetes/usage_metrics", "OPTIONS, POST"),
        ("DELETE", "/internal/kubernetes/modules/cilium_alert", "OPTIONS, POST"),
        ("PATCH", "/namespaces/10/gitlab_subscription", "OPTIONS, GET, HEAD, POST, PUT"),
        ("GET", "/namespaces/10/minutes", "OPTIONS, POST"),
        ("POST", "/namespaces/10/minutes/move/12", "OPTIONS, PATCH"),
        ("GET", "/internal/upcoming_reconciliations", "OPTIONS, PUT"),
    ] {
        let answer = world.call(method, path, &[], None).await;
        assert_eq!(answer.headers["allow"], allow, "{method} {path}");
        assert_eq!(answer.parts(), (405, json!({"error": "405 Not Allowed"})), "{method} {path}");
    }
}
