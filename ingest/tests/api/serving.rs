//! The service on a real port.

use tally_service::http::{self, HttpConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// Sends bytes as they are and reads the answer until the server closes.
async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_port_serves_until_it_is_shut_down() {
    let app = App::start().await;
    let listener = http::bind("127.0.0.1:0").await.unwrap();
    let address = http::local_address(&listener);
    let config = HttpConfig { max_connections: 10, header_timeout_s: 5, max_header_bytes: 16384, drain_s: 5 };
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(tally_ingest::serve(listener, config, app.ingest.clone(), shutdown.clone()));

    let post = |path: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nPRIVATE-TOKEN: glpat-alice\r\n{headers}\
             Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let event = "/api/v4/usage_data/track_event";
    let answer = exchange(address, &post(event, "", r#"{"event":"known"}"#)).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n200"), "{answer}");
    assert_eq!(app.events().len(), 1);

    // The client waits for leave to send a body that it will not get.
    let announced = format!(
        "POST {event} HTTP/1.1\r\nHost: t\r\nPRIVATE-TOKEN: glpat-alice\r\nExpect: 100-continue\r\n\
         Content-Length: 99999999\r\n\r\n"
    );
    let answer = exchange(address, &announced).await;
    assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");

    let answer = exchange(address, &post("/nowhere", "", "")).await;
    assert!(
        answer.starts_with("HTTP/1.1 404 ") && answer.ends_with(r#"{"error":"404 Not Found"}"#),
        "{answer}"
    );

    shutdown.cancel();
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
