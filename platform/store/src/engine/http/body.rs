//! The body of a request: its encodings undone, its size bounded, readable from both sides of the engine.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::engine::{
    encoding::ContentEncoding, exception::Exception, execute::Engine, lz4_blocks::BlockReader,
};

/// What a decoder hands on at once.
const PIECE: usize = 256 << 10;
/// Pieces that wait between a decoder and the engine.
const PIECES_WAITING: usize = 4;
/// How much of a refused body is read, so that its sender gets to the answer.
const DRAINED: u64 = 64 << 20;
const LONGEST_DRAIN: Duration = Duration::from_secs(5);

enum Source {
    Plain(Incoming),
    /// Decoded by a blocking thread.
    Decoded(mpsc::Receiver<io::Result<Bytes>>),
    Done,
}

/// A request's body.
pub struct RequestBody {
    source: Source,
    left: u64,
}

impl RequestBody {
    /// A body of at most `limit` bytes after decoding. `lz4_blocks` is ClickHouse's `decompress=1`, inside of the
    /// content encoding.
    pub fn new(body: Incoming, encoding: Option<ContentEncoding>, lz4_blocks: bool, limit: u64) -> Self {
        let source = if encoding.is_none() && !lz4_blocks {
            Source::Plain(body)
        } else {
            Source::Decoded(decode(body, encoding, lz4_blocks))
        };
        Self { source, left: limit }
    }

    /// The next bytes; `None` at the end of a body that has arrived whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        let next = match &mut self.source {
            Source::Done => None,
            Source::Decoded(pieces) => pieces.recv().await,
            Source::Plain(body) => next_data(body).await,
        };
        match next {
            None => {
                self.source = Source::Done;
                Ok(None)
            }
            Some(Err(error)) => {
                self.source = Source::Done;
                Err(broken(&error))
            }
            Some(Ok(data)) => {
                self.left = self.left.checked_sub(data.len() as u64).ok_or_else(too_large)?;
                Ok(Some(data))
            }
        }
    }

    /// As `next`; a client that sends nothing for longer than `limit` is not waited for any more.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Option<Bytes>, Exception> {
        let next = tokio::time::timeout(limit, self.next()).await;
        next.unwrap_or_else(|_| {
            self.source = Source::Done;
            let message = "Timeout exceeded while reading the request's body";
            Err(Exception::new(159, "TIMEOUT_EXCEEDED", message))
        })
    }

    /// As `next_within` the stall limit, on one of the engine's threads.
    pub fn next_blocking(&mut self, engine: &Engine) -> Result<Option<Bytes>, Exception> {
        engine.runtime.block_on(self.next_within(engine.stall_limit))
    }

    /// Reads on without use, so that the sender gets to the answer; bounded in size and time.
    pub fn drain(&mut self, engine: &Engine) {
        engine.runtime.block_on(self.discard());
    }

    /// As `drain`, on one of the runtime's threads.
    pub async fn discard(&mut self) {
        // Whether it arrives whole doesn't matter any more.
        let _ = tokio::time::timeout(LONGEST_DRAIN, self.discard_all()).await;
    }

    async fn discard_all(&mut self) {
        let mut discarded = 0;
        while let Ok(Some(data)) = self.next().await {
            discarded += data.len() as u64;
            if discarded > DRAINED {
                return;
            }
        }
    }
}

async fn next_data(body: &mut Incoming) -> Option<io::Result<Bytes>> {
    loop {
        match body.frame().await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(io::Error::other(error))),
        }
    }
}

fn broken(error: &io::Error) -> Exception {
    let code = match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => (271, "CANNOT_DECOMPRESS"),
        _ => (210, "NETWORK_ERROR"),
    };
    Exception::new(code.0, code.1, &format!("Cannot read the request's body: {error}"))
}

fn too_large() -> Exception {
    Exception::new(307, "TOO_MANY_BYTES", "The request's body is larger than the server's limit")
}

fn decode(
    body: Incoming,
    encoding: Option<ContentEncoding>,
    lz4_blocks: bool,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (pieces, receiver) = mpsc::channel(PIECES_WAITING);
    let unwanted = pieces.clone();
    let data = TryStreamExt::map_err(BodyStream::new(body), io::Error::other)
        .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) })
        // A body that doesn't come must not hold its thread and its connection when nobody waits for it any more.
        .take_until(async move { unwanted.closed().await });
    let wire = SyncIoBridge::new(StreamReader::new(Box::pin(data)));
    tokio::task::spawn_blocking(move || {
        let mut reader: Box<dyn Read + Send> = Box::new(wire);
        if let Some(encoding) = encoding {
            reader = encoding.reader(reader);
        }
        if lz4_blocks {
            reader = Box::new(BlockReader::new(reader));
        }
        hand_on(&mut reader, &pieces);
    });
    receiver
}

/// Reads to the end, or until nobody wants more.
fn hand_on(reader: &mut dyn Read, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let outcome = reader.take(PIECE as u64).read_to_end(&mut piece);
        let last = outcome.is_err() || piece.is_empty();
        if !piece.is_empty() && pieces.blocking_send(Ok(piece.into())).is_err() {
            return;
        }
        if let Err(error) = outcome {
            // The receiver may be gone, then nobody asks why.
            let _ = pieces.blocking_send(Err(error));
        }
        if last {
            return;
        }
    }
}
