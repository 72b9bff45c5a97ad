//! ClickHouse's own compressed blocks (`compress=1`, `decompress=1`): 16 bytes of `CityHash128`, a method byte, the two
//! sizes, and LZ4 data.

use std::io::{self, Read};

const CHECKSUM: usize = 16;
/// Method byte and the two sizes; counted in the compressed size.
const HEADER: usize = 9;
const METHOD_LZ4: u8 = 0x82;
const METHOD_NONE: u8 = 0x02;
/// ClickHouse's own writers cut at 1 MiB.
const BLOCK: usize = 1 << 20;
/// `DBMS_MAX_COMPRESSED_SIZE` is 1 GiB; nobody sends such blocks, and each costs its size in memory.
const LARGEST: usize = 256 << 20;

/// Appends `data` to `out` as blocks of at most 1 MiB.
pub fn compress(data: &[u8], out: &mut Vec<u8>) {
    for piece in data.chunks(BLOCK) {
        let start = out.len();
        out.resize(start + CHECKSUM + HEADER + lz4_flex::block::get_maximum_output_size(piece.len()), 0);
        let body = &mut out[start + CHECKSUM..];
        let length = lz4_flex::block::compress_into(piece, &mut body[HEADER..])
            .expect("the output has the largest size that LZ4 can need");
        body[0] = METHOD_LZ4;
        body[1..5].copy_from_slice(&((HEADER + length) as u32).to_le_bytes());
        body[5..9].copy_from_slice(&(piece.len() as u32).to_le_bytes());
        let checksum = checksum(&body[..HEADER + length]);
        out[start..start + CHECKSUM].copy_from_slice(&checksum);
        out.truncate(start + CHECKSUM + HEADER + length);
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let hash = cityhash_rs::cityhash_102_128(body);
    let mut bytes = [0; CHECKSUM];
    bytes[..8].copy_from_slice(&((hash >> 64) as u64).to_le_bytes());
    bytes[8..].copy_from_slice(&(hash as u64).to_le_bytes());
    bytes
}

/// Reads blocks as the bytes that they hold.
pub struct BlockReader<R> {
    inner: R,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> BlockReader<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, block: Vec::new(), at: 0 }
    }

    /// Reads one block; false at a clean end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut head = [0; CHECKSUM + HEADER];
        let got = read_up_to(&mut self.inner, &mut head)?;
        if got == 0 {
            return Ok(false);
        }
        if got < head.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let size =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (compressed, plain) = (size(CHECKSUM + 1), size(CHECKSUM + 5));
        if !(HEADER..=LARGEST).contains(&compressed) || plain > LARGEST {
            return Err(invalid(format!("compressed block of {compressed} bytes holding {plain}")));
        }
        let mut body = head[CHECKSUM..].to_vec();
        (&mut self.inner).take((compressed - HEADER) as u64).read_to_end(&mut body)?;
        if body.len() < compressed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if checksum(&body) != head[..CHECKSUM] {
            return Err(invalid("checksum of a compressed block doesn't match".to_owned()));
        }
        self.at = 0;
        self.block = match body[0] {
            METHOD_LZ4 => lz4_flex::block::decompress(&body[HEADER..], plain)
                .map_err(|error| invalid(format!("cannot decompress a block: {error}")))?,
            METHOD_NONE => body.split_off(HEADER),
            method => {
                return Err(invalid(format!("unknown compression method {method:#04x}; LZ4 is supported")));
            }
        };
        Ok(true)
    }
}

impl<R: Read> Read for BlockReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let length = out.len().min(self.block.len() - self.at);
        out[..length].copy_from_slice(&self.block[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

fn read_up_to(reader: &mut impl Read, out: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < out.len() {
        match reader.read(&mut out[got..])? {
            0 => break,
            length => got += length,
        }
    }
    Ok(got)
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        BlockReader::new(bytes).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn blocks_read_back() {
        for size in [0, 1, 100, BLOCK, 3 * BLOCK + 7] {
            let data: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
            let mut blocks = Vec::new();
            compress(&data, &mut blocks);
            assert_eq!(read(&blocks).unwrap(), data, "{size}");
        }
    }

    #[test]
    fn a_damaged_or_cut_block_is_an_error() {
        let mut blocks = Vec::new();
        compress(b"some rows", &mut blocks);
        assert!(read(&blocks[..blocks.len() - 1]).is_err());
        assert!(read(&blocks[..10]).is_err());
        *blocks.last_mut().unwrap() ^= 1;
        assert!(read(&blocks).unwrap_err().to_string().contains("checksum"));
    }
}
