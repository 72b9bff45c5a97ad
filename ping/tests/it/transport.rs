//! The real transport against a server on this machine.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, LOCATION, REFERER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tally_ping::{HttpTransport, LARGEST_ANSWER, Outgoing, PingConfig, SendError, Transport};
use tokio::net::TcpListener;

type Posted = Arc<Mutex<Vec<(Option<String>, Bytes)>>>;

/// A server; what was posted to it.
async fn server() -> (SocketAddr, Posted) {
    let posted = Posted::default();
    let kept = Arc::clone(&posted);
    let take = async move |headers: HeaderMap, body: Bytes| {
        let kind = headers.get(CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        kept.lock().unwrap().push((kind, body));
        (StatusCode::CREATED, "taken")
    };
    let elsewhere = async || (StatusCode::FOUND, [(LOCATION, "/usage_data")]).into_response();
    let router = Router::new()
        .route("/usage_data", post(take.clone()).get(take))
        .route("/elsewhere", post(elsewhere))
        .route("/fits", get(async || vec![b'x'; LARGEST_ANSWER]))
        .route("/too-large", get(async || vec![b'x'; LARGEST_ANSWER + 1]))
        .route("/slow", get(async || tokio::time::sleep(Duration::from_mins(1)).await))
        .route("/referer", get(async |headers: HeaderMap| headers[REFERER].to_str().unwrap().to_owned()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, posted)
}

fn transport(allow_private_addresses: bool) -> HttpTransport {
    let config = PingConfig { timeout_s: 2, allow_private_addresses, ..PingConfig::default() };
    HttpTransport::new(&config).unwrap()
}

fn request(url: String) -> Outgoing {
    Outgoing { url, body: None, referer: None }
}

/// The proxy of whoever runs the tests would be asked for this machine's own address.
fn goes_directly(test: &str) -> bool {
    let proxied = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| std::env::var(name).is_ok_and(|value| !value.is_empty()));
    let Some(name) = proxied else { return true };
    assert!(
        !std::env::var("TALLY_REQUIRE").is_ok_and(|required| required == "all"),
        "{test} needs no {name}"
    );
    println!("left out: {test}: {name} is set");
    false
}

#[tokio::test]
async fn bytes_arrive_as_they_are_and_redirects_are_not_followed() {
    if !goes_directly("bytes_arrive_as_they_are_and_redirects_are_not_followed") {
        return;
    }
    let (address, posted) = server().await;
    let transport = transport(true);
    let body = Bytes::from_static(b"{ \"a\" : 1.0 }\n");
    let post = |path| Outgoing { body: Some(body.clone()), ..request(format!("http://{address}{path}")) };
    let answer = transport.send(post("/usage_data")).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (201, &b"taken"[..]));
    assert_eq!(transport.send(post("/elsewhere")).await.unwrap().status, 302);
    assert_eq!(*posted.lock().unwrap(), [(Some("application/json".to_owned()), body)]);
    let referring = Outgoing {
        referer: Some("https://tally.example.com/".to_owned()),
        ..request(format!("http://{address}/referer"))
    };
    assert_eq!(transport.send(referring).await.unwrap().body, "https://tally.example.com/");
}

#[tokio::test]
async fn an_answer_is_bounded_in_size_and_time() {
    if !goes_directly("an_answer_is_bounded_in_size_and_time") {
        return;
    }
    let (address, _) = server().await;
    let transport = transport(true);
    let get = |path| transport.send(request(format!("http://{address}{path}")));
    assert_eq!(get("/fits").await.unwrap().body.len(), LARGEST_ANSWER);
    assert_eq!(get("/too-large").await, Err(SendError::AnswerTooLarge));
    assert_eq!(get("/slow").await, Err(SendError::TimedOut));
}

#[tokio::test]
async fn a_connection_that_breaks_or_is_refused_is_told_without_the_address() {
    if !goes_directly("a_connection_that_breaks_or_is_refused_is_told_without_the_address") {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let dropping = tokio::spawn(async move {
        drop(listener.accept().await);
        drop(listener);
    });
    let transport = transport(true);
    let url = format!("http://user:secret@{address}/usage_data");
    let broken = transport.send(request(url.clone())).await;
    assert!(matches!(&broken, Err(SendError::Unreachable(why)) if !why.contains("secret")), "{broken:?}");
    dropping.await.unwrap();
    let refused = transport.send(request(url)).await;
    assert!(
        matches!(&refused, Err(SendError::Unreachable(why)) if why.contains("can't connect")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn this_machine_is_not_called_unless_allowed() {
    let (address, posted) = server().await;
    let port = address.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1"] {
        let sent = transport(false).send(request(format!("http://{host}:{port}/usage_data"))).await;
        assert!(matches!(sent, Err(SendError::ForbiddenAddress(_))), "{host}: {sent:?}");
    }
    assert_eq!(posted.lock().unwrap().len(), 0);
}
