//! Draws what the load bench and the scaling bench have written, and puts its tables into `docs/performance.md`, so that
//! no figure there is typed by hand. Run by `make performance`.
//!
//! This file is only the program around `plots.rs`, which the smoke test in `tests/performance.rs` runs as well.
#![allow(clippy::print_stderr, reason = "a bench speaks to whoever runs it")]

#[path = "../scaling/figure.rs"]
mod figure;
#[path = "../scaling/grid.rs"]
mod grid;
#[path = "plots.rs"]
mod plots;
#[path = "../scaling/tables.rs"]
mod tables;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plots: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    // cargo starts a bench in its package's folder; paths are meant from the top.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
    plots::run(&plots::Options::parse(), &mut std::io::stdout())
}
