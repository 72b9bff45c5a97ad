//! The load against a stand-in for Tally that fails now and then.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;

use super::*;
use crate::catalogue::CatalogueEvent;

/// Takes requests as Tally does, and keeps them.
#[derive(Clone, Default)]
struct StandIn {
    /// How often each body was delivered, those that were answered with an error included.
    deliveries: Arc<Mutex<BTreeMap<String, u32>>>,
    answers: Answers,
}

#[derive(Clone, Copy, Default)]
enum Answers {
    #[default]
    Ok,
    /// 503 at the first delivery of every body.
    SecondTimeOk,
    Refuses,
}

async fn track_events(State(stand_in): State<StandIn>, body: String) -> (StatusCode, &'static str) {
    let mut deliveries = stand_in.deliveries.lock().unwrap();
    let count = deliveries.entry(body).or_default();
    *count += 1;
    match stand_in.answers {
        Answers::SecondTimeOk if *count == 1 => (StatusCode::SERVICE_UNAVAILABLE, "{}"),
        Answers::Refuses => (StatusCode::BAD_REQUEST, r#"{"error":"event is missing"}"#),
        _ => (StatusCode::OK, "200"),
    }
}

async fn serve(answers: Answers) -> (StandIn, String) {
    let stand_in = StandIn { answers, ..StandIn::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let path = "/api/v4/usage_data/track_events";
    let router = Router::new().route(path, post(track_events)).with_state(stand_in.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (stand_in, url)
}

fn target(url: String, connections: usize) -> Target {
    Target { url, token: String::new(), connections, give_up_after: Duration::from_secs(30) }
}

fn stream(events: u64) -> Arc<Stream> {
    let event =
        CatalogueEvent { name: "push_package".to_owned(), properties: Vec::new(), filters: Vec::new() };
    let options = StreamOptions {
        seed: 1,
        events,
        from: "2026-11-01T00:00:00Z".parse().unwrap(),
        to: "2026-11-08T00:00:00Z".parse().unwrap(),
        users: 10,
        projects: 10,
        namespaces: 10,
        duplicates: 0.0,
    };
    Arc::new(Stream::new(Catalogue::new([event]), options))
}

async fn send(stream: &Arc<Stream>, url: &str, connections: usize) -> Result<LoadSummary> {
    let sender = Sender::new(target(url.to_owned(), connections)).unwrap();
    sender.send(Delivery::of(Arc::clone(stream)), Pace::new(0.0), &Progress::silent()).await
}

fn bodies(stand_in: &StandIn) -> BTreeMap<String, u32> {
    stand_in.deliveries.lock().unwrap().clone()
}

#[tokio::test]
async fn the_number_of_connections_changes_nothing_of_what_is_sent() {
    let stream = stream(1_020);
    let (one, one_url) = serve(Answers::Ok).await;
    let (many, many_url) = serve(Answers::Ok).await;
    let summary = send(&stream, &one_url, 1).await.unwrap();
    send(&stream, &many_url, 16).await.unwrap();
    assert_eq!((summary.acked, summary.requests, summary.retries), (1_020, 21, 0));
    assert_eq!(bodies(&one), bodies(&many));
    assert!(bodies(&one).values().all(|&count| count == 1));
}

#[tokio::test]
async fn a_request_is_repeated_with_the_same_bytes_until_it_is_acknowledged() {
    let (stand_in, url) = serve(Answers::SecondTimeOk).await;
    let summary = send(&stream(500), &url, 4).await.unwrap();
    assert_eq!((summary.acked, summary.requests, summary.retries), (500, 10, 10));
    assert_eq!(bodies(&stand_in).values().copied().collect::<Vec<u32>>(), [2; 10]);
}

#[tokio::test]
async fn a_refused_request_ends_the_load_with_the_answer() {
    let (_, url) = serve(Answers::Refuses).await;
    let error = send(&stream(50), &url, 1).await.unwrap_err().to_string();
    assert!(error.contains("400") && error.contains("event is missing"), "{error}");
}

#[tokio::test]
async fn an_unreachable_target_is_waited_for_and_given_up_in_the_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let target = Target { give_up_after: Duration::from_millis(100), ..target(url, 1) };
    let sender = Sender::new(target).unwrap();
    let sent = sender.send(Delivery::of(stream(50)), Pace::new(0.0), &Progress::silent()).await;
    let error = sent.unwrap_err().to_string();
    assert!(error.contains("not taken after"), "{error}");
}

#[test]
fn prepared_bodies_are_those_of_the_stream() {
    let stream = stream(120);
    let prepared = Delivery::prepared(&stream);
    for batch in 0..stream.batches() {
        assert_eq!(prepared.body(batch), stream.body(batch));
        assert_eq!(prepared.len_of(batch), stream.batch_len(batch));
    }
}

#[test]
fn a_dump_is_the_stream_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stream.ndjson");
    let stream = stream(130);
    dump(&stream, &path).unwrap();
    let dumped = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = dumped.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sent: Vec<Value> = (0..stream.batches())
        .map(|batch| serde_json::from_slice::<Value>(&stream.body(batch)).unwrap())
        .flat_map(|body| body["events"].as_array().unwrap().clone())
        .collect();
    assert_eq!(lines, sent);
}

/// The arguments as the command line would give them.
fn parse(arguments: &[&str]) -> Result<LoadArgs, clap::Error> {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        load: LoadArgs,
    }
    let required = ["load", "--definitions", "definitions"];
    let command: Command = clap::Parser::try_parse_from(required.iter().chain(arguments))?;
    Ok(command.load)
}

#[test]
fn the_span_is_six_weeks_back_from_now_unless_said_otherwise() {
    let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
    let cases: [(&[&str], &str, &str); 4] = [
        (&[], "2026-10-10T08:00:00Z", "2026-11-21T08:00:00Z"),
        (&["--weeks", "1"], "2026-11-14T08:00:00Z", "2026-11-21T08:00:00Z"),
        (&["--now", "2026-01-02T00:00:00Z"], "2025-11-21T00:00:00Z", "2026-01-02T00:00:00Z"),
        (
            &["--from", "2026-03-01T00:00:00Z", "--to", "2026-03-02T00:00:00Z"],
            "2026-03-01T00:00:00Z",
            "2026-03-02T00:00:00Z",
        ),
    ];
    for (arguments, from, to) in cases {
        let options = parse(arguments).unwrap().stream_options(now).unwrap();
        assert_eq!((options.from, options.to), (from.parse().unwrap(), to.parse().unwrap()), "{arguments:?}");
    }
}

#[test]
fn impossible_arguments_are_refused() {
    assert!(parse(&["--weeks", "1", "--from", "2026-03-01T00:00:00Z"]).is_err());
    let now = "2026-11-21T08:00:00Z".parse().unwrap();
    for arguments in [["--from", "2027-01-01T00:00:00Z"], ["--duplicates", "1.5"], ["--weeks", "0"]] {
        assert!(parse(&arguments).unwrap().stream_options(now).is_err(), "{arguments:?}");
    }
}
