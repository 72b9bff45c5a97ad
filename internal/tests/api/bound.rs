//! What holds for every call: it ends in time, and it ends in an answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tally_eventlog::AppendError;

use crate::shell::{Fault, SECRET, Shell};

fn push() -> serde_json::Value {
    json!({"identifier": "user-4", "gl_repository": "project-3", "changes": "a b refs/heads/main"})
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_503() {
    let shell = Shell::configured(|config| config.call_timeout_s = 1).await;
    shell.fail(Some(Fault::Hang));
    let late = json!({"status": false, "message": "The request timed out after 1 seconds."});
    assert_eq!(shell.post("post_receive", &push()).await, (503, late));
    shell.fail(None);
    assert_eq!(shell.post("post_receive", &push()).await.0, 200);
    assert_eq!(tally_internal::InternalConfig::default().call_timeout_s, 50);
}

#[tokio::test]
async fn a_call_that_breaks_is_500() {
    let shell = Shell::start().await;
    shell.fail(Some(Fault::Break));
    let broken = json!({"status": false, "message": "Unknown check result"});
    assert_eq!(shell.post("post_receive", &push()).await, (500, broken));
    shell.fail(None);
    assert_eq!(shell.post("post_receive", &push()).await.0, 200);
}

#[tokio::test]
async fn check_says_who_answers_and_whether_the_log_does() {
    let shell = Shell::start().await;
    let checked = |log: bool| {
        (200, json!({"api_version": "v4", "gitlab_version": "18.1.0", "gitlab_rev": "abc123", "redis": log}))
    };
    assert_eq!(shell.get("check").await, checked(true));
    shell.fail(Some(Fault::Refuse(AppendError::Unavailable("away".to_owned()))));
    assert_eq!(shell.get("check").await, checked(false));
    let own = Shell::configured(|config| config.version = String::new()).await;
    assert_eq!(own.get("check").await.1["gitlab_version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn other_methods_are_405() {
    let shell = Shell::start().await;
    let secret = STANDARD.encode(SECRET);
    let headers = [("Gitlab-Shared-Secret", secret.as_str())];
    for (method, path, allow) in [
        ("GET", "allowed", "OPTIONS, POST"),
        ("POST", "check", "OPTIONS, GET, HEAD"),
        ("DELETE", "discover", "OPTIONS, GET, HEAD"),
    ] {
        let answer = shell.send(method, path, &headers, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.headers["allow"].to_str().unwrap()),
            (405, allow),
            "{path}"
        );
    }
}
