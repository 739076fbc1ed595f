use std::path::Path;

use ekiben_runtime::Artifact;

use super::*;
use crate::compile::compile_path;

fn fixture(case: &str) -> crate::compile::CompiledArtifact {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(case);
    compile_path(&model, None).unwrap()
}

fn profile(text: &str) -> Result<Target, TargetError> {
    Target::parse("board", "board.toml", text)
}

const BOARD: &str = "device = 'a board'\nsystem = 'none'\nrust_target = 'thumbv7em-none-eabihf'\nisa = 'armv7e-m'\n";

#[test]
fn every_built_in_profile_is_read_and_leaves_room() {
    let targets = Target::built_in();
    assert_eq!(targets.len(), BUILT_IN.len());
    for target in targets {
        assert!(target.reserved_ram < target.ram, "{}", target.name);
        assert_eq!(target.flash.is_none(), target.system == System::Linux, "{}", target.name);
    }
}

/// The row of a target in docs/targets.md.
fn row(target: &Target) -> String {
    let size = |bytes: u64| match bytes {
        0 => String::new(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{} KiB", bytes >> 10),
    };
    let Target { name, device, isa, features, ram, flash, reserved_ram, reserved_flash, .. } = target;
    let instructions = [std::slice::from_ref(isa), features].concat().join(" ");
    let flash = size(flash.unwrap_or(0));
    let (ram, reserved_ram, reserved_flash) = (size(*ram), size(*reserved_ram), size(*reserved_flash));
    format!("| `{name}` | {device} | {instructions} | {ram} | {reserved_ram} | {flash} | {reserved_flash} |")
}

#[test]
fn the_documentation_has_every_built_in_profile() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/targets.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(documented, Target::built_in().iter().map(row).collect::<Vec<_>>());
}

#[test]
fn sizes_are_bytes_or_have_a_unit() {
    let board = profile(&format!("{BOARD}ram = 4096\nflash = '2 MiB'\nreserved_ram = '1KiB'\n")).unwrap();
    assert_eq!((board.ram, board.flash, board.reserved_ram, board.reserved_flash), (4096, Some(2 << 20), 1024, 0));
    for (wrong, said) in [
        ("'4 KB'", "is no size"),
        ("'99999999999 GiB'", "is no size"),
        ("-1", "ram"),
        ("4096\nrom = 1", "unknown field"),
    ] {
        let error = profile(&format!("{BOARD}ram = {wrong}\n")).unwrap_err().to_string();
        assert!(error.contains("board.toml") && error.contains(said), "{error}");
    }
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = Target::open("stm32f5").unwrap_err().to_string();
    assert!(error.contains("stm32f4") && error.contains("rp2350"), "{error}");
    assert!(matches!(Target::open("no/such/board.toml"), Err(TargetError::Io { .. })));
}

#[test]
fn needs_are_those_of_the_artifact() {
    let compiled = fixture("tflite/ds_cnn_int8/model.tflite");
    let artifact = Artifact::parse(compiled.bytes()).unwrap();
    let board = |ram| profile(&format!("{BOARD}ram = {ram}\nflash = 1000000\n")).unwrap();
    let fit = Fit::of(&artifact, &board(1 << 20));
    assert!(fit.fits());
    let [ram, flash] = &fit.demands[..] else { panic!() };
    let arena = compiled.arenas[0].bytes(1).unwrap() as u64;
    assert_eq!(ram.parts[0].bytes, arena);
    let stored: u64 = flash.parts[..3].iter().map(|part| part.bytes).sum();
    assert_eq!(stored, compiled.bytes().len() as u64);
    // One byte less than is needed is too little.
    let needed = ram.needed();
    assert!(Fit::of(&artifact, &board(needed)).fits());
    let short = Fit::of(&artifact, &board(needed - 1));
    assert!(!short.fits() && short.to_string().contains("does not fit"), "{short}");
}

#[test]
fn multiply_accumulates_are_counted() {
    let work = |case: &str| {
        let compiled = fixture(case);
        let artifact = Artifact::parse(compiled.bytes()).unwrap();
        Fit::of(&artifact, &Target::open("stm32f4").unwrap()).work[0].multiply_accumulates
    };
    // Widths 64, 32, 32, 8, 32, 64.
    let dense = 64 * 32 + 32 * 32 + 32 * 8 + 8 * 32 + 32 * 64;
    for case in ["tflite/autoencoder_float/model.tflite", "tflite/autoencoder_int8/model.tflite"] {
        assert_eq!(work(case), dense, "{case}");
    }
    // 13 x 5 places of 8 x 4 filters, then 3 x 3 and 1 x 1 ones over 32 channels on 13 x 5 and on 7 x 3 places, and six classes.
    let images = 65 * 32 * (8 * 4 + 9 + 32) + 21 * 32 * (9 + 32) + 32 * 6;
    for case in ["tflite/ds_cnn_float/model.tflite", "tflite/ds_cnn_int8/model.tflite"] {
        assert_eq!(work(case), images, "{case}");
    }
}
