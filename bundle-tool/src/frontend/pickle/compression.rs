//! Whole-file compression, as `joblib.dump(…, compress=…)` writes it.

use super::error::PickleError;
use super::limits::Limits;
use std::borrow::Cow;
use std::io::Read;

/// Data up to this size is exempt from the expansion limit.
const EXPANSION_FLOOR: u64 = 64 << 20;

/// Memory of the LZMA decoder in KiB: preset 9, the largest, needs 65 MiB.
const LZMA_MEMORY_KIB: u32 = 80 << 10;

/// The bytes of the pickle in `file`, decompressed where `file` is compressed.
pub(super) fn open<'a>(file: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, PickleError> {
    if file.len() as u64 > limits.input_bytes {
        return Err(PickleError::Limit { offset: 0, what: "bytes in the file", limit: limits.input_bytes });
    }
    let (format, reader): (&'static str, Box<dyn Read + 'a>) = match file {
        [0x80, ..] => return Ok(Cow::Borrowed(file)),
        [0x78, ..] => ("zlib", Box::new(flate2::read::ZlibDecoder::new(file))),
        [0x1f, 0x8b, ..] => ("gzip", Box::new(flate2::read::MultiGzDecoder::new(file))),
        [b'B', b'Z', b'h', ..] => ("bz2", Box::new(bzip2::read::MultiBzDecoder::new(file))),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            ("xz", Box::new(lzma_rust2::XzReader::new_mem_limit(file, true, LZMA_MEMORY_KIB)))
        }
        [0x5d, 0, ..] => {
            let reader = lzma_rust2::LzmaReader::new_mem_limit(file, LZMA_MEMORY_KIB, None);
            ("lzma", Box::new(reader.map_err(|e| damaged("lzma", &e))?))
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => {
            return Err(PickleError::CompressionUnsupported {
                format: "lz4",
                advice: "save the model again with `joblib.dump(model, path, compress=('gzip', 3))`",
            });
        }
        [b'Z', b'F', ..] => {
            return Err(PickleError::CompressionUnsupported {
                format: "joblib's format before version 0.10",
                advice: "load the model and save it again with a newer joblib",
            });
        }
        _ => return Err(not_a_pickle(file)),
    };
    inflate(file.len() as u64, format, reader, limits).map(Cow::Owned)
}

/// Reads all of `reader`, up to the bounds of `limits` for a file of `compressed` bytes.
fn inflate(
    compressed: u64,
    format: &'static str,
    reader: Box<dyn Read + '_>,
    limits: &Limits,
) -> Result<Vec<u8>, PickleError> {
    let expanded = compressed.saturating_mul(limits.expansion).max(EXPANSION_FLOOR);
    let limit = expanded.min(limits.decoded_bytes);
    let mut out = Vec::new();
    let mut bounded = reader.take(limit.saturating_add(1));
    bounded.read_to_end(&mut out).map_err(|e| damaged(format, &e))?;
    if out.len() as u64 > limit {
        return Err(PickleError::Limit {
            offset: 0,
            what: "bytes of decompressed data for a file of this size",
            limit,
        });
    }
    if out.first() != Some(&0x80) {
        return Err(not_a_pickle(&out));
    }
    Ok(out)
}

fn damaged(format: &'static str, error: &std::io::Error) -> PickleError {
    PickleError::CompressionDamaged { format, reason: error.to_string() }
}

fn not_a_pickle(bytes: &[u8]) -> PickleError {
    let found = match bytes {
        [] => "the file is empty".to_owned(),
        [b'P', b'K', 3, 4, ..] => "it is a zip archive (PyTorch and skops files are)".to_owned(),
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "it is a numpy array file".to_owned(),
        [b'(' | b']' | b'}' | b'c', ..] => "it looks like pickle protocol 0 or 1".to_owned(),
        _ => {
            let head: Vec<String> = bytes.iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("it starts with the bytes {}", head.join(" "))
        }
    };
    PickleError::NotAPickle { found }
}
