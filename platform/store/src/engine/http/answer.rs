//! Answers: headers as ClickHouse sends them, bodies streamed from a worker or sent whole.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, response::Builder};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::socket::Flushes;
use crate::engine::{
    cancel::CancelOnDrop, encoding::ContentEncoding, exception::Exception, execute::Event, ffi::Counts,
    formats,
};

/// What the headers of every answer to a query say.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    pub query_id: String,
    pub timezone: String,
    pub display_name: String,
    pub version: String,
    pub format: String,
    pub exception_tag: String,
    pub encoding: Option<ContentEncoding>,
    /// The connection's.
    pub flushes: Arc<Flushes>,
}

impl AnswerHead {
    fn builder(&self, status: StatusCode, took: Duration, counts: &Counts) -> Builder {
        Response::builder()
            .status(status)
            .header(header::CONTENT_TYPE, formats::content_type(&self.format))
            .header("x-clickhouse-server-display-name", header_value(&self.display_name))
            .header("x-clickhouse-query-id", header_value(&self.query_id))
            .header("x-clickhouse-format", header_value(&self.format))
            .header("x-clickhouse-timezone", header_value(&self.timezone))
            .header("x-clickhouse-exception-tag", header_value(&self.exception_tag))
            .header("x-clickhouse-summary", summary(counts, took))
            .header("access-control-expose-headers", "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,X-ClickHouse-Format,X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,X-ClickHouse-Exception-Tag")
    }

    fn success(&self, took: Duration, counts: &Counts, body: AnswerBody) -> Response<AnswerBody> {
        let mut builder = self.builder(StatusCode::OK, took, counts);
        if let Some(encoding) = self.encoding {
            builder = builder.header(header::CONTENT_ENCODING, encoding.name());
        }
        builder.body(body).expect("every header value was checked")
    }

    /// The answer that an exception gets before anything was sent.
    pub fn failure(&self, exception: &Exception, took: Duration) -> Response<AnswerBody> {
        let plain = Self { format: "Exception".to_owned(), ..self.clone() };
        plain
            .builder(exception.status(), took, &Counts::default())
            .header("x-clickhouse-exception-code", exception.code)
            .body(AnswerBody::whole(exception.text(&self.version)))
            .expect("every header value was checked")
    }
}

/// `X-ClickHouse-Summary`: numbers as strings, as ClickHouse writes them.
fn summary(counts: &Counts, took: Duration) -> String {
    format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\
         \"total_rows_to_read\":\"0\",\"result_rows\":\"{}\",\"result_bytes\":\"{}\",\"elapsed_ns\":\"{}\"}}",
        counts.read_rows,
        counts.read_bytes,
        counts.written_rows,
        counts.written_bytes,
        counts.result_rows,
        counts.result_bytes,
        took.as_nanos()
    )
}

/// A header value out of text that a client may have chosen.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

/// A short text that isn't an answer to a query.
pub fn plain(status: StatusCode, text: &'static str) -> Response<AnswerBody> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "text/html; charset=UTF-8")
        .body(AnswerBody::whole(text))
        .expect("the headers are constants")
}

/// How long a first block waits for its end, so that a small answer goes out whole, with its final summary.
const GRACE: Duration = Duration::from_millis(3);

/// Turns a worker's events into an answer: waits for the first, streams the rest.
pub async fn from_events(
    head: &AnswerHead,
    mut events: mpsc::Receiver<Event>,
    cancel: CancelOnDrop,
    started: tokio::time::Instant,
) -> Response<AnswerBody> {
    let first = match events.recv().await {
        Some(Event::Block(block)) => block,
        Some(Event::End { last, counts }) => {
            return head.success(started.elapsed(), &counts, AnswerBody::whole(last));
        }
        Some(Event::Failed(exception)) => return head.failure(&exception, started.elapsed()),
        Some(Event::Broken) | None => return head.failure(&lost(), started.elapsed()),
    };
    let mut ready = Vec::with_capacity(2);
    if let Ok(next) = tokio::time::timeout(GRACE, events.recv()).await {
        match next {
            Some(Event::End { last, counts }) => {
                let body = if last.is_empty() { first } else { [first, last].concat().into() };
                return head.success(started.elapsed(), &counts, AnswerBody::whole(body));
            }
            Some(Event::Block(block)) => ready.push(block),
            Some(Event::Failed(_) | Event::Broken) | None => {
                return head.failure(&lost(), started.elapsed());
            }
        }
    }
    ready.push(first);
    let flushes = Arc::clone(&head.flushes);
    let body = AnswerBody::Stream(Stream { ready, events, state: State::Open, flushes, _cancel: cancel });
    head.success(started.elapsed(), &Counts::default(), body)
}

fn lost() -> Exception {
    Exception::new(1001, "STD_EXCEPTION", "The query's worker gave no result")
}

/// The body of an answer.
pub enum AnswerBody {
    Whole(Option<Bytes>),
    Stream(Stream),
}

/// A body that a worker is still producing. Dropping it cancels the query.
pub struct Stream {
    /// Blocks that arrived before the headers went out, last first.
    ready: Vec<Bytes>,
    events: mpsc::Receiver<Event>,
    state: State,
    flushes: Arc<Flushes>,
    _cancel: CancelOnDrop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The worker has told the end.
    Ended,
    /// The worker has told an exception; the connection is cut after its next flush, which takes the text along.
    Broken {
        flushes_before: u64,
    },
}

impl AnswerBody {
    fn whole(body: impl Into<Bytes>) -> Self {
        Self::Whole(Some(body.into()).filter(|body| !body.is_empty()))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Stream(stream) => stream.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

impl Stream {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(block) = self.ready.pop() {
            return Poll::Ready(Some(Ok(Frame::data(block))));
        }
        match self.state {
            State::Ended => return Poll::Ready(None),
            State::Broken { flushes_before } => return self.poll_cut(flushes_before, context),
            State::Open => {}
        }
        match self.events.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Event::Block(block))) => Poll::Ready(Some(Ok(Frame::data(block)))),
            Poll::Ready(Some(Event::End { last, .. })) => {
                self.state = State::Ended;
                Poll::Ready((!last.is_empty()).then(|| Ok(Frame::data(last))))
            }
            Poll::Ready(Some(Event::Broken)) => {
                let flushes_before = self.flushes.count();
                self.state = State::Broken { flushes_before };
                self.poll_cut(flushes_before, context)
            }
            // A worker that stops without an end gave up on a reader that stalled.
            Poll::Ready(Some(Event::Failed(_)) | None) => Poll::Ready(Some(Err(cut_short()))),
        }
    }
}

impl Stream {
    fn poll_cut(&self, flushes_before: u64, context: &Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.flushes.poll_beyond(flushes_before, context).map(|()| Some(Err(cut_short())))
    }
}

fn cut_short() -> io::Error {
    io::Error::other("the query failed after its answer had begun")
}
