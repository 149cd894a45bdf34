//! When the next probe of each instance is due. Pure: takes the time and the dice, keeps no clock.
//!
//! Probes of one instance never overlap: while one runs, no other is due, even where the plan that asked for it was
//! replaced or removed meanwhile. Every probe that is started must be finished.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use furt_core::registry::{FirstProbe, InstanceRef, ProbePlan, ProbeToken};

/// Plans by instance, ordered by when they are due. A probe that runs is not in the order.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    plans: HashMap<InstanceRef, Planned>,
    order: BTreeSet<(Instant, InstanceRef)>,
    /// When each probe that runs began; outlives its plan.
    running: HashMap<InstanceRef, Instant>,
}

#[derive(Debug)]
struct Planned {
    plan: ProbePlan,
    due: Instant,
    /// When the last probe began, of this plan or one before.
    began: Option<Instant>,
}

/// The least time from the begin of a probe to one that is [`FirstProbe::Soon`].
const SOON: Duration = Duration::from_secs(1);

impl Schedule {
    /// Takes a plan, in place of the instance's plan before. While a probe runs, its first one waits for that to end.
    pub(super) fn set(&mut self, instance: InstanceRef, plan: ProbePlan, now: Instant, random: &mut fastrand::Rng) {
        let before = self.plans.get(&instance);
        let (due_before, began) = (before.map(|planned| planned.due), before.and_then(|planned| planned.began));
        let due = match plan.first {
            FirstProbe::Now => now,
            FirstProbe::Soon => {
                let at = began.map_or(now, |began| now.max(began + SOON));
                due_before.map_or(at, |before| before.min(at))
            }
            // Never later than it was, so that no number of changes can put a probe off.
            FirstProbe::WithinPeriod => {
                let at = now + plan.period.mul_f64(random.f64());
                due_before.map_or(at, |before| before.min(at))
            }
            FirstProbe::Spread => now + Duration::from_secs(1).mul_f64(random.f64()),
            FirstProbe::AfterPeriod => now + jittered(plan.period, random),
        };
        if let Some(before) = self.plans.insert(instance.clone(), Planned { plan, due, began }) {
            self.order.remove(&(before.due, instance.clone()));
        }
        if !self.running.contains_key(&instance) {
            self.order.insert((due, instance));
        }
    }

    pub(super) fn remove(&mut self, instance: &InstanceRef) {
        if let Some((instance, planned)) = self.plans.remove_entry(instance) {
            self.order.remove(&(planned.due, instance));
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }

    /// Takes the first probe that is due by `now`, as running from now on.
    pub(super) fn start(&mut self, now: Instant) -> Option<(InstanceRef, ProbePlan)> {
        let first = self.order.first().filter(|(due, _)| *due <= now)?.clone();
        self.order.remove(&first);
        let (_, instance) = first;
        let planned = self.plans.get_mut(&instance)?;
        planned.began = Some(now);
        let plan = planned.plan.clone();
        self.running.insert(instance.clone(), now);
        Some((instance, plan))
    }

    /// The probe that ran, of this token, ended: the next one is due a period after it began, or when a newer plan
    /// says.
    pub(super) fn finish(
        &mut self,
        instance: &InstanceRef,
        token: ProbeToken,
        now: Instant,
        random: &mut fastrand::Rng,
    ) {
        let Some(began) = self.running.remove(instance) else { return };
        let Some(planned) = self.plans.get_mut(instance) else { return };
        if planned.plan.token == token {
            planned.due = now.max(began + jittered(planned.plan.period, random));
        }
        self.order.insert((planned.due, instance.clone()));
    }
}

/// The period ± 10 %, so that instances that came together do not stay together.
pub(super) fn jittered(period: Duration, random: &mut fastrand::Rng) -> Duration {
    period.mul_f64(0.9 + 0.2 * random.f64())
}

#[cfg(test)]
pub(super) mod tests;
