#![no_main]
#[path = "../surface/mod.rs"]
mod surface;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| surface::run("finding", bytes));
