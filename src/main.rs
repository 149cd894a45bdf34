//! furt, the binary: arguments in, exit code out. Everything else is in the library.

use std::process::ExitCode;

/// Requests allocate; mimalloc does it in less time than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before Pingora, which installs another where none is.
    furt::tls::install();
    furt::cli::main()
}
