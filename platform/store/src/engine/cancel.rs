//! Cancelling queries: each running query carries a mark in its text or its settings, and a thread of its own with a connection of
//! its own kills the marked query when its reader has gone. The C API can't interrupt a call from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::Duration,
};

use super::execute::Request;
use super::ffi::Connection;

/// How long a kill may take to show before it is repeated: it misses a query that has not started yet.
const REPEAT: Duration = Duration::from_millis(50);

/// A setting that has no effect but to be seen.
const LOG_COMMENT: &str = "log_comment";

/// One query's fate, shared by its reader and its worker.
#[derive(Debug)]
pub struct Ticket {
    mark: String,
    cancelled: AtomicBool,
    done: AtomicBool,
}

impl Ticket {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            mark: format!("/*tally-query-{}*/", NEXT.fetch_add(1, Ordering::Relaxed)),
            cancelled: AtomicBool::new(false),
            done: AtomicBool::new(false),
        }
    }

    /// A comment, unique in this process, to append to the query's text.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Puts the mark where it is seen of a query with parameters, too: the engine writes such a query anew, without comments.
    pub fn mark_settings(&self, request: &mut Request) {
        if !request.params.is_empty() && !request.settings.iter().any(|(name, _)| name == LOG_COMMENT) {
            request.settings.push((LOG_COMMENT.to_owned(), self.mark.clone()));
        }
    }

    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
}

/// Tells that the worker no longer runs the query when dropped, also by a panic.
pub struct DoneOnDrop<'a>(pub &'a Ticket);

impl Drop for DoneOnDrop<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Release);
    }
}

/// Cancels the query when dropped before its end.
pub struct CancelOnDrop {
    ticket: Arc<Ticket>,
    killer: Sender<Arc<Ticket>>,
}

impl CancelOnDrop {
    pub fn new(ticket: Arc<Ticket>, killer: Sender<Arc<Ticket>>) -> Self {
        Self { ticket, killer }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if !self.ticket.is_done() {
            self.ticket.cancelled.store(true, Ordering::Release);
            // The killer outlives the server except at shutdown, when nothing runs any more.
            let _ = self.killer.send(Arc::clone(&self.ticket));
        }
    }
}

/// Kills what comes in until every sender is gone and the last killed query has ended.
pub fn run(mut connection: Connection, tickets: &Receiver<Arc<Ticket>>) {
    let mut pending: Vec<Arc<Ticket>> = Vec::new();
    let mut open = true;
    while open || !pending.is_empty() {
        match receive(tickets, open, pending.is_empty()) {
            Ok(ticket) => pending.push(ticket),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        pending.retain(|ticket| !ticket.is_done());
        for ticket in &pending {
            kill(&mut connection, ticket);
        }
    }
}

fn receive(tickets: &Receiver<Arc<Ticket>>, open: bool, idle: bool) -> Result<Arc<Ticket>, RecvTimeoutError> {
    if !open {
        std::thread::sleep(REPEAT);
        return Err(RecvTimeoutError::Timeout);
    }
    if idle {
        return tickets.recv().map_err(|_| RecvTimeoutError::Disconnected);
    }
    tickets.recv_timeout(REPEAT)
}

fn kill(connection: &mut Connection, ticket: &Ticket) {
    let mark = ticket.mark();
    let sql = format!(
        "KILL QUERY WHERE endsWith(query, '{mark}') OR startsWith(query, '{mark}') OR Settings['{LOG_COMMENT}'] = '{mark}' \
         ASYNC FORMAT Null"
    );
    if let Err(error) = connection.query(sql.as_bytes(), "Null", &[]) {
        tracing::warn!(error, "could not cancel a query");
    }
}
