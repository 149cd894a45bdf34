//! Choosing an instance (DESIGN §8): the candidates, their turn, and the place that a request holds.
//!
//! Candidates are UP, or UNKNOWN without a failed probe; only when there is none of these, UNKNOWN with one. None is
//! draining. Among them the turn goes by weight, evenly spread. Nothing is allocated.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Instance, Service};
use crate::model::Status;

/// A request's place at an instance: counted in flight until it is dropped, whatever becomes of the request.
#[derive(Debug)]
pub struct Lease(Arc<Instance>);

impl Lease {
    /// The instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.live.release();
    }
}

/// Why no instance could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoInstance {
    /// None is a candidate, or all candidates were tried.
    Unavailable,
    /// Every candidate is at its hard limit.
    Full,
    /// Every instance that could be asked is draining.
    Draining,
}

impl Service {
    /// Takes a place at the candidate whose turn it is, leaving out those for which `tried` says so.
    ///
    /// # Errors
    /// [`NoInstance`].
    pub fn pick(&self, tried: impl Fn(&Instance) -> bool) -> Result<Lease, NoInstance> {
        let is_fresh = |instance: &Instance| match instance.status {
            Status::Up => true,
            Status::Unknown => instance.live.consecutive_failures() == 0,
            Status::Down => false,
        };
        let is_doubtful = |instance: &Instance| instance.status == Status::Unknown && !is_fresh(instance);
        let picked = match self.pick_among(|instance| is_fresh(instance) && !tried(instance)) {
            Err(NoInstance::Unavailable) => self.pick_among(|instance| is_doubtful(instance) && !tried(instance)),
            picked => picked,
        };
        match picked {
            Err(NoInstance::Unavailable) if self.is_draining() => Err(NoInstance::Draining),
            picked => picked,
        }
    }

    fn pick_among(&self, is_candidate: impl Fn(&Instance) -> bool) -> Result<Lease, NoInstance> {
        let is_candidate = |instance: &Arc<Instance>| {
            !instance.addresses.is_empty() && !instance.live.is_draining() && is_candidate(instance)
        };
        let total: u32 =
            self.instances.iter().filter(|one| is_candidate(one)).map(|one| u32::from(one.spec.weight)).sum();
        if total == 0 {
            return Err(NoInstance::Unavailable);
        }
        let turn = self.live.turn.fetch_add(1, Ordering::Relaxed);
        let mut place = place_of_turn(turn, total);
        let mut first = 0;
        for (at, instance) in self.instances.iter().enumerate().filter(|(_, one)| is_candidate(one)) {
            let weight = u32::from(instance.spec.weight);
            if place < weight {
                first = at;
                break;
            }
            place -= weight;
        }
        let from_first = self.instances[first..].iter().chain(&self.instances[..first]);
        // The state of an instance may change between the two passes; what counts is what holds now.
        for instance in from_first.filter(|one| is_candidate(one)) {
            if instance.live.reserve(instance.spec.hard_limit) {
                return Ok(Lease(Arc::clone(instance)));
            }
        }
        let is_left = self.instances.iter().any(is_candidate);
        Err(if is_left { NoInstance::Full } else { NoInstance::Unavailable })
    }
}

/// Which of `total` places has the turn: each once in any `total` turns, and neighbouring turns far apart, so that an
/// instance of weight 200 is not asked 200 times in a row.
///
/// Steps of the golden section spread most evenly; the step and `total` share no factor, so that no place is left out.
fn place_of_turn(turn: u32, total: u32) -> u32 {
    let golden = (f64::from(total) * 0.618_033_988_749_895) as u32;
    let step = (1..=golden).rev().find(|&step| greatest_common_divisor(step, total) == 1).unwrap_or(1);
    let place = u64::from(turn % total) * u64::from(step) % u64::from(total);
    // The remainder of a division by `total`, which is a u32.
    place as u32
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;
