//! What a file is, by its content.

/// The format of a model file, told by its first bytes or its structure, never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelFormat {
    /// An ONNX `ModelProto`.
    Onnx,
    /// A TensorFlow Lite flatbuffer (`TFL3`).
    Tflite,
    /// A Python pickle of protocol 2 to 5: pickle, cloudpickle or uncompressed joblib.
    Pickle,
    /// A compressed file that BentoML does not write itself: zlib, gzip, bzip2, xz or lzma, as `joblib.dump(compress=…)` makes.
    Compressed,
    /// The binary format of xgboost before 2.2, with `binf` in front or without.
    XgboostBinary,
    /// A CatBoost model: `.cbm` (`CBM1`), or the JSON document that `save_model(format="json")` writes.
    Catboost,
    /// A UBJSON object, as xgboost writes.
    Ubjson,
    /// A JSON object or array.
    Json,
    /// LightGBM's text format, under whatever extension.
    LightgbmText,
    /// An HDF5 file, as Keras writes.
    Hdf5,
    /// A MOJO of H2O: a zip with `model.ini`.
    Mojo,
    /// H2O's own binary format, which `h2o.save_model` writes.
    H2oBinary,
    /// A zip of PyTorch: torch.save, TorchScript, `torch.export`, or fast.ai's export.
    Torch,
    /// TensorFlow's `saved_model.pb`.
    SavedModel,
    /// A `.keras` archive: a zip of the architecture and an HDF5 file of weights.
    Keras,
    /// The architecture of a Keras model, whose weights are in another file.
    KerasJson,
    /// Another zip.
    Zip,
    /// None of these.
    Unknown,
}

impl ModelFormat {
    /// Tells the format of a whole file.
    pub fn of(bytes: &[u8]) -> ModelFormat {
        match bytes {
            [b'P', b'K', 3, 4, ..] if contains(bytes, b"model.ini") => ModelFormat::Mojo,
            [b'P', b'K', 3, 4, ..] if contains(bytes, b"model.weights.h5") => ModelFormat::Keras,
            [b'P', b'K', 3, 4, ..] if TORCH_MEMBERS.iter().any(|name| contains(bytes, name)) => ModelFormat::Torch,
            [b'P', b'K', 3, 4, ..] => ModelFormat::Zip,
            [0x1c, 0xed, ..] => ModelFormat::H2oBinary,
            [0x80, 2..=5, ..] => ModelFormat::Pickle,
            [_, _, _, _, b'T', b'F', b'L', b'3', ..] => ModelFormat::Tflite,
            [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => ModelFormat::Hdf5,
            [b'b', b'i', b'n', b'f', ..] => ModelFormat::XgboostBinary,
            [b'C', b'B', b'M', b'1', ..] => ModelFormat::Catboost,
            [b'{', b'L' | b'U' | b'i' | b'I' | b'l', ..] => ModelFormat::Ubjson,
            [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]
            | [0x1f, 0x8b, ..]
            | [b'B', b'Z', b'h', ..]
            | [0xfd, b'7', b'z', b'X', b'Z', 0, ..]
            | [0x5d, 0, 0, ..] => ModelFormat::Compressed,
            _ if bytes.starts_with(b"tree\n") || bytes.starts_with(b"tree\r\n") => ModelFormat::LightgbmText,
            _ if is_bare_xgboost(bytes) => ModelFormat::XgboostBinary,
            _ if is_onnx(bytes) => ModelFormat::Onnx,
            // `saved_model_schema_version`, which is 1, and then the first of `meta_graphs`.
            [0x08, 0x01, 0x12, ..] => ModelFormat::SavedModel,
            _ if matches!(bytes.trim_ascii_start(), [b'{', ..]) && is_catboost(bytes) => ModelFormat::Catboost,
            _ if matches!(bytes.trim_ascii_start(), [b'{', ..]) && is_keras(bytes) => ModelFormat::KerasJson,
            _ if matches!(bytes.trim_ascii_start(), [b'{' | b'[', ..]) => ModelFormat::Json,
            _ => ModelFormat::Unknown,
        }
    }
}

/// Members that one of PyTorch's zips has.
const TORCH_MEMBERS: [&[u8]; 3] = [b"/data.pkl", b"/archive_format", b"serialized_exported_program.json"];

/// Whether `bytes` is xgboost's binary format without `binf`: 136 bytes of parameters, the name of an objective, that of a booster.
fn is_bare_xgboost(bytes: &[u8]) -> bool {
    const PARAMETERS: usize = 136;
    const BOOSTERS: [&[u8]; 3] = [b"gbtree", b"dart", b"gblinear"];
    fn name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        let (length, rest) = bytes.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok().filter(|&length| length <= 64)?;
        rest.split_at_checked(length)
    }
    let names = bytes.get(PARAMETERS..).and_then(|rest| {
        let (objective, rest) = name(rest)?;
        Some((objective, name(rest)?.0))
    });
    names.is_some_and(|(objective, booster)| objective.iter().all(u8::is_ascii_graphic) && BOOSTERS.contains(&booster))
}

/// Whether `part` is somewhere in `bytes`.
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether a JSON document has the members of a CatBoost model.
fn is_catboost(bytes: &[u8]) -> bool {
    let has = |name: &[u8]| contains(bytes, name);
    has(b"\"features_info\"") && (has(b"\"oblivious_trees\"") || has(b"\"trees\""))
}

/// Whether a JSON document is the architecture of a Keras model.
fn is_keras(bytes: &[u8]) -> bool {
    let has = |name: &[u8]| contains(bytes, name);
    let classes: [&[u8]; 3] = [b"\"Sequential\"", b"\"Functional\"", b"\"Model\""];
    has(b"\"class_name\"") && has(b"\"layers\"") && classes.iter().any(|class| has(class))
}

/// Whether `bytes` is a protobuf message with the fields of `onnx.ModelProto`: `ir_version` (1, varint) and `graph` (7, message)
/// are there, every field number is one of the message's, and the last field ends with the file.
fn is_onnx(bytes: &[u8]) -> bool {
    let (mut rest, mut version, mut graph) = (bytes, false, false);
    while !rest.is_empty() {
        let Some((key, after)) = varint(rest) else {
            return false;
        };
        rest = match (key >> 3, key & 7) {
            (1 | 5, 0) => {
                version |= key >> 3 == 1;
                let Some((_, after)) = varint(after) else {
                    return false;
                };
                after
            }
            (2..=4 | 6..=8 | 14 | 20 | 25 | 26, 2) => {
                graph |= key >> 3 == 7;
                let Some((length, after)) = varint(after) else {
                    return false;
                };
                let Some(after) = usize::try_from(length).ok().and_then(|length| after.get(length..)) else {
                    return false;
                };
                after
            }
            _ => return false,
        };
    }
    version && graph
}

/// A protobuf varint of at most ten bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index).min(63);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::ModelFormat;

    #[test]
    fn told_by_content() {
        let cases: [(&[u8], ModelFormat); 20] = [
            (b"PK\x03\x04....archive/data.pkl", ModelFormat::Torch),
            (b"\x08\x01\x12\xc0\x10", ModelFormat::SavedModel),
            (b"PK\x03\x04rest", ModelFormat::Zip),
            (b"PK\x03\x04....model.ini", ModelFormat::Mojo),
            (b"PK\x03\x04....model.weights.h5", ModelFormat::Keras),
            (b"{\"class_name\": \"Sequential\", \"config\": {\"layers\": []}}", ModelFormat::KerasJson),
            (b"\x1c\xed\x093.46", ModelFormat::H2oBinary),
            (b"\x80\x04\x95", ModelFormat::Pickle),
            (b"\x1c\0\0\0TFL3", ModelFormat::Tflite),
            (b"\x89HDF\r\n\x1a\n", ModelFormat::Hdf5),
            (b"binf\0", ModelFormat::XgboostBinary),
            (b"CBM1\0", ModelFormat::Catboost),
            (b" {\"features_info\": {}, \"trees\": []}", ModelFormat::Catboost),
            (b"{L\0\0", ModelFormat::Ubjson),
            (b"tree\nversion=v4\n", ModelFormat::LightgbmText),
            (b"\x78\x9c", ModelFormat::Compressed),
            (b" {\"a\": 1}", ModelFormat::Json),
            (b"\x08\x06\x3a\x02\x0a\x00", ModelFormat::Onnx),
            (b"\x08\x06\x3a\x03\x0a\x00", ModelFormat::Unknown),
            (b"", ModelFormat::Unknown),
        ];
        for (bytes, format) in cases {
            assert_eq!(ModelFormat::of(bytes), format, "{bytes:02x?}");
        }
    }
}
