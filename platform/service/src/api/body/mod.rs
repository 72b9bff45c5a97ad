//! A request's body to text: which format and encoding it says it has, then its bytes, decompressed as they arrive and
//! never held beyond the limits. Runs only after the caller is known. What the text means is the endpoint's business.

mod form;
mod in_flight;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use flate2::write::{GzDecoder, ZlibDecoder};
use futures::FutureExt;
use http_body_util::BodyExt as _;
use prometheus::IntGauge;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::api::ApiError;
use in_flight::{Exhausted, InFlight, Reservation};

/// What a service's bodies may take. Sizes are bytes, durations seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodyLimits {
    /// Bytes a request's body may have as sent, compressed or not; longer is 413.
    pub max_body_bytes: usize,
    /// Bytes a compressed body may become; longer is 413.
    pub max_decompressed_bytes: usize,
    /// Seconds a body may take to arrive; longer is 408.
    pub body_timeout_s: u64,
    /// Bytes of bodies, as sent and decompressed, held at once over all requests; beyond is 503.
    pub max_in_flight_bytes: usize,
    /// Levels that a form may stand for, the form itself being the first.
    pub max_json_depth: usize,
    /// Seconds a client is asked to wait after a 503.
    pub retry_after_s: u64,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_decompressed_bytes: 1024 * 1024,
            body_timeout_s: 10,
            max_in_flight_bytes: 16 * 1024 * 1024,
            max_json_depth: 32,
            retry_after_s: 1,
        }
    }
}

/// The body is refused as a whole, as GitLab's API framework words it. The text says what is wrong and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("message body does not match declared format: {0}")]
pub struct MalformedBody(pub String);

impl From<serde_json::Error> for MalformedBody {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<MalformedBody> for ApiError {
    fn from(error: MalformedBody) -> Self {
        Self::BadParameters(error.to_string())
    }
}

/// A body that is refused, and what had come of it, for whoever keeps what is refused.
#[derive(Debug)]
pub struct RefusedBody {
    /// The answer.
    pub error: ApiError,
    /// The first bytes of the body, decompressed where it was compressed.
    pub bytes: Vec<u8>,
    /// At least how many bytes there were, where those are not all of them.
    pub whole_size: Option<u64>,
}

impl RefusedBody {
    /// All of the body is there.
    fn whole(error: ApiError, bytes: Vec<u8>) -> Self {
        Self { error, bytes, whole_size: None }
    }

    /// So much of the body is there; `size` is what is known of its length.
    fn in_part(error: ApiError, bytes: Vec<u8>, size: usize) -> Self {
        let whole_size = Some(size.max(bytes.len()) as u64);
        Self { error, bytes, whole_size }
    }
}

/// How a body's text is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Form,
}

/// How a body's bytes are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    /// The zlib format, which is what HTTP means by it.
    Deflate,
}

/// A body as JSON text. Holds its share of the memory for bodies until it is dropped.
pub struct JsonBody {
    text: String,
    _reservation: Reservation,
}

impl JsonBody {
    /// The JSON text, not yet parsed.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Reads one service's bodies within its limits.
pub struct BodyReader {
    limits: BodyLimits,
    in_flight: Arc<InFlight>,
}

impl BodyReader {
    /// A reader that shows in `held_bytes` how much all bodies take.
    pub fn new(limits: BodyLimits, held_bytes: IntGauge) -> Self {
        let in_flight = InFlight::new(limits.max_in_flight_bytes, held_bytes);
        Self { limits, in_flight }
    }

    /// Reads a JSON body, or a form as the JSON it stands for. A body of another type or encoding is 415, one beyond the
    /// limits 413, 408 or 503, and a broken one 400.
    pub async fn read(&self, request: Request) -> Result<JsonBody, ApiError> {
        self.read_keeping(request, 0).await.map_err(|refused| refused.error)
    }

    /// The same; of a body that is refused up to `max_kept` bytes are there, as far as they had arrived. Of one that was
    /// announced to be too long nothing is read.
    pub async fn read_keeping(&self, request: Request, max_kept: usize) -> Result<JsonBody, RefusedBody> {
        let limits = &self.limits;
        let (parts, body) = request.into_parts();
        let announced = announced_length(&parts.headers);
        let (format, encoding) = match self.admit(&parts.headers, announced) {
            Ok(admitted) => admitted,
            Err(error) => {
                // Nothing is read of a body that says it is too long.
                let is_too_long = matches!(error, ApiError::PayloadTooLarge { .. });
                let arrived = if is_too_long { Vec::new() } else { arrived(body, max_kept) };
                return Err(RefusedBody::in_part(error, arrived, announced.unwrap_or(0)));
            }
        };
        let limit = match encoding {
            Encoding::Identity => limits.max_body_bytes,
            Encoding::Gzip | Encoding::Deflate => limits.max_decompressed_bytes,
        };
        let mut bounded = Bounded::new(&self.in_flight, limit);
        if let Err(refusal) = bounded.expect(announced.unwrap_or(0)) {
            return Err(RefusedBody::whole(refusal.answer(encoding, limits), Vec::new()));
        }
        let receiving = receive(body, Decoder::new(encoding, bounded), limits.max_body_bytes);
        let received = timeout(Duration::from_secs(limits.body_timeout_s), receiving).await;
        let bounded = match received {
            Err(_) => return Err(RefusedBody::whole(ApiError::RequestTimeout, Vec::new())),
            Ok(Ok(bounded)) => bounded,
            Ok(Err(Stopped { refusal, mut bytes, received })) => {
                // Whatever it was compressed to, there is more than what came of it, or it would have been received to its end.
                let size = announced.unwrap_or(0).max(received).max(bytes.len() + 1);
                bytes.truncate(max_kept);
                return Err(RefusedBody::in_part(refusal.answer(encoding, limits), bytes, size));
            }
        };
        let text = json_text(format, bounded.bytes, limits.max_json_depth)
            .map_err(|(error, bytes)| RefusedBody::whole(error, bytes))?;
        Ok(JsonBody { text, _reservation: bounded.reservation })
    }

    /// The JSON text of a body that was kept, by its content type; empty for none.
    pub fn text(&self, bytes: Vec<u8>, content_type: &str) -> Result<String, ApiError> {
        let format = format_of(Some(content_type).filter(|name| !name.is_empty()))?;
        json_text(format, bytes, self.limits.max_json_depth).map_err(|(error, _)| error)
    }

    /// What the headers say of a body, unless that is enough to refuse it.
    fn admit(&self, headers: &HeaderMap, announced: Option<usize>) -> Result<(Format, Encoding), ApiError> {
        let format = format_of(header_text(headers, &CONTENT_TYPE))?;
        let encoding = encoding(headers)?;
        let limit = self.limits.max_body_bytes;
        if announced.is_some_and(|length| length > limit) {
            return Err(ApiError::PayloadTooLarge { limit });
        }
        Ok((format, encoding))
    }
}

/// The body's text as JSON, or what is wrong, and the bytes again.
fn json_text(format: Format, bytes: Vec<u8>, max_depth: usize) -> Result<String, (ApiError, Vec<u8>)> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        (malformed(&format!("invalid UTF-8 at byte {at}")), error.into_bytes())
    })?;
    match format {
        Format::Json => Ok(text),
        Format::Form => form::to_json(&text, max_depth)
            .map_err(|error| (malformed(&error.to_string()), text.into_bytes())),
    }
}

/// What has arrived of a body that nobody waits for, up to so many bytes.
fn arrived(mut body: Body, max_bytes: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < max_bytes
        && let Some(Some(Ok(frame))) = body.frame().now_or_never()
    {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data[..data.len().min(max_bytes - bytes.len())]);
        }
    }
    bytes
}

fn malformed(what: &str) -> ApiError {
    MalformedBody(what.to_owned()).into()
}

/// Without a content type a body is JSON, GitLab's default format.
fn format_of(content_type: Option<&str>) -> Result<Format, ApiError> {
    let Some(content_type) = content_type else { return Ok(Format::Json) };
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(Format::Json)
    } else if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(Format::Form)
    } else {
        Err(ApiError::UnsupportedContentType(media_type.to_owned()))
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let Some(encoding) = header_text(headers, &CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        _ => Err(ApiError::UnsupportedContentEncoding(encoding.to_owned())),
    }
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    header_text(headers, &CONTENT_LENGTH)?.parse().ok()
}

fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    // Bytes that are no text are no known type either.
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Why receiving stopped.
#[derive(Debug)]
enum Refusal {
    TooLong { limit: usize },
    NoMemory,
    Broken,
    Disconnected,
}

impl Refusal {
    fn answer(self, encoding: Encoding, limits: &BodyLimits) -> ApiError {
        match self {
            Self::TooLong { limit } => ApiError::PayloadTooLarge { limit },
            Self::NoMemory => ApiError::Unavailable {
                reason: "too many requests at once",
                retry_after_s: limits.retry_after_s,
            },
            Self::Broken => malformed(&format!("not a valid {encoding:?} stream").to_lowercase()),
            Self::Disconnected => malformed("the body ended early"),
        }
    }
}

/// A body that was not received to its end.
struct Stopped {
    refusal: Refusal,
    /// What had come of it, decompressed.
    bytes: Vec<u8>,
    /// How many bytes had come, as sent.
    received: usize,
}

async fn receive(mut body: Body, mut decoder: Decoder, max_bytes: usize) -> Result<Bounded, Stopped> {
    let mut received = 0;
    let refusal = loop {
        let data = match body.frame().await {
            None => break None,
            Some(Err(_)) => break Some(Refusal::Disconnected),
            Some(Ok(frame)) => frame.into_data(),
        };
        let Ok(data) = data else { continue };
        received += data.len();
        if received > max_bytes {
            // What fits is for whoever keeps refused bodies; whether it can be decompressed does not matter any more.
            let _ = decoder.write_all(&data[..data.len() - (received - max_bytes)]);
            break Some(Refusal::TooLong { limit: max_bytes });
        }
        if let Err(refusal) = decoder.write_all(&data) {
            break Some(refusal);
        }
    };
    let refusal = match refusal {
        Some(refusal) => refusal,
        None => match decoder.try_finish() {
            Ok(()) => {
                let bounded = decoder.into_bounded();
                return bounded.map_err(|refusal| Stopped { refusal, bytes: Vec::new(), received });
            }
            Err(refusal) => refusal,
        },
    };
    Err(Stopped { refusal, bytes: std::mem::take(&mut decoder.bounded().bytes), received })
}

/// Bytes that stay below a limit of their own and within the memory for all bodies.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    reservation: Reservation,
    /// Why a write was refused: the decoders pass on only that it was.
    refusal: Option<Refusal>,
}

impl Bounded {
    fn new(in_flight: &Arc<InFlight>, limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, reservation: in_flight.reserve(), refusal: None }
    }

    /// Makes room for `length` bytes at once.
    fn expect(&mut self, length: usize) -> Result<(), Refusal> {
        self.reservation.grow_to(length).map_err(|Exhausted| Refusal::NoMemory)?;
        self.bytes.reserve(length);
        Ok(())
    }

    fn append(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let length = self.bytes.len() + data.len();
        if length > self.limit {
            return Err(Refusal::TooLong { limit: self.limit });
        }
        self.reservation.grow_to(length).map_err(|Exhausted| Refusal::NoMemory)?;
        self.bytes.extend_from_slice(data);
        Ok(())
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.append(data) {
            Ok(()) => Ok(data.len()),
            Err(refusal) => {
                self.refusal = Some(refusal);
                Err(io::Error::other("refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decompresses into [`Bounded`] as data comes in.
enum Decoder {
    Identity(Bounded),
    Gzip(GzDecoder<Bounded>),
    Deflate(ZlibDecoder<Bounded>),
}

impl Decoder {
    fn new(encoding: Encoding, bounded: Bounded) -> Self {
        match encoding {
            Encoding::Identity => Self::Identity(bounded),
            Encoding::Gzip => Self::Gzip(GzDecoder::new(bounded)),
            Encoding::Deflate => Self::Deflate(ZlibDecoder::new(bounded)),
        }
    }

    fn write_all(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let written = match self {
            Self::Identity(bounded) => return bounded.append(data),
            Self::Gzip(decoder) => decoder.write_all(data),
            Self::Deflate(decoder) => decoder.write_all(data),
        };
        written.map_err(|_| self.refusal())
    }

    /// Whether the stream is whole.
    fn try_finish(&mut self) -> Result<(), Refusal> {
        let finished = match self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
        };
        finished.map_err(|_| self.refusal())
    }

    fn into_bounded(self) -> Result<Bounded, Refusal> {
        match self {
            Self::Identity(bounded) => Ok(bounded),
            Self::Gzip(decoder) => decoder.finish().map_err(|_| Refusal::Broken),
            Self::Deflate(decoder) => decoder.finish().map_err(|_| Refusal::Broken),
        }
    }

    /// Why the last write failed: a limit, or else the stream itself.
    fn refusal(&mut self) -> Refusal {
        self.bounded().refusal.take().unwrap_or(Refusal::Broken)
    }

    /// What it has decompressed so far.
    fn bounded(&mut self) -> &mut Bounded {
        match self {
            Self::Identity(bounded) => bounded,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MAX_KEPT: usize = 2_000;

    /// What is kept of a compressed body of which 100,000 bytes are taken, and of how many bytes that is said to be.
    async fn kept(compressed: Vec<u8>) -> (usize, Option<u64>) {
        let limits = BodyLimits { max_decompressed_bytes: 100_000, ..BodyLimits::default() };
        let bodies = BodyReader::new(limits, IntGauge::new("held", "held").unwrap());
        let request = Request::builder().header(CONTENT_ENCODING, "gzip").body(compressed.into()).unwrap();
        let refused = bodies.read_keeping(request, MAX_KEPT).await.err().unwrap();
        (refused.bytes.len(), refused.whole_size)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn what_was_compressed_is_never_kept_in_part_as_if_it_were_all() {
        let mut broken = gzip(&[b' '; 500]);
        broken.truncate(broken.len() - 4);
        for (compressed, expected) in [(gzip(&vec![b' '; 1_000_000]), MAX_KEPT), (broken, 500)] {
            let (kept, whole) = kept(compressed).await;
            assert!(kept == expected && whole > Some(kept as u64), "{kept} of {whole:?}");
        }
    }
}
