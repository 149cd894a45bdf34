//! Which cores who runs on: gateways on the first ones, one for each of their threads; driver and origin on the others.
//!
//! A process inherits the cores of the thread that starts it, with all its workers. Where there are too few cores for
//! both sides they share, and the report says so.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two sides.
pub(super) struct Cores {
    gateway: CpuSet,
    driver: CpuSet,
    /// Whether they have no core in common.
    pub(super) are_apart: bool,
    /// How many there are in all.
    pub(super) count: usize,
}

impl Cores {
    /// Divides the cores that this process may use.
    ///
    /// # Errors
    /// The system does not tell them.
    pub(super) fn divide(threads: usize) -> Result<Self> {
        let all = sched_getaffinity(None).context("the cores of this process are not known")?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
        let are_apart = threads < cores.len();
        let (first, others) = if are_apart { cores.split_at(threads) } else { (&*cores, &*cores) };
        Ok(Self { gateway: set_of(first), driver: set_of(others), are_apart, count: cores.len() })
    }

    /// Takes this thread, and what it starts from now on, to the driver's side.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(super) fn enter_driver(&self) -> Result<()> {
        sched_setaffinity(None, &self.driver).context("cannot move to the driver's cores")
    }

    /// Runs `start` on the gateways' side, so that what it starts stays there.
    ///
    /// # Errors
    /// The system does not allow it, or `start` fails.
    pub(super) fn on_gateway<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        sched_setaffinity(None, &self.gateway).context("cannot move to the gateways' cores")?;
        let started = start();
        self.enter_driver()?;
        started
    }
}

fn set_of(cores: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    set
}
