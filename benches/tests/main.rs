//! The smoke runs of the benches, so that they cannot rot: everything once and as small as it gets. No figure is judged.
//!
//! The benches' own code is a module here, with its unit tests: as a program it would be linked a second time. The load
//! bench measures furt's binary, which `make bench-smoke` builds before.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]

mod load;
mod performance;
