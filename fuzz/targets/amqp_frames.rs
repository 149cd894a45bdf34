//! The target `amqp_frames`; what it asserts is in `furt_fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: furt_fuzz::let_caught_panics_pass(), |data: &[u8]| furt_fuzz::amqp_frames(data));
