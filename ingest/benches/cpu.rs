//! `cargo bench -p tally-ingest`: CPU-seconds that ingest needs for a million events, in batches of 50 of about 400
//! bytes, with a log that takes everything for nothing. "handler" is authentication, body, parse and encoding; "http" adds
//! the server and its sockets. CPU time is that of the serving thread as the kernel counts it, so that other work on the
//! machine changes it little.
#![expect(clippy::unwrap_used, reason = "a measurement that can't be set up is to stop")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use tally_directory::{Directory, SecretHash};
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_ingest::{Dependencies, Ingest, IngestConfig, router};
use tally_schemas::{ContributionIds, Definitions, Framings, Matcher};
use tally_service::clock::system_clock;
use tally_service::http::{self, HttpConfig};
use tally_service::randomness::ThreadRandomness;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const BATCH: usize = 50;
const REQUESTS: usize = 20_000;
const CLIENTS: usize = 4;
const PATH: &str = "/api/v4/usage_data/track_events";
const TOKEN: &str = "glpat-bench";

/// Takes everything and keeps nothing.
struct NoLog;

#[async_trait]
impl EventLog for NoLog {
    async fn ensure_topic(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    async fn append(&self, _: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        records.iter().map(|_| Ok(Appended { partition: 0, offset: 0 })).collect()
    }

    async fn watermarks(&self, _: &str) -> Result<Vec<Watermarks>, LogError> {
        Ok(Vec::new())
    }

    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        Err(LogError::Unavailable("nothing is kept".to_owned()))
    }

    async fn tail(&self, _: &str, _: u32, _: u64) -> Result<Box<dyn TailReader>, LogError> {
        Err(LogError::Unavailable("nothing is kept".to_owned()))
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

fn main() {
    let body = body();
    let events = (REQUESTS * BATCH) as f64;
    println!("{} bytes an event, {BATCH} a request, {events} events", body.len() / BATCH);
    for (name, seconds) in [("handler", handler(&body)), ("http", over_http(&body))] {
        println!("{name:8} {:.2} CPU-s per million events", seconds / events * 1e6);
    }
}

/// Fifty events with an id, a time, places and the properties that definitions usually declare.
fn body() -> String {
    let event = |index: usize| {
        format!(
            r#"{{"event":"view_merge_request_diff_{index}","event_id":"01890a5d-ac96-774b-bcce-b302099a80{index:02}","timestamp":"2026-03-01T12:00:{index:02}.123Z","project_id":1{index}278964,"namespace_id":9970,"send_to_snowplow":false,"additional_properties":{{"label":"merge_request_widget","property":"feature_branch_{index}","value":{index},"lang":"ruby","source":"web_ide","feature":"inline diff","plan":"ultimate"}}}}"#
        )
    };
    let events: Vec<String> = (0..BATCH).map(event).collect();
    format!(r#"{{"events":[{}]}}"#, events.join(","))
}

fn service() -> Router {
    let directory = format!(
        "users: [{{id: 1, username: u}}]\ntokens: [{{name: t, user: u, scopes: [api], sha256: \"{}\"}}]",
        SecretHash::of(TOKEN).to_hex()
    );
    let dependencies = Dependencies {
        log: Arc::new(NoLog),
        directory: Arc::new(Directory::from_yaml(&directory, "directory.yml").unwrap()),
        clock: system_clock(),
        randomness: Arc::new(ThreadRandomness),
        contribution_ids: Arc::new(ContributionIds::new(0)),
        definitions: Arc::new(Matcher::new(&Definitions::built_in())),
        framings: Framings::default(),
        registry: prometheus::Registry::new(),
    };
    router(Ingest::new(IngestConfig::default(), dependencies).unwrap()).0
}

/// CPU-seconds of all requests through the router, without sockets.
fn handler(body: &str) -> f64 {
    let router = service();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = bytes::Bytes::from(body.to_owned());
    let before = thread_cpu_seconds();
    runtime.block_on(async {
        for _ in 0..REQUESTS {
            let request = Request::post(PATH)
                .header("private-token", TOKEN)
                .header("content-type", "application/json")
                .header("content-length", body.len())
                .body(Body::from(body.clone()));
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
        }
    });
    thread_cpu_seconds() - before
}

/// CPU-seconds of the serving thread while clients on other threads send the same over keep-alive connections.
fn over_http(body: &str) -> f64 {
    let shutdown = CancellationToken::new();
    let (announce, announced) = std::sync::mpsc::channel();
    let server = thread::spawn({
        let shutdown = shutdown.clone();
        move || serve(&announce, shutdown)
    });
    let address = announced.recv().unwrap();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nHost: t\r\nPRIVATE-TOKEN: {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let request = request.clone();
            thread::spawn(move || send_all(address, &request))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    shutdown.cancel();
    server.join().unwrap()
}

fn serve(announce: &std::sync::mpsc::Sender<SocketAddr>, shutdown: CancellationToken) -> f64 {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = thread_cpu_seconds();
    runtime.block_on(async {
        let listener = http::bind("127.0.0.1:0").await.unwrap();
        announce.send(http::local_address(&listener)).unwrap();
        let config =
            HttpConfig { max_connections: 100, header_timeout_s: 10, max_header_bytes: 65536, drain_s: 1 };
        http::serve(listener, service(), config, shutdown).await;
    });
    thread_cpu_seconds() - before
}

fn send_all(address: SocketAddr, request: &str) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_nodelay(true).unwrap();
    let mut answer = [0; 1024];
    for _ in 0..REQUESTS / CLIENTS {
        connection.write_all(request.as_bytes()).unwrap();
        let length = connection.read(&mut answer).unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200") && answer[..length].ends_with(b"200"));
    }
}

/// What this thread has used so far, user and system.
fn thread_cpu_seconds() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: f64 = statistics.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}
