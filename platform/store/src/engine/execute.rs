//! Runs one request on one of the engine's threads: a connection of its own, so that nothing is left for the next
//! request, settings, the statement, and its output as events.

use std::{
    ffi::CString,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{runtime, sync::mpsc};

use super::{
    cancel::{DoneOnDrop, Ticket},
    encoding::Encoder,
    exception::Exception,
    ffi::{Connection, Counts, Library, StatementClass},
    formats::{self, Blocks},
    http::body::RequestBody,
    query_log::{LogEntry, QueryLog},
    session::{SessionRequest, Sessions},
    settings,
    statement::{StatementKind, Tail},
};

/// What every request runs with.
pub struct Engine {
    pub library: Arc<Library>,
    /// Arguments of every connection: the path, and the defaults of ClickHouse's server where the library's differ.
    pub arguments: Vec<CString>,
    pub sessions: Sessions,
    pub version: String,
    /// How long a client may leave an answer unread or a body unsent.
    pub stall_limit: Duration,
    pub runtime: runtime::Handle,
    pub query_log: Option<QueryLog>,
}

/// What a request asks for.
pub enum Work {
    /// SQL, with inline data at most.
    Statement { sql: Vec<u8>, tail: Tail, format: String },
    /// An insert whose data are streamed; `sql` ends before `FORMAT`.
    Insert { sql: String, format: String, first: Bytes, body: RequestBody },
}

/// A request, read as far as its data.
pub struct Request {
    pub work: Work,
    pub query_id: String,
    pub database: Option<String>,
    pub settings: Vec<(String, String)>,
    pub params: Vec<(String, String)>,
    pub session: Option<SessionRequest>,
    /// Over GET, nothing may be changed.
    pub read_only: bool,
    /// Build the answer whole, so that its headers tell how it ended.
    pub whole: bool,
    pub encoder: Encoder,
    /// Marks the exception in a body whose headers said success.
    pub exception_tag: String,
}

/// What a worker tells the one who answers.
pub enum Event {
    Block(Bytes),
    /// The end; after no block, or with the last bytes of the encoding.
    End {
        last: Bytes,
        counts: Counts,
    },
    /// Nothing was sent before.
    Failed(Exception),
    /// The last block told the exception: the body must not end like a good one.
    Broken,
}

/// Why a request stopped.
enum Stop {
    Failed(Exception),
    /// The client has gone, or doesn't read.
    Gone,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Failed(exception)
    }
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Failed(Exception::from_engine(message))
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(Exception::new(1001, "STD_EXCEPTION", &error.to_string()))
    }
}

/// The way out of a worker.
struct Output<'a> {
    events: &'a mpsc::Sender<Event>,
    encoder: Encoder,
    started: bool,
    engine: &'a Engine,
}

impl Output<'_> {
    fn send(&self, event: Event) -> Result<(), Stop> {
        match self.engine.block_on(self.engine.stall_limit, self.events.send(event)) {
            Some(Ok(())) => Ok(()),
            _ => Err(Stop::Gone),
        }
    }

    fn block(&mut self, block: Bytes) -> Result<(), Stop> {
        if block.is_empty() {
            return Ok(());
        }
        let encoded = self.encoder.block(block)?;
        self.started = true;
        self.send(Event::Block(encoded))
    }
}

/// Runs a request to its end and tells `events`.
pub fn run(engine: &Engine, mut request: Request, ticket: &Ticket, events: &mpsc::Sender<Event>) {
    let started = Instant::now();
    let done = DoneOnDrop(ticket);
    let encoder = std::mem::replace(&mut request.encoder, Encoder::Plain);
    let mut output = Output { events, encoder, started: false, engine };
    let mut log = engine.query_log.as_ref().map(|_| LogEntry::new(&request));
    let outcome = if ticket.is_cancelled() {
        Err(Exception::cancelled().into())
    } else {
        serve(engine, &mut request, ticket, &mut output)
    };
    drop(done);
    if let (Some(query_log), Some(entry)) = (&engine.query_log, log.take()) {
        let (counts, exception) = match &outcome {
            Ok(counts) => (*counts, None),
            Err(Stop::Failed(exception)) => (Counts::default(), Some(exception.clone())),
            Err(Stop::Gone) => (Counts::default(), Some(Exception::cancelled())),
        };
        query_log.add(entry.finished(started.elapsed(), counts, exception));
    }
    // A client that has gone needs no event.
    let _ = conclude(output, outcome, &request.exception_tag);
}

fn conclude(mut output: Output<'_>, outcome: Result<Counts, Stop>, tag: &str) -> Result<(), Stop> {
    match outcome {
        Ok(counts) => {
            let encoder = std::mem::replace(&mut output.encoder, Encoder::Plain);
            let last = encoder.finish()?;
            output.send(Event::End { last, counts })
        }
        Err(Stop::Failed(exception)) if output.started => {
            let frame = exception.frame(tag, &output.engine.version);
            output.block(frame.into())?;
            output.send(Event::Broken)
        }
        Err(Stop::Failed(exception)) => output.send(Event::Failed(exception)),
        Err(Stop::Gone) => Ok(()),
    }
}

impl Engine {
    /// Waits for `future` on one of the engine's threads; `None` when it takes longer than `limit`.
    pub fn block_on<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        // The timer is made inside: it needs the runtime's context.
        self.runtime.block_on(async { tokio::time::timeout(limit, future).await.ok() })
    }

    /// A connection with no state.
    pub fn connect(&self) -> Result<Connection, Exception> {
        self.library.connect(&self.arguments).ok_or_else(|| {
            Exception::new(
                1001,
                "STD_EXCEPTION",
                "The engine refused a connection; its reason is on standard error.",
            )
        })
    }
}

/// Claims the session, if the request has one, and gives it back whatever happens.
fn serve(
    engine: &Engine,
    request: &mut Request,
    ticket: &Ticket,
    output: &mut Output<'_>,
) -> Result<Counts, Stop> {
    ticket.mark_settings(request);
    let Some(session) = request.session.clone() else {
        let mut connection = engine.connect()?;
        prepare(&mut connection, request)?;
        return work(&mut connection, request, ticket, output);
    };
    let kept = engine.sessions.claim(&session, Instant::now())?;
    let was_kept = kept.is_some();
    let keep = was_kept || leaves_state(&request.work);
    let outcome = kept.map_or_else(|| engine.connect(), Ok).map_err(Stop::from).and_then(|mut connection| {
        let outcome = serve_in_session(&mut connection, request, ticket, output, keep);
        let keep_it = keep && outcome.as_ref().map_or(was_kept, |(_, restored)| *restored);
        engine.sessions.release(&session, keep_it.then_some(connection), Instant::now());
        outcome.map(|(counts, _)| counts)
    });
    if outcome.is_err() && !was_kept {
        engine.sessions.release(&session, None, Instant::now());
    }
    outcome
}

/// Makes the request's database and settings the connection's.
fn prepare(connection: &mut Connection, request: &Request) -> Result<(), Exception> {
    if let Some(database) = &request.database {
        settings::use_database(connection, database)?;
    }
    settings::apply(connection, &request.settings)
}

/// Says also whether the settings and the database of the request could be taken back: in ClickHouse they are the
/// request's, not the session's.
fn serve_in_session(
    connection: &mut Connection,
    request: &mut Request,
    ticket: &Ticket,
    output: &mut Output<'_>,
    keep: bool,
) -> Result<(Counts, bool), Stop> {
    let previous = if keep { settings::current(connection, &request.settings)? } else { Vec::new() };
    let previous_database = match &request.database {
        Some(_) if keep => Some(settings::current_database(connection)?),
        _ => None,
    };
    let outcome = prepare(connection, request)
        .map_err(Stop::from)
        .and_then(|()| work(connection, request, ticket, output));
    let restored = settings::apply(connection, &previous).and_then(|()| {
        restore_database(connection, request.database.as_deref(), previous_database.as_deref())
    });
    let restored = restored.is_ok();
    outcome.map(|counts| (counts, restored))
}

/// Goes back to the session's database, unless the request itself was a `USE` of another one.
fn restore_database(
    connection: &mut Connection,
    of_request: Option<&str>,
    previous: Option<&str>,
) -> Result<(), Exception> {
    let Some(previous) = previous else { return Ok(()) };
    if of_request == Some(settings::current_database(connection)?.as_str()) {
        settings::use_database(connection, previous)?;
    }
    Ok(())
}

/// Whether a statement changes its session: `SET`, `USE`, temporary tables.
fn leaves_state(work: &Work) -> bool {
    match work {
        Work::Statement { tail, .. } => tail.temporary || tail.kind == StatementKind::Session,
        Work::Insert { .. } => false,
    }
}

fn work(
    connection: &mut Connection,
    request: &mut Request,
    ticket: &Ticket,
    output: &mut Output<'_>,
) -> Result<Counts, Stop> {
    match &mut request.work {
        Work::Insert { .. } if request.read_only => Err(read_only().into()),
        Work::Insert { sql, format, first, body } => {
            let data = std::mem::take(first);
            let sql = [ticket.mark(), " ", sql.trim_end()].concat();
            insert(connection, (&sql, format), &request.params, data, body, ticket, output)
        }
        Work::Statement { .. } => statement(connection, request, ticket, output),
    }
}

fn read_only() -> Exception {
    Exception::new(
        164,
        "READONLY",
        "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use \
         method POST for modifying queries.",
    )
}

fn statement(
    connection: &mut Connection,
    request: &Request,
    ticket: &Ticket,
    output: &mut Output<'_>,
) -> Result<Counts, Stop> {
    let Work::Statement { sql, tail, format } = &request.work else { return Ok(Counts::default()) };
    if tail.outfile {
        return Err(
            Exception::new(48, "NOT_IMPLEMENTED", "INTO OUTFILE and FROM INFILE are not allowed").into()
        );
    }
    let (count, class) = connection.classify(sql);
    if count > 1 && tail.kind != StatementKind::Insert {
        return Err(
            Exception::new(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)").into()
        );
    }
    if request.read_only && matches!(class, StatementClass::Mutating | StatementClass::Control) {
        return Err(read_only().into());
    }
    if tail.kind == StatementKind::System
        && let Some(query_log) = &output.engine.query_log
    {
        query_log.flush(output.engine)?;
    }
    let marked = marked(sql, tail, ticket);
    let cuts = if request.whole || tail.totals { Blocks::Whole } else { formats::blocks(format) };
    let forbidden = request.settings.iter().any(|(name, value)| formats::setting_forbids_blocks(name, value));
    if class == StatementClass::ReadOnly
        && cuts != Blocks::Whole
        && !forbidden
        && tail.kind == StatementKind::Select
    {
        return stream(connection, &marked, request, cuts, output);
    }
    let result = connection.query(&marked, format, &request.params)?;
    let counts = result.counts();
    output.block(Bytes::from_owner(result))?;
    Ok(counts)
}

/// The statement with the comment by which it can be killed: behind it, so that positions in syntax errors stay;
/// before an insert, whose data come last.
fn marked(sql: &[u8], tail: &Tail, ticket: &Ticket) -> Vec<u8> {
    if tail.kind == StatementKind::Insert {
        [ticket.mark().as_bytes(), b" ", sql].concat()
    } else {
        [&sql[..tail.end], b"\n", ticket.mark().as_bytes()].concat()
    }
}

fn stream(
    connection: &mut Connection,
    sql: &[u8],
    request: &Request,
    cuts: Blocks,
    output: &mut Output<'_>,
) -> Result<Counts, Stop> {
    let Work::Statement { format, .. } = &request.work else { return Ok(Counts::default()) };
    let mut blocks = connection.stream_query(sql, format, &request.params)?;
    let mut counts = Counts::default();
    let mut head: Option<Bytes> = None;
    while let Some(block) = blocks.next()? {
        counts.add(&block.counts());
        let mut block = Bytes::from_owner(block);
        if let Blocks::Headed(shape) = cuts {
            match &head {
                None => head = shape.length(&block).map(|length| Bytes::copy_from_slice(&block[..length])),
                Some(head) if block.starts_with(head) => block = block.slice(head.len()..),
                Some(_) => {
                    return Err(String::from("a block of the result has another head than the first").into());
                }
            }
        }
        output.block(block)?;
    }
    Ok(counts)
}

fn insert(
    connection: &mut Connection,
    (sql, format): (&str, &str),
    params: &[(String, String)],
    first: Bytes,
    body: &mut RequestBody,
    ticket: &Ticket,
    output: &Output<'_>,
) -> Result<Counts, Stop> {
    let outcome = append_all(connection, (sql, format), params, first, body, ticket, output.engine);
    if outcome.is_err() {
        // A client that is still sending would not read the answer.
        body.drain(output.engine);
    }
    outcome
}

fn append_all(
    connection: &mut Connection,
    (sql, format): (&str, &str),
    params: &[(String, String)],
    first: Bytes,
    body: &mut RequestBody,
    ticket: &Ticket,
    engine: &Engine,
) -> Result<Counts, Stop> {
    let mut stream = connection.stream_insert(sql.as_bytes(), format, params)?;
    let mut next = Some(first);
    while let Some(data) = next {
        if ticket.is_cancelled() {
            stream.cancel();
            return Err(Exception::cancelled().into());
        }
        if !data.is_empty() && !stream.append(&data) {
            break;
        }
        next = match body.next_blocking(engine) {
            Ok(next) => next,
            Err(exception) => {
                stream.cancel();
                return Err(exception.into());
            }
        };
    }
    Ok(stream.finish()?)
}
