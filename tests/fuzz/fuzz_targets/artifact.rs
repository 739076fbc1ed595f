#![no_main]

ekiben_fuzz::fuzz_target!(|bytes: &[u8]| ekiben_fuzz::load(bytes, false));
