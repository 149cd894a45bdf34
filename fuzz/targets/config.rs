//! The target `config`; what it asserts is in `furt::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: furt::fuzzing::let_caught_panics_pass(), |data: &[u8]| furt::fuzzing::config(data));
