//! What is handed out for Git LFS.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::shell::{SECRET, Shell};

fn claims(token: &str) -> Value {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    let key = DecodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn an_actor_gets_a_token_for_half_an_hour() {
    let shell = Shell::start().await;
    let rows = [
        (json!({"key_id": 1, "project": "group/private"}), "alice", "group/private"),
        (json!({"username": "dev", "project": "/group/private.git"}), "dev", "group/private"),
        (json!({"user_id": 4, "gl_repository": "project-4"}), "dev", "group/public"),
        (json!({"key_id": 2, "project": "group/private"}), "lfs+deploy-key-2", "group/private"),
        (json!({"key_id": 3, "project": "group/private"}), "lfs+deploy-key-3", "group/private"),
    ];
    for (call, username, path) in rows {
        let (status, answer) = shell.post("lfs_authenticate", &call).await;
        let claims = claims(answer["lfs_token"].as_str().unwrap());
        let now = shell.now().as_second();
        assert_eq!((&claims["exp"], &claims["iat"]), (&json!(now + 1800), &json!(now)));
        assert_eq!(claims["data"]["actor"], username);
        let expected = json!({
            "username": username,
            "lfs_token": answer["lfs_token"],
            "repository_http_path": format!("https://tally.example.com/{path}.git"),
            "expires_in": 1800,
        });
        assert_eq!((status, answer), (200, expected), "{call}");
    }
}

#[tokio::test]
async fn the_token_opens_nothing_here() {
    let shell = Shell::start().await;
    let (_, answer) = shell.post("lfs_authenticate", &json!({"key_id": 1, "project": "group/private"})).await;
    let token = answer["lfs_token"].as_str().unwrap();
    let answer = shell.send("GET", "check", &[("Gitlab-Shell-Api-Request", token)], "").await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn without_project_lfs_or_actor_there_is_none() {
    let shell = Shell::start().await;
    let nothing = json!({"message": "404 Not Found"});
    let nobody = json!({"message": "User not found!"});
    let rows = [
        (json!({"key_id": 1}), &nothing),
        (json!({"key_id": 1, "project": "group/nowhere"}), &nothing),
        (json!({"key_id": 1, "gl_repository": "project-99"}), &nothing),
        (json!({"key_id": 1, "project": "group/no-lfs"}), &nothing),
        (json!({"key_id": 99, "project": "group/no-lfs"}), &nothing),
        (json!({"key_id": 99, "project": "group/private"}), &nobody),
        (json!({"key_id": 4, "project": "group/private"}), &nobody),
        (json!({"username": "nobody", "project": "group/private"}), &nobody),
        (json!({"project": "group/private"}), &nobody),
    ];
    for (call, expected) in rows {
        assert_eq!(shell.post("lfs_authenticate", &call).await, (404, expected.clone()), "{call}");
    }
}
