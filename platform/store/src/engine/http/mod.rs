//! ClickHouse's HTTP interface: accepts connections, routes `/`, `/ping` and `/replicas_status`, and turns a query's
//! request into work for a lane and the worker's events into an answer.

pub mod answer;
pub mod body;
pub mod form;
pub mod request;
mod socket;

use std::{
    convert::Infallible,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioTimer;
use rand::RngExt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    answer::{AnswerBody, AnswerHead},
    body::RequestBody,
    request::{Credentials, RequestHead},
    socket::{Flushes, Socket},
};
use super::{
    cancel::{CancelOnDrop, Ticket},
    encoding::Encoder,
    exception::Exception,
    execute::{self, Engine, Event, Work},
    formats,
    lanes::Lane,
    statement::{self, Head},
};

/// HTTP connections at once; more wait to be accepted.
const CONNECTIONS: usize = 1024;
/// The longest SQL text, data of an insert not counted.
const LONGEST_STATEMENT: usize = 64 << 20;
/// Events between a worker and its answer; each holds one block.
const EVENTS_WAITING: usize = 2;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// What every request is served with.
pub struct Server {
    pub engine: Arc<Engine>,
    pub credentials: Option<Credentials>,
    pub queries: Lane,
    pub inserts: Lane,
    pub killer: Sender<Arc<Ticket>>,
    pub timezone: String,
    pub display_name: String,
    pub body_limit: u64,
}

/// Accepts connections until `shutdown`, then ends those that are open.
pub async fn serve(server: Arc<Server>, listener: TcpListener, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
                tasks.spawn(async move {
                    connection(server, stream, shutdown).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection to the engine");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection(server: Arc<Server>, stream: TcpStream, shutdown: CancellationToken) {
    // Answers are small and awaited; a failure only costs latency.
    let _ = stream.set_nodelay(true);
    let (socket, flushes) = Socket::new(stream);
    let service = service_fn(move |request| {
        let (server, flushes) = (Arc::clone(&server), Arc::clone(&flushes));
        async move { Ok::<_, Infallible>(handle(&server, request, flushes).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(1 << 20);
    tokio::select! {
        outcome = builder.serve_connection(socket, service) => {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a connection to the engine ended early");
            }
        }
        () = shutdown.cancelled() => {}
    }
}

async fn handle(
    server: &Arc<Server>,
    request: Request<Incoming>,
    flushes: Arc<Flushes>,
) -> Response<AnswerBody> {
    let keep_alive = HeaderValue::from_static("timeout=10");
    let mut response = route(server, request, flushes).await;
    response.headers_mut().insert("keep-alive", keep_alive);
    response
}

async fn route(
    server: &Arc<Server>,
    request: Request<Incoming>,
    flushes: Arc<Flushes>,
) -> Response<AnswerBody> {
    match request.uri().path() {
        "/ping" | "/replicas_status" => answer::plain(StatusCode::OK, "Ok.\n"),
        "/" | "/query" if matches!(*request.method(), Method::GET | Method::POST) => {
            query(server, request, flushes).await
        }
        "/" | "/query" => answer::plain(StatusCode::METHOD_NOT_ALLOWED, "Use GET or POST.\n"),
        _ => answer::plain(StatusCode::NOT_FOUND, "There is no handle of this path. Use / or /ping.\n"),
    }
}

async fn query(
    server: &Arc<Server>,
    request: Request<Incoming>,
    flushes: Arc<Flushes>,
) -> Response<AnswerBody> {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let mut answer = AnswerHead {
        query_id: String::new(),
        timezone: server.timezone.clone(),
        display_name: server.display_name.clone(),
        version: server.engine.version.clone(),
        format: formats::DEFAULT.to_owned(),
        exception_tag: exception_tag(),
        encoding: None,
        flushes,
    };
    let head = RequestHead::parse(&parts).and_then(|head| {
        server.credentials.as_ref().map_or(Ok(()), |required| required.check(&head.credentials))?;
        Ok(head)
    });
    let mut head = match head {
        Ok(head) => head,
        Err(exception) => {
            RequestBody::new(body, None, false, server.body_limit).discard().await;
            return answer.failure(&exception, started.elapsed());
        }
    };
    let mut body = RequestBody::new(body, head.content_encoding, head.request_blocks, server.body_limit);
    answer.query_id = head.query_id.clone().unwrap_or_else(random_query_id);
    answer.encoding = head.answer_encoding;
    let boundary = form::boundary(&parts.headers);
    let stall_limit = server.engine.stall_limit;
    let routed = match read_form(&mut head, boundary.as_deref(), &mut body, stall_limit).await {
        Ok(()) => read_statement(head.query.as_deref(), &mut body, stall_limit).await,
        Err(exception) => Err(exception),
    };
    let routed = match routed {
        Ok(routed) => routed,
        Err(exception) => {
            body.discard().await;
            return answer.failure(&exception, started.elapsed());
        }
    };
    match routed {
        Routed::Nothing => answer::plain(StatusCode::OK, "Ok.\n"),
        Routed::Insert { sql, format, first } => {
            let work = Work::Insert { sql, format, first, body };
            run(server, &server.inserts, head, work, &answer, started).await
        }
        Routed::Statement(sql) => {
            let tail = statement::tail(&sql);
            let format = tail.format.clone().or_else(|| head.default_format.clone());
            answer.format = format.unwrap_or_else(|| formats::DEFAULT.to_owned());
            let work = Work::Statement { sql, tail, format: answer.format.clone() };
            run(server, &server.queries, head, work, &answer, started).await
        }
    }
}

/// What a request turned out to be.
enum Routed {
    Nothing,
    Statement(Vec<u8>),
    Insert { sql: String, format: String, first: Bytes },
}

/// Moves the fields of a form, if the body is one, to the head.
async fn read_form(
    head: &mut RequestHead,
    boundary: Option<&str>,
    body: &mut RequestBody,
    stall_limit: Duration,
) -> Result<(), Exception> {
    let Some(boundary) = boundary else { return Ok(()) };
    let mut form = BytesMut::new();
    while let Some(more) = body.next_within(stall_limit).await? {
        check_length(form.len() + more.len())?;
        form.extend_from_slice(&more);
    }
    head.add_form(form::fields(&form, boundary)?);
    Ok(())
}

fn check_length(length: usize) -> Result<(), Exception> {
    if length > LONGEST_STATEMENT {
        return Err(Exception::new(229, "QUERY_IS_TOO_LARGE", "The query is longer than the server's limit"));
    }
    Ok(())
}

/// Reads the URL's query and the body as one text, as far as it is needed to route it.
async fn read_statement(
    query: Option<&str>,
    body: &mut RequestBody,
    stall_limit: Duration,
) -> Result<Routed, Exception> {
    let mut text = BytesMut::new();
    if let Some(query) = query {
        text.extend_from_slice(query.as_bytes());
        text.extend_from_slice(b"\n");
    }
    loop {
        if let Head::InsertData { sql, format, data } = statement::head(&text, false) {
            let first = text.split_off(data.min(text.len())).freeze();
            return Ok(Routed::Insert { sql, format, first });
        }
        let Some(more) = body.next_within(stall_limit).await? else { break };
        check_length(text.len() + more.len())?;
        text.extend_from_slice(&more);
    }
    Ok(match statement::head(&text, true) {
        Head::InsertData { sql, format, data } => {
            let first = text.split_off(data.min(text.len())).freeze();
            Routed::Insert { sql, format, first }
        }
        _ if statement::tail(&text).end == 0 => Routed::Nothing,
        _ => Routed::Statement(text.into()),
    })
}

async fn run(
    server: &Arc<Server>,
    lane: &Lane,
    head: RequestHead,
    mut work: Work,
    answer: &AnswerHead,
    started: Instant,
) -> Response<AnswerBody> {
    let slot = match lane.reserve().await {
        Ok(slot) => slot,
        Err(exception) => {
            if let Work::Insert { body, .. } = &mut work {
                body.discard().await;
            }
            return answer.failure(&exception, started.elapsed());
        }
    };
    let request = execute::Request {
        work,
        query_id: answer.query_id.clone(),
        database: head.database,
        settings: head.settings,
        params: head.params,
        session: head.session.map(Into::into),
        read_only: head.read_only,
        whole: head.wait_end_of_query,
        encoder: Encoder::new(head.answer_blocks, head.answer_encoding),
        exception_tag: answer.exception_tag.clone(),
    };
    let (events, receiver) = mpsc::channel::<Event>(EVENTS_WAITING);
    let ticket = Arc::new(Ticket::new());
    let cancel = CancelOnDrop::new(Arc::clone(&ticket), server.killer.clone());
    let engine = Arc::clone(&server.engine);
    slot.run(move || execute::run(&engine, request, &ticket, &events));
    answer::from_events(answer, receiver, cancel, started).await
}

/// Sixteen letters that no result holds by accident.
fn exception_tag() -> String {
    let mut random = rand::rng();
    (0..16).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
}

fn random_query_id() -> String {
    let bytes: [u8; 16] = rand::rng().random();
    let hex = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
