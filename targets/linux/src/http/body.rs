//! Bodies: chunks put together, compressed ones unpacked, both within a limit.

use std::io::Read;

use super::head::Encoding;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("a chunk of the body: {0}")]
    Chunk(&'static str),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the body is not what its content encoding says: {0}")]
    Encoding(String),
}

impl BodyError {
    /// The status to answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::TooLarge(_) => 413,
            Self::Chunk(_) | Self::Encoding(_) => 400,
        }
    }
}

/// The longest line of a chunk's size with its extensions, or of a trailer.
const MAX_LINE: usize = 1024;
/// Lines after the last chunk.
const MAX_TRAILERS: usize = 16;

/// Where a body of chunks is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Size,
    Data(usize),
    DataEnd,
    Trailer(usize),
    End,
}

/// Puts the chunks of a body together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    position: Position,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { position: Position::Size }
    }

    /// Takes what it can of `input`, appends the data to `out` and gives the number of bytes taken, and whether the body is complete.
    pub(super) fn take(&mut self, input: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(usize, bool), BodyError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            match self.position {
                Position::End => return Ok((at, true)),
                Position::Data(left) => {
                    let taken = left.min(rest.len());
                    if out.len() + taken > most {
                        return Err(BodyError::TooLarge(most));
                    }
                    out.extend_from_slice(&rest[..taken]);
                    at += taken;
                    if taken < left {
                        self.position = Position::Data(left - taken);
                        return Ok((at, false));
                    }
                    self.position = Position::DataEnd;
                }
                Position::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        at += 2;
                        self.position = Position::Size;
                    }
                    [] | [b'\r'] => return Ok((at, false)),
                    _ => return Err(BodyError::Chunk("its data is not followed by the end of a line")),
                },
                Position::Size | Position::Trailer(_) => {
                    let Some(line) = line(rest)? else { return Ok((at, false)) };
                    self.position = match self.position {
                        Position::Trailer(_) if line == 2 => Position::End,
                        Position::Trailer(count) if count < MAX_TRAILERS => Position::Trailer(count + 1),
                        Position::Trailer(_) => return Err(BodyError::Chunk("more trailers than are taken")),
                        // The parser takes a line without a digit for zero.
                        _ if !rest[0].is_ascii_hexdigit() => {
                            return Err(BodyError::Chunk("its size is no hexadecimal number"));
                        }
                        _ => match httparse::parse_chunk_size(&rest[..line]) {
                            Ok(httparse::Status::Complete((_, 0))) => Position::Trailer(0),
                            Ok(httparse::Status::Complete((_, size))) => {
                                let size = usize::try_from(size).ok().filter(|&size| size <= most);
                                Position::Data(size.ok_or(BodyError::TooLarge(most))?)
                            }
                            _ => return Err(BodyError::Chunk("its size is no hexadecimal number")),
                        },
                    };
                    at += line;
                }
            }
        }
    }
}

/// Length of the line at the start, with its end.
fn line(rest: &[u8]) -> Result<Option<usize>, BodyError> {
    match memchr::memchr(b'\n', &rest[..rest.len().min(MAX_LINE)]) {
        Some(end) if end > 0 && rest[end - 1] == b'\r' => Ok(Some(end + 1)),
        Some(_) => Err(BodyError::Chunk("a line ends without a carriage return")),
        None if rest.len() >= MAX_LINE => Err(BodyError::Chunk("its first line is too long")),
        None => Ok(None),
    }
}

/// Undoes a content encoding.
pub(super) fn decode(encoding: Encoding, body: &[u8], out: &mut Vec<u8>, most: usize) -> Result<(), BodyError> {
    let failed = |error: std::io::Error| BodyError::Encoding(error.to_string());
    let limit = most as u64 + 1;
    match encoding {
        Encoding::Identity => return Ok(()),
        Encoding::Gzip => {
            flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(out).map_err(failed)?;
        }
        // Both forms are sent under this name: with zlib's head, as RFC 9110 says, and without.
        Encoding::Deflate if flate2::read::ZlibDecoder::new(body).take(limit).read_to_end(out).is_err() => {
            out.clear();
            flate2::read::DeflateDecoder::new(body).take(limit).read_to_end(out).map_err(failed)?;
        }
        Encoding::Deflate => {}
    }
    if out.len() > most { Err(BodyError::TooLarge(most)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] =
        b"4\r\nWiki\r\n6;name=value\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: x\r\n\r\nnext";

    #[test]
    fn chunks_are_put_together_however_they_come() {
        for step in 1..CHUNKED.len() {
            let (mut chunks, mut out, mut buffer, mut complete) = (Chunks::new(), Vec::new(), Vec::new(), false);
            for piece in CHUNKED.chunks(step) {
                buffer.extend_from_slice(piece);
                let (taken, ended) = chunks.take(&buffer, &mut out, 100).unwrap();
                buffer.drain(..taken);
                complete |= ended;
            }
            assert_eq!((out.as_slice(), buffer.as_slice()), (&b"Wikipedia in \r\n\r\nchunks."[..], &b"next"[..]));
            assert!(complete);
        }
    }

    #[test]
    fn broken_chunks_are_refused() {
        for body in [&b"x\r\n"[..], b"4\nWiki", b"4\r\nWikixx", b"ffffffffffffffff\r\n", b"-1\r\n", b"\r\n"] {
            assert!(Chunks::new().take(body, &mut Vec::new(), 100).is_err(), "{body:?}");
        }
        assert_eq!(Chunks::new().take(CHUNKED, &mut Vec::new(), 8), Err(BodyError::TooLarge(8)));
        assert!(Chunks::new().take(&[b'1'; 2000], &mut Vec::new(), 100).is_err());
    }

    #[test]
    fn a_bomb_is_stopped() {
        use flate2::Compression;
        use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
        use std::io::Write;
        let zeros = vec![0u8; 1 << 20];
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&zeros).unwrap();
        zlib.write_all(&zeros).unwrap();
        raw.write_all(&zeros).unwrap();
        for (encoding, packed) in [
            (Encoding::Gzip, gzip.finish().unwrap()),
            (Encoding::Deflate, zlib.finish().unwrap()),
            (Encoding::Deflate, raw.finish().unwrap()),
        ] {
            let mut out = Vec::new();
            assert_eq!(decode(encoding, &packed, &mut out, 1 << 20), Ok(()));
            assert_eq!(out.len(), 1 << 20);
            assert_eq!(decode(encoding, &packed, &mut Vec::new(), 1000), Err(BodyError::TooLarge(1000)));
            assert!(decode(encoding, &packed[..packed.len() / 2], &mut Vec::new(), 1 << 20).is_err());
        }
    }
}
