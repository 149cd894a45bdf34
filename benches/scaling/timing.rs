//! The timing loop, and what this process holds in memory.
//!
//! Memory is the resident set from `/proc/self/statm`, before and after: the crate forbids unsafe code, and with it an
//! allocator that counts. It is a process of its own each time, so that nothing freed earlier is taken again; what the
//! allocator holds back is in it, as it is in life.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::super::figure::Spread;

/// How long is measured: so many samples, each the mean over so many operations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    samples: u32,
    /// Operations that are over in some 100 ns.
    pub(super) short: u32,
    /// Operations that take microseconds.
    pub(super) long: u32,
    /// Memory that grew by less than this says nothing: it grows in steps of 2 MiB where the kernel gives huge pages.
    least_growth_bytes: u64,
}

impl Effort {
    /// For figures.
    pub(super) const FULL: Self = Self { samples: 21, short: 40_960, long: 100, least_growth_bytes: 8 << 20 };
    /// To see that it works.
    pub(super) const SMOKE: Self = Self { samples: 3, short: 64, long: 3, least_growth_bytes: 256 << 10 };

    /// Times `operations` in each sample; `one_sample` does so many of them and says how long it took, in ns an operation.
    ///
    /// # Errors
    /// An operation fails.
    pub(super) fn sample(self, operations: u32, mut one_sample: impl FnMut(u32) -> Result<Duration>) -> Result<Spread> {
        one_sample(operations.div_ceil(4))?;
        let mut samples = Vec::new();
        for _ in 0..self.samples {
            samples.push(one_sample(operations)?.as_secs_f64() * 1e9 / f64::from(operations));
        }
        Spread::of(samples).context("there are no samples")
    }
}

/// How long something takes.
///
/// # Errors
/// It fails.
pub(super) fn timed(operation: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    operation()?;
    Ok(began.elapsed())
}

/// Memory as it was, to be compared with what it is.
pub(super) struct Memory {
    before: u64,
}

impl Memory {
    /// Now.
    ///
    /// # Errors
    /// The system does not tell.
    pub(super) fn now() -> Result<Self> {
        Ok(Self { before: resident_bytes()? })
    }

    /// What each of `things` cost since then; `None`: too little in all to be seen.
    ///
    /// # Errors
    /// The system does not tell.
    pub(super) fn of_each(&self, things: u32, effort: Effort) -> Result<Option<f64>> {
        let grown = resident_bytes()?.saturating_sub(self.before);
        Ok((grown >= effort.least_growth_bytes).then(|| grown as f64 / f64::from(things)))
    }
}

fn resident_bytes() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").context("memory is not known")?;
    let pages: u64 =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).context("statm has no second number")?;
    Ok(pages * rustix::param::page_size() as u64)
}
