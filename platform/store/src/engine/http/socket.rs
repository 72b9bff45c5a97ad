//! A connection that tells when all that was written has gone to the kernel: a body that must be cut after its last
//! frame has no other way to know that the frame is out.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// How often a connection's buffers have been emptied.
#[derive(Debug, Default)]
pub struct Flushes {
    count: AtomicU64,
    waiting: Mutex<Option<Waker>>,
}

impl Flushes {
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Waits for another flush after the one that was number `seen`.
    pub fn poll_beyond(&self, seen: u64, context: &Context<'_>) -> Poll<()> {
        *self.waiting.lock() = Some(context.waker().clone());
        if self.count() > seen { Poll::Ready(()) } else { Poll::Pending }
    }

    fn add(&self) {
        self.count.fetch_add(1, Ordering::AcqRel);
        if let Some(waker) = self.waiting.lock().take() {
            waker.wake();
        }
    }
}

/// A TCP connection that counts its flushes.
pub struct Socket {
    io: TokioIo<TcpStream>,
    flushes: Arc<Flushes>,
}

impl Socket {
    pub fn new(stream: TcpStream) -> (Self, Arc<Flushes>) {
        let flushes = Arc::new(Flushes::default());
        (Self { io: TokioIo::new(stream), flushes: Arc::clone(&flushes) }, flushes)
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, data)
    }

    /// The server flushes only after it has written all that it had buffered.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.flushes.add();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, data)
    }
}
