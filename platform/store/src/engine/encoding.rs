//! How bodies are compressed on the wire, in both directions.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, read::ZlibDecoder, write::GzEncoder};
use lz4_flex::frame::{FrameDecoder, FrameEncoder};

use super::lz4_blocks;

/// ClickHouse's `http_zlib_compression_level`.
const GZIP_LEVEL: u32 = 3;

/// A `Content-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    Gzip,
    Deflate,
    Lz4Frame,
}

impl ContentEncoding {
    /// The encoding of a `Content-Encoding` header. `Err`: the name of one that isn't supported.
    pub fn of_request(header: &str) -> Result<Option<Self>, &str> {
        match header.trim() {
            "" | "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "deflate" => Ok(Some(Self::Deflate)),
            "lz4" => Ok(Some(Self::Lz4Frame)),
            other => Err(other),
        }
    }

    /// The encoding to answer an `Accept-Encoding` header with: LZ4 costs least, gzip is known everywhere.
    pub fn for_answer(header: &str) -> Option<Self> {
        let accepts = |name: &str| {
            header.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                parts.next() == Some(name) && parts.all(|part| part != "q=0")
            })
        };
        [(Self::Lz4Frame, "lz4"), (Self::Gzip, "gzip")]
            .into_iter()
            .find_map(|(encoding, name)| accepts(name).then_some(encoding))
    }

    /// The header's value.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Lz4Frame => "lz4",
        }
    }

    /// Reads what `inner` holds in this encoding.
    pub fn reader(self, inner: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
        match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(inner)),
            Self::Deflate => Box::new(ZlibDecoder::new(inner)),
            Self::Lz4Frame => Box::new(FrameDecoder::new(inner)),
        }
    }
}

/// Compresses an answer block by block, so that each block can be read when it arrives.
pub enum Encoder {
    Plain,
    Lz4Blocks,
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Lz4Frame(Box<FrameEncoder<Vec<u8>>>),
}

impl Encoder {
    /// `lz4_blocks` is ClickHouse's `compress=1`; it goes before a content encoding.
    pub fn new(lz4_blocks: bool, encoding: Option<ContentEncoding>) -> Self {
        match encoding {
            _ if lz4_blocks => Self::Lz4Blocks,
            Some(ContentEncoding::Gzip) => {
                Self::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL))))
            }
            Some(ContentEncoding::Lz4Frame) => Self::Lz4Frame(Box::new(FrameEncoder::new(Vec::new()))),
            Some(ContentEncoding::Deflate) | None => Self::Plain,
        }
    }

    /// One block, ready to send.
    pub fn block(&mut self, block: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Plain => Ok(block),
            Self::Lz4Blocks => {
                let mut out = Vec::new();
                lz4_blocks::compress(&block, &mut out);
                Ok(out.into())
            }
            Self::Gzip(encoder) => {
                encoder.write_all(&block)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
            Self::Lz4Frame(encoder) => {
                encoder.write_all(&block)?;
                encoder.flush()?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
        }
    }

    /// What has to follow the last block.
    pub fn finish(self) -> io::Result<Bytes> {
        match self {
            Self::Plain | Self::Lz4Blocks => Ok(Bytes::new()),
            Self::Gzip(encoder) => encoder.finish().map(Bytes::from),
            Self::Lz4Frame(encoder) => encoder.finish().map(Bytes::from).map_err(io::Error::other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_decides_the_answers_encoding() {
        let cases = [
            ("gzip", Some(ContentEncoding::Gzip)),
            ("lz4,zstd,gzip", Some(ContentEncoding::Lz4Frame)),
            ("br, gzip;q=0.5", Some(ContentEncoding::Gzip)),
            ("gzip;q=0", None),
            ("identity", None),
        ];
        for (header, encoding) in cases {
            assert_eq!(ContentEncoding::for_answer(header), encoding, "{header}");
        }
    }

    #[test]
    fn blocks_of_every_encoding_read_back_as_one_body() {
        for encoding in [ContentEncoding::Gzip, ContentEncoding::Lz4Frame] {
            let mut encoder = Encoder::new(false, Some(encoding));
            let mut wire = Vec::new();
            for block in [&b"first"[..], b"second"] {
                wire.extend_from_slice(&encoder.block(Bytes::copy_from_slice(block)).unwrap());
            }
            wire.extend_from_slice(&encoder.finish().unwrap());
            let mut body = String::new();
            encoding.reader(Box::new(io::Cursor::new(wire))).read_to_string(&mut body).unwrap();
            assert_eq!(body, "firstsecond", "{encoding:?}");
        }
    }
}
