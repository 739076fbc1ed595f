//! Links with the start-up code's script; the board's crate provides `memory.x`.

fn main() {
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=build.rs");
}
