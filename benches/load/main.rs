//! The load bench: furt beside the gateways that its users would otherwise run. `README.md` beside the benches says what
//! is measured and how it is kept equal. Run by `cargo bench -p furt-benches --bench load`, or `make bench-load`.
//!
//! This file is only the program around `bench.rs`, which the smoke test in `tests/load.rs` runs as well.
#![allow(clippy::print_stderr, reason = "a bench speaks to whoever runs it")]

#[path = "bench.rs"]
mod bench;

use std::process::ExitCode;

use bench::{Options, Own, Role};
use clap::Parser as _;

/// The one that furt has: the bare proxy is to be of the same build.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match play_or_run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play_or_run() -> anyhow::Result<()> {
    match Role::of_this_process()? {
        Some(role) => role.play(),
        None => {
            // cargo starts a bench in its package's folder; paths are meant from the top.
            std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
            bench::run(Options::parse(), &Own::try_new(&[])?, &mut std::io::stdout()).map(drop)
        }
    }
}
