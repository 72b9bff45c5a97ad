//! `cargo bench -p tally-capture`: CPU-seconds that capture needs for a million events, from a request to encoded records,
//! with a log that takes everything for nothing and without sockets. The events are those that real trackers sent: GitLab's
//! browser SDK with its contexts, three a request, and Snowplow's Python tracker, four a request. CPU time is that of the
//! thread as the kernel counts it, so that other work on the machine changes it little.
#![expect(clippy::unwrap_used, reason = "a measurement that can't be set up is to stop")]

use std::fs;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use serde_json::Value;
use tally_capture::{Capture, CaptureConfig, Dependencies};
use tally_directory::Directory;
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_schemas::Framings;
use tally_service::clock::system_clock;
use tally_service::randomness::ThreadRandomness;
use tokio::runtime;
use tower::ServiceExt;

const REQUESTS: usize = 30_000;
const PATH: &str = "/com.snowplowanalytics.snowplow/tp2";

const RECORDED: [(&str, &str); 2] = [
    ("browser", include_str!("../tests/api/recorded/browser.json")),
    ("python", include_str!("../tests/api/recorded/python.json")),
];

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
    for (name, recorded) in RECORDED {
        let recorded: Value = serde_json::from_str(recorded).unwrap();
        let body = Bytes::from(recorded["body"].to_string());
        let agent = recorded["headers"]["user-agent"].as_str().unwrap();
        let events = recorded["body"]["data"].as_array().unwrap().len();
        let seconds = cpu_seconds(&body, agent);
        let per_million = seconds / (REQUESTS * events) as f64 * 1e6;
        println!(
            "{name:8} {per_million:.2} CPU-s per million events of {} bytes, {events} a request",
            body.len() / events
        );
    }
}

fn service() -> Router {
    let mut config = CaptureConfig { events_per_key: 0, ..CaptureConfig::default() };
    config.keys.insert("site-key".to_owned(), 1);
    let dependencies = Dependencies {
        log: Arc::new(NoLog),
        directory: Arc::new(Directory::in_memory()),
        clock: system_clock(),
        randomness: Arc::new(ThreadRandomness),
        framings: Framings::default(),
        registry: prometheus::Registry::new(),
    };
    tally_capture::router(Capture::new(config, dependencies).unwrap()).0
}

fn cpu_seconds(body: &Bytes, agent: &str) -> f64 {
    let router = service();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = thread_cpu_seconds();
    runtime.block_on(async {
        for _ in 0..REQUESTS {
            let request = Request::post(PATH)
                .header("user-agent", agent)
                .header("content-type", "application/json; charset=UTF-8")
                .header("content-length", body.len())
                .body(Body::from(body.clone()));
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
        }
    });
    thread_cpu_seconds() - before
}

/// What this thread has used so far, user and system.
fn thread_cpu_seconds() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: f64 = statistics.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1e9
}
