//! Images as Pillow and OpenCV compute them: files of every format, and steps from there, against their own pixels.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ekiben_edge::image::{DecodeError, Image, ImageError, Limits, decode};
use ekiben_runtime::artifact::image::{Filter, Mode, Turn};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/images")
}

fn file(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn cases() -> Vec<Value> {
    serde_json::from_slice(&file("cases.json")).expect("JSON")
}

/// What the case says, in the words of the manifest.
fn word<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn done(image: &Image, step: &Value) -> Result<Image, ImageError> {
    let size = |value: &Value| word::<(usize, usize)>(value);
    match step[0].as_str().expect("a kind") {
        "convert" => image.convert(word::<Mode>(&step[1])),
        "crop" => {
            let [left, top, right, bottom] = word::<[i64; 4]>(&step[1]);
            image.crop(left, top, right, bottom)
        }
        "turn" => Ok(image.turn(turn(step[1].as_str().expect("a turn")))),
        "exif_transpose" => Ok(image.exif_transpose()),
        "reduce" => {
            let (x, y) = size(&step[1]);
            image.reduce(x, y, word::<Option<[usize; 4]>>(&step[2]))
        }
        "resize" => {
            let (part, gap) = (word::<Option<[f64; 4]>>(&step[3]), word::<Option<f64>>(&step[4]));
            image.resize(size(&step[1]), word::<Filter>(&step[2]), part, gap)
        }
        "opencv_gray" => image.opencv_gray(word::<bool>(&step[1])),
        other => panic!("step {other}"),
    }
}

fn turn(name: &str) -> Turn {
    let turns = [
        ("flip_left_right", Turn::FlipLeftRight),
        ("flip_top_bottom", Turn::FlipTopBottom),
        ("rotate_90", Turn::Rotate90),
        ("rotate_180", Turn::Rotate180),
        ("rotate_270", Turn::Rotate270),
        ("transpose", Turn::Transpose),
        ("transverse", Turn::Transverse),
    ];
    turns.into_iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("turn {name}")).1
}

/// The image after all steps of a case.
fn result(case: &Value) -> Result<Image, String> {
    let name = case["file"].as_str().expect("a file");
    let mut image = decode(&file(name), &Limits::default()).map_err(|error| error.to_string())?;
    for step in case["steps"].as_array().expect("steps") {
        image = done(&image, step).map_err(|error| error.to_string())?;
    }
    Ok(image)
}

/// What the last step of a case is about, for the table.
fn subject(case: &Value, mode: &str) -> String {
    let name = case["file"].as_str().expect("a file");
    let steps = case["steps"].as_array().expect("steps");
    let Some(last) = steps.last() else {
        let stem = name.split('.').next().expect("a stem");
        let kind: Vec<&str> =
            stem.split('_').filter(|word| word.parse::<f64>().is_err() && !word.contains('x')).collect();
        return format!("decode {}", kind.join(" "));
    };
    let part = if last[3].is_null() { "" } else { " of a part" };
    let gap = if last[4].is_null() { "" } else { " with a gap" };
    match last[0].as_str().expect("a kind") {
        "convert" if steps.len() > 1 => {
            format!("convert {} to {mode}", steps[steps.len() - 2][1].as_str().unwrap_or(""))
        }
        "convert" => format!("convert {name} to {mode}"),
        "resize" => format!("resize {mode} {}{part}{gap}", last[2].as_str().expect("a filter")),
        other => format!("{other} {mode}"),
    }
}

/// Largest and mean difference of two images' values; bytes but in modes `I`, `I;16` and `F`.
fn difference(mode: &str, got: &[u8], expected: &[u8]) -> (f64, f64) {
    let values = |bytes: &[u8]| -> Vec<f64> {
        let wide = |bytes: &[u8]| [bytes[0], bytes[1], bytes[2], bytes[3]];
        match mode {
            "I" => bytes.chunks_exact(4).map(|value| i32::from_le_bytes(wide(value)).into()).collect(),
            "F" => bytes.chunks_exact(4).map(|value| f32::from_le_bytes(wide(value)).into()).collect(),
            "I;16" => bytes.chunks_exact(2).map(|value| u16::from_le_bytes([value[0], value[1]]).into()).collect(),
            _ => bytes.iter().map(|&value| value.into()).collect(),
        }
    };
    let differences: Vec<f64> =
        values(got).iter().zip(values(expected)).map(|(got, want)| (got - want).abs()).collect();
    let worst = differences.iter().copied().fold(0.0, f64::max);
    (worst, differences.iter().sum::<f64>() / differences.len().max(1) as f64)
}

/// One line of the table.
#[derive(Default)]
struct Line {
    cases: usize,
    equal: usize,
    worst: f64,
    mean: f64,
}

/// The expected pixels of a case, where they are known and not only their hash.
fn expected(index: usize, case: &Value) -> Option<Vec<u8>> {
    if let Some(raw) = std::env::var_os("EKIBEN_IMAGES_RAW") {
        return fs::read(PathBuf::from(raw).join(format!("{index}.raw"))).ok();
    }
    let name = case["expected"].as_str()?;
    Some(decode(&file(name), &Limits::default()).expect("a PNG image").into_data())
}

fn check(index: usize, case: &Value, line: &mut Line) -> Result<(), String> {
    let image = result(case)?;
    let (mode, size) = (image.mode().name(), json!([image.width(), image.height()]));
    if case["mode"] != mode || case["size"] != size {
        return Err(format!("it is {mode} {size} instead of {} {}", case["mode"], case["size"]));
    }
    let hash = blake3::hash(image.data()).to_hex();
    line.cases += 1;
    if hash.as_str().starts_with(case["blake3"].as_str().expect("a hash")) {
        line.equal += 1;
        return Ok(());
    }
    let Some(expected) = expected(index, case) else { return Err("its pixels differ".to_owned()) };
    let (worst, mean) = difference(mode, image.data(), &expected);
    line.worst = line.worst.max(worst);
    line.mean = line.mean.max(mean);
    match word::<Option<[f64; 2]>>(&case["near"]) {
        Some([most, most_mean]) if worst <= most && mean <= most_mean => Ok(()),
        _ => Err(format!("its pixels differ by {worst} at most, {mean:.4} in the mean")),
    }
}

#[test]
fn images_are_what_pillow_and_opencv_make_of_them() {
    let cases = cases();
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    let mut failures = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let line = lines.entry(subject(case, case["mode"].as_str().expect("a mode"))).or_default();
        if let Err(what) = check(index, case, line) {
            failures.push(format!("case {index}, {} {}: {what}", case["file"], case["steps"]));
        }
    }
    println!("| operation, mode, filter | cases | equal | worst difference | worst mean |\n|---|---|---|---|---|");
    for (subject, Line { cases, equal, worst, mean }) in &lines {
        println!("| {subject} | {cases} | {equal} | {worst} | {mean:.4} |");
    }
    let equal: usize = lines.values().map(|line| line.equal).sum();
    println!("{equal} of {} cases are equal to the bit", cases.len());
    assert!(cases.len() >= 400, "only {} cases", cases.len());
    let shown = failures.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} cases fail:\n{shown}", failures.len(), cases.len());
}

/// All image files of the fixtures, those with expected pixels apart.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| !name.ends_with(".json") && name != "expected")
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), file(&name))).collect()
}

/// Reads bytes that may be anything, and does with the image what the first step of an adapter may.
fn survive(bytes: &[u8], limits: &Limits) -> bool {
    let Ok(image) = decode(bytes, limits) else { return false };
    assert!(image.width() * image.height() <= limits.max_pixels);
    assert_eq!(
        image.data().len(),
        image.width() * image.height() * image.mode().channels() * image.mode().value_bytes()
    );
    let _ = image.exif_transpose().convert(Mode::Rgba);
    true
}

#[test]
fn damaged_files_are_refused_or_read_and_never_panic() {
    let limits = Limits { max_pixels: 1 << 16, ..Limits::default() };
    let (mut read, mut refused) = (0, 0);
    let mut count = |image: bool| if image { read += 1 } else { refused += 1 };
    for (index, (_, bytes)) in files().iter().enumerate() {
        for part in 0..24 {
            count(survive(&bytes[..bytes.len() * part / 24], &limits));
        }
        let mut seed = index as u64 + 1;
        for turn in 0..48 {
            let mut damaged = bytes.clone();
            for _ in 0..1 + turn % 3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Every second flip is near the start, where the headers are.
                let reach = if turn & 1 == 0 { damaged.len().min(64) } else { damaged.len() };
                let at = (seed >> 33) as usize % reach;
                damaged[at] ^= 1 << (seed >> 29 & 7);
            }
            count(survive(&damaged, &limits));
        }
    }
    println!("{read} damaged files are still images, {refused} are refused");
    assert!(refused > read / 4, "{refused} refused, {read} read");
}

#[test]
fn files_that_end_early_say_so() {
    let png = file("photo.png");
    let jpeg = file("jpeg_photo_2_75.jpg");
    for bytes in [&png[..png.len() / 2], &jpeg[..jpeg.len() / 2], &jpeg[..jpeg.len() - 2]] {
        let error = decode(bytes, &Limits::default()).expect_err("it is cut");
        assert!(matches!(error, DecodeError::Damaged { .. }), "{error}");
    }
}

#[test]
fn sizes_are_checked_before_anything_is_allocated() {
    let limits = Limits { max_bytes: 1 << 20, max_pixels: 100 };
    for (name, bytes) in files() {
        match decode(&bytes, &limits) {
            Ok(image) => assert!(image.width() * image.height() <= 100, "{name}"),
            Err(DecodeError::Size { width, height, max_pixels: 100, .. }) => assert!(width * height > 100, "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    let bytes = file("photo.png");
    let small = Limits { max_bytes: 100, ..limits };
    assert_eq!(decode(&bytes, &small), Err(DecodeError::Bytes { given: bytes.len(), max: 100 }));
    let mut bomb = bytes;
    bomb[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    assert!(decode(&bomb, &Limits::default()).is_err());
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let image = decode(&file("photo.png"), &Limits::default()).expect("an image");
    assert!(matches!(image.convert(Mode::P), Err(ImageError::Convert { from: "RGBA", to: "P" })));
    assert!(matches!(image.crop(5, 0, 4, 1), Err(ImageError::Part { .. })));
    assert!(matches!(image.crop(i64::MIN, 0, i64::MAX, 1), Err(ImageError::Part { .. } | ImageError::Size { .. })));
    assert!(matches!(image.resize((0, 1), Filter::Box, None, None), Err(ImageError::Size { .. })));
    assert!(matches!(image.resize((1 << 20, 1 << 20), Filter::Box, None, None), Err(ImageError::Size { .. })));
    let beyond = Some([0.0, 0.0, 97.0, 1.0]);
    assert!(matches!(image.resize((2, 2), Filter::Box, beyond, None), Err(ImageError::Part { .. })));
    let nan = Some([f64::NAN; 4]);
    assert!(matches!(image.resize((2, 2), Filter::Lanczos, nan, None), Err(ImageError::Part { .. })));
    assert!(matches!(image.reduce(0, 1, None), Err(ImageError::Number { .. })));
    assert!(matches!(Image::new(Mode::Rgb, 2, 2, vec![0; 11]), Err(ImageError::Data { needed: 12, given: 11, .. })));
}

#[test]
fn png_files_come_back_as_they_were() {
    for (name, bytes) in files() {
        let image = decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        match image.to_png() {
            Ok(png) => {
                let again = decode(&png, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!((again.mode(), again.data()), (image.mode(), image.data()), "{name}");
                let colours = |image: &Image| image.convert(Mode::Rgba).map(Image::into_data);
                assert_eq!(colours(&again), colours(&image), "{name}");
            }
            Err(error) => assert!(matches!(error, ImageError::Mode { .. }), "{name}: {error}"),
        }
    }
}
