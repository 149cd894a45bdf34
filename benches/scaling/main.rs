//! The scaling bench: what the core costs with more and more of everything. `bench.rs` says how it is measured. Run by
//! `cargo bench -p furt-benches --bench scaling`, and as a part of `make performance`.
//!
//! This file is only the program around `bench.rs`, which the smoke test in `tests/performance.rs` runs as well.
#![allow(clippy::print_stderr, reason = "a bench speaks to whoever runs it")]

#[path = "bench.rs"]
mod bench;
mod figure;
mod grid;
mod tables;

use std::process::ExitCode;

use clap::Parser as _;

/// The one that furt has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scaling: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // cargo starts a bench in its package's folder; paths are meant from the top.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    bench::run(bench::Options::parse(), &mut std::io::stdout())
}
