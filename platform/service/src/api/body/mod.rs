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
        let limits = &self.limits;
        let format = format(request.headers())?;
        let encoding = encoding(request.headers())?;
        let announced = announced_length(request.headers());
        if announced.is_some_and(|length| length > limits.max_body_bytes) {
            return Err(ApiError::PayloadTooLarge { limit: limits.max_body_bytes });
        }
        let limit = match encoding {
            Encoding::Identity => limits.max_body_bytes,
            Encoding::Gzip | Encoding::Deflate => limits.max_decompressed_bytes,
        };
        let mut bounded = Bounded::new(&self.in_flight, limit);
        bounded.expect(announced.unwrap_or(0)).map_err(|refusal| refusal.answer(encoding, limits))?;
        let decoder = Decoder::new(encoding, bounded);
        let receiving = receive(request.into_body(), decoder, limits.max_body_bytes);
        let received = timeout(Duration::from_secs(limits.body_timeout_s), receiving)
            .await
            .map_err(|_| ApiError::RequestTimeout)?
            .map_err(|refusal| refusal.answer(encoding, limits))?;
        let text = String::from_utf8(received.bytes).map_err(|error| {
            malformed(&format!("invalid UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1))
        })?;
        let text = match format {
            Format::Json => text,
            Format::Form => {
                form::to_json(&text, limits.max_json_depth).map_err(|error| malformed(&error.to_string()))?
            }
        };
        Ok(JsonBody { text, _reservation: received.reservation })
    }
}

fn malformed(what: &str) -> ApiError {
    MalformedBody(what.to_owned()).into()
}

/// Without a content type a body is JSON, GitLab's default format.
fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let Some(content_type) = header_text(headers, &CONTENT_TYPE) else { return Ok(Format::Json) };
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

async fn receive(mut body: Body, mut decoder: Decoder, max_bytes: usize) -> Result<Bounded, Refusal> {
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Disconnected)?.into_data() else { continue };
        received += data.len();
        if received > max_bytes {
            return Err(Refusal::TooLong { limit: max_bytes });
        }
        decoder.write_all(&data)?;
    }
    decoder.finish()
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

    fn finish(mut self) -> Result<Bounded, Refusal> {
        let finished = match &mut self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
        };
        if finished.is_err() {
            return Err(self.refusal());
        }
        match self {
            Self::Identity(bounded) => Ok(bounded),
            Self::Gzip(decoder) => decoder.finish().map_err(|_| Refusal::Broken),
            Self::Deflate(decoder) => decoder.finish().map_err(|_| Refusal::Broken),
        }
    }

    /// Why the last write failed: a limit, or else the stream itself.
    fn refusal(&mut self) -> Refusal {
        let bounded = match self {
            Self::Identity(bounded) => bounded,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        };
        bounded.refusal.take().unwrap_or(Refusal::Broken)
    }
}
