//! The audit log: one event a denial, with everything but the token, and a bound on how many.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tally_service::api::GuardConfig;
use tracing_subscriber::fmt::MakeWriter;

use crate::app::{ADMIN, App, PUBLIC, READ};

/// What was logged while `run` ran on this thread, as text and as events of the audit log.
fn logged(run: impl FnOnce()) -> (String, Vec<Value>) {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.filter(|event: &Value| event["target"] == "tally::audit").collect();
    (text, events)
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[test]
fn a_denial_is_logged_with_its_reason_and_whose_it_was() {
    let app = App::configured(GuardConfig { other_per_token: 2, ..GuardConfig::default() });
    let rows = [
        (READ, "", "no_token", 401),
        (READ, "glpat-secret-guess", "unknown_token", 401),
        (READ, "glpat-old", "expired_token", 401),
        (READ, "glpat-gone", "revoked_token", 401),
        (READ, "glpat-eve", "blocked_user", 403),
        (ADMIN, "glpat-alice", "forbidden", 403),
        (ADMIN, "glpat-reader", "forbidden", 403),
        (READ, "glpat-reader", "", 200),
        (READ, "glpat-reader", "too_many_requests", 429),
    ];
    for (path, token, reason, status) in rows {
        let before = app.denials(reason);
        let (text, events) = logged(|| assert_eq!(app.get(path, token).status, status, "{token}"));
        assert!(token.is_empty() || !text.contains(token), "{text}");
        if reason.is_empty() {
            assert_eq!(events, Vec::<Value>::new(), "{token}");
            continue;
        }
        assert_eq!(events.len(), 1, "{token}");
        let event = &events[0];
        assert_eq!((&event["reason"], &event["status"]), (&json!(reason), &json!(status)), "{token}");
        assert_eq!((&event["endpoint"], &event["method"]), (&json!(path), &json!("GET")), "{token}");
        assert_eq!(event["address"], "192.0.2.1", "{token}");
        let known = ["glpat-alice", "glpat-reader"].contains(&token);
        assert_eq!(event["user_id"], if known { json!(2) } else { Value::Null }, "{token}");
        let name = token.trim_start_matches("glpat-");
        assert_eq!(event["token_name"], if known { json!(name) } else { Value::Null }, "{token}");
        let hash = event["token_hash"].as_str().map(str::len);
        assert_eq!(hash, (reason == "unknown_token").then_some(8), "{token}");
        assert_eq!(app.denials(reason), before + 1, "{reason}");
    }
}

#[test]
fn a_flood_does_not_fill_the_log() {
    let app = App::configured(GuardConfig { audit_per_minute: 3, ..GuardConfig::default() });
    let (_, events) = logged(|| (0..100).for_each(|_| assert_eq!(app.get(READ, "").status, 401)));
    assert_eq!(events.len(), 3);
    assert_eq!(app.denials("no_token"), 100);
    app.wait(60);
    let (_, events) = logged(|| assert_eq!(app.get(PUBLIC, "glpat-nobody").status, 401));
    assert_eq!(events[0]["suppressed"], 97);
}
