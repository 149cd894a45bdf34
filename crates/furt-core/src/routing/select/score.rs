//! What a candidate costs, by the service's policy: the lowest is taken.

use std::time::Duration;

use crate::model::{Definition, LoadBalancingPolicy};
use crate::routing::Instance;

/// What each step of distance costs (after edgeProxy).
const STEP: f64 = 100.0;
/// The least part of its weight that an instance has while it starts slowly, so that it is asked at all.
const LEAST_RAMP: f64 = 0.1;
/// Into so many parts a weight is divided where it grows.
const PARTS: f64 = 16.0;

/// What was found at a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Candidate {
    /// It has a slot.
    Free(Score),
    /// It is at its hard limit.
    Full,
}

/// A candidate's cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    is_at_soft_limit: bool,
    cost: f64,
    /// Its share among equals.
    pub(super) share: u32,
    /// The part of its weight that it has so far, 0 to 1.
    ramp: f64,
}

impl Candidate {
    pub(super) fn of(instance: &Instance, definition: &Definition, distance: u8, now_ms: i64) -> Self {
        let (spec, in_flight) = (&instance.spec, instance.live.in_flight());
        if instance.is_full(in_flight) {
            return Self::Full;
        }
        let weight = f64::from(spec.weight.max(1));
        let (ramp, share) = match definition.slow_start {
            None => (1.0, u32::from(spec.weight.max(1))),
            Some(time) => {
                let ramp = ramp(time, now_ms - instance.live.since_ms.load(std::sync::atomic::Ordering::Relaxed));
                (ramp, (weight * ramp * PARTS).ceil() as u32)
            }
        };
        let load = f64::from(in_flight) / (weight * ramp);
        let cost = match definition.policy {
            LoadBalancingPolicy::Edge | LoadBalancingPolicy::Sticky => {
                f64::from(distance) * STEP + load / f64::from(instance.soft_limit.max(1))
            }
            LoadBalancingPolicy::LeastConn => load,
            LoadBalancingPolicy::RoundRobin | LoadBalancingPolicy::Hash => 0.0,
        };
        let is_at_soft_limit = instance.soft_limit != 0 && in_flight >= instance.soft_limit;
        Self::Free(Score { is_at_soft_limit, cost, share, ramp })
    }
}

/// How much of its weight an instance has after `since_ms` of a slow start.
fn ramp(time: Duration, since_ms: i64) -> f64 {
    let part = since_ms.max(0) as f64 / 1000.0 / time.as_secs_f64().max(f64::MIN_POSITIVE);
    part.clamp(LEAST_RAMP, 1.0)
}

impl Score {
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        (self.is_at_soft_limit, self.cost) < (other.is_at_soft_limit, other.cost)
    }

    pub(super) fn is_at_soft_limit(&self) -> bool {
        self.is_at_soft_limit
    }

    /// Whether nothing beyond `distance` can be better.
    pub(super) fn is_sure_within(&self, distance: usize) -> bool {
        !self.is_at_soft_limit && self.cost < (distance + 1) as f64 * STEP
    }

    /// Whether a draw may fall on it: while it starts slowly, only now and then.
    pub(super) fn is_drawn(&self, random: u32) -> bool {
        self.ramp >= 1.0 || f64::from(random) < self.ramp * f64::from(u32::MAX)
    }
}

/// The `number`-th random number out of a request's random bits.
pub(super) fn random(bits: u64, number: usize) -> u32 {
    (crate::routing::ring::mix(bits.wrapping_add(number as u64)) >> 32) as u32
}
