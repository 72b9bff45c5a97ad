//! Budgets: what is charged to whom, what the headers say, and when it ends.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use tally_service::api::GuardConfig;

use crate::app::{Answer, App, PUBLIC, READ, START, WRITE};

fn limited() -> App {
    App::configured(GuardConfig {
        tracking_per_token: 3,
        other_per_token: 2,
        without_token_per_address: 2,
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..GuardConfig::default()
    })
}

fn state(answer: &Answer) -> (u16, [&str; 4]) {
    let header = |name| answer.header(name);
    let names = ["ratelimit-name", "ratelimit-limit", "ratelimit-observed", "ratelimit-remaining"];
    (answer.status, names.map(header))
}

#[test]
fn every_answer_says_how_the_budget_stands() {
    let app = limited();
    let name = "throttle_authenticated_api";
    assert_eq!(state(&app.get(READ, "glpat-alice")), (200, [name, "2", "1", "1"]));
    app.wait(10);
    let last = app.get(READ, "glpat-alice");
    assert_eq!(state(&last), (200, [name, "2", "2", "0"]));
    assert_eq!(last.header("ratelimit-reset"), (START + 60).to_string());
    assert_eq!((last.header("retry-after"), last.header("ratelimit-resettime")), ("", ""));
    let refused = app.get(READ, "glpat-alice");
    assert_eq!(state(&refused), (429, [name, "2", "3", "0"]));
    assert_eq!(refused.header("retry-after"), "50");
    assert_eq!(refused.header("ratelimit-resettime"), "Fri, 02 Jan 2026 00:01:00 GMT");
    app.wait(50);
    assert_eq!(state(&app.get(READ, "glpat-alice")), (200, [name, "2", "1", "1"]));
}

#[test]
fn tokens_and_kinds_of_endpoints_have_budgets_of_their_own() {
    let app = limited();
    for _ in 0..3 {
        app.get(READ, "glpat-alice");
    }
    assert_eq!(app.get(READ, "glpat-alice").status, 429);
    assert_eq!(app.get(READ, "glpat-reader").status, 200);
    let write = |_| app.call(Method::POST, WRITE, "glpat-alice", "192.0.2.1").status;
    assert_eq!([0; 4].map(write), [200, 200, 200, 429]);
}

#[test]
fn requests_without_a_good_token_are_charged_to_the_address() {
    let app = limited();
    let call = |token, address| app.call(Method::GET, PUBLIC, token, address).status;
    assert_eq!(call("", "192.0.2.1"), 200);
    assert_eq!(call("glpat-old", "192.0.2.1"), 401);
    assert_eq!(call("", "192.0.2.1"), 429);
    assert_eq!(call("glpat-old", "192.0.2.1"), 429);
    // Neither others nor good tokens from there are harmed.
    assert_eq!(call("", "192.0.2.2"), 200);
    assert_eq!(call("glpat-alice", "192.0.2.1"), 200);
    // Whoever has one IPv6 address has 2^64.
    assert_eq!(["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|from| call("", from)), [200, 200, 429]);
}

#[test]
fn guesses_are_charged_to_the_address_and_never_to_good_tokens_from_there() {
    let app = limited();
    let call = |token| app.get(READ, token).status;
    assert_eq!([0; 4].map(|_| call("glpat-guess")), [401, 401, 429, 429]);
    assert_eq!(call("glpat-alice"), 200);
    app.wait(60);
    assert_eq!(call("glpat-guess"), 401);
}

#[test]
fn the_budget_is_charged_before_the_body_is_read() {
    let app = limited();
    for _ in 0..3 {
        app.call(Method::POST, WRITE, "glpat-alice", "192.0.2.1");
    }
    let unread = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request =
        Request::post(WRITE).header("PRIVATE-TOKEN", "glpat-alice").header("Content-Encoding", "gzip");
    assert_eq!(app.send(request.body(unread).unwrap()).status, 429);
}

#[test]
fn a_trusted_proxys_word_on_the_client_is_taken() {
    let app = limited();
    let call = |client: &str| {
        let request = Request::get(PUBLIC).extension(tally_service::http::Peer([10, 0, 0, 1].into()));
        app.send(request.header("X-Forwarded-For", client).body(Body::empty()).unwrap()).status
    };
    assert_eq!(["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].map(call), [200, 200, 429, 200]);
}

#[test]
fn a_limit_of_zero_is_none() {
    let off = GuardConfig {
        tracking_per_token: 0,
        other_per_token: 0,
        without_token_per_address: 0,
        ..GuardConfig::default()
    };
    let app = App::configured(off);
    for token in ["", "glpat-nobody", "glpat-alice"] {
        let statuses: Vec<u16> = (0..50).map(|_| app.get(PUBLIC, token).status).collect();
        assert!(!statuses.contains(&429), "{token}");
        assert_eq!(app.get(PUBLIC, token).header("ratelimit-limit"), "", "{token}");
    }
}
