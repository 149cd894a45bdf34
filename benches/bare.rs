//! The load bench's bare Pingora proxy as a program of its own, so that it can be built as furt is released: with the
//! features of furt's own dependencies, fat LTO and a profile. `RELEASE_BARE=on make release` does.
//!
//! Never installed.
#![allow(clippy::disallowed_methods, reason = "the core is not at work here")]
#![allow(clippy::print_stderr, reason = "a bench speaks to whoever runs it")]

#[path = "load/bare.rs"]
mod bare;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;

/// The one that furt has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Forwards everything to one origin, until it is killed
#[derive(Debug, Parser)]
struct Options {
    /// Where clients reach it
    listen: SocketAddr,
    /// Where everything is forwarded to
    origin: SocketAddr,
    /// Worker threads
    threads: usize,
}

fn main() -> ExitCode {
    let Options { listen, origin, threads } = Options::parse();
    match bare::serve(listen, origin, threads, Some(bare::UPSTREAM_IDLE)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bare: {error:#}");
            ExitCode::FAILURE
        }
    }
}
