//! The load bench: furt beside the gateways that its users would otherwise run. `README.md` beside the benches says what
//! is measured and how it is kept equal. Run by `cargo bench --bench load`, or `make bench-load`.
//!
//! This file is only the program around `bench.rs`, which the smoke test in `tests/it/load.rs` runs as well.

#[path = "bench.rs"]
mod bench;

/// The one that furt has: the bare proxy is to be of the same build.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    bench::main()
}
