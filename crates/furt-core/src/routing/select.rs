//! Choosing an instance: the candidates, the order among them, and the slot that a request holds.
//!
//! Candidates are UP, or were before furt restarted; only when none of these can be asked, UNKNOWN without a failed probe;
//! only when there is none of these, UNKNOWN with one; only when there is none of these either, ejected ones. None is
//! draining. Among them those below their soft limit come first, then the lowest
//! cost by the service's policy, then the rotation by weight. Up to [`SCANNED`] are looked at one by one; of more, two
//! are drawn by weight and the better one is taken, so that a thousand cost no more than a few. Nothing is allocated.

mod locality;
mod rotation;
mod score;

use std::sync::Arc;

use super::candidate::NoInstance;
use super::instance_set::{Group, InstanceSet, Locality, RegionNumber};
use super::{Instance, Part, Service, ServiceLive};
use crate::model::{Country, InstanceId, LoadBalancingPolicy, Region};
use score::{Candidate, Score};

/// The most instances that are looked at one by one.
const SCANNED: usize = 16;
/// Pairs that are drawn before all are looked at: where half of the instances are no candidates or at their soft limit,
/// four pairs find none in one case of 256.
const PAIRS: usize = 4;
/// Points of the ring that are looked at from a key's position on: enough to meet some fifty instances of a large set, where
/// those that take no requests are few.
const WALKED: usize = 64;
/// How often an instance may fill up between the look at it and the slot at it; then the first with a slot is taken.
const RACES: usize = 4;

/// What choosing knows of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectionInput<'a> {
    /// Unix time in ms.
    pub now_ms: i64,
    /// The country that the client is in.
    pub country: Option<Country>,
    /// The region that the client is in.
    pub region: Option<&'a Region>,
    /// The region that the gateway is in.
    pub gateway_region: Option<&'a Region>,
    /// The [`hash`](super::hash) of what the service's `hash_key` says; any number where that is missing.
    pub key: u64,
    /// The instance that the client stays with, as long as it is a candidate with a slot.
    pub preferred: Option<&'a InstanceId>,
    /// Random bits.
    pub random: u64,
}

/// A request's slot at an instance: counted in flight until it is dropped, whatever becomes of the request.
#[derive(Debug)]
pub struct Lease {
    instance: Arc<Instance>,
    /// Whom to tell that a slot is free; where there is no hard limit nobody waits for one.
    service: Option<(Arc<ServiceLive>, Part)>,
}

impl Lease {
    /// The instance.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.instance.live.release();
        if let Some((service, part)) = &self.service {
            service.note_release(*part);
        }
    }
}

/// What came of a look at some instances.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Found {
    /// The best one's position.
    At(usize, Score),
    /// There are candidates, all at their hard limit.
    Full,
    /// No candidate was seen.
    Nothing,
}

impl Service {
    /// Takes a slot at the best candidate, leaving out those for which `tried` says so.
    ///
    /// # Errors
    /// [`NoInstance`].
    pub fn pick(&self, input: &SelectionInput<'_>, tried: impl Fn(&Instance) -> bool) -> Result<Lease, NoInstance> {
        self.by_tier(|tier| {
            let is_candidate = |one: &Instance| one.is_in(tier, input.now_ms) && !tried(one);
            Choice { service: self, input, is_candidate }.take()
        })
    }

    /// The same among those that are no last resort: neither ejected nor with a failed probe as their only sign.
    ///
    /// # Errors
    /// [`NoInstance`].
    pub fn pick_sound(
        &self,
        input: &SelectionInput<'_>,
        tried: impl Fn(&Instance) -> bool,
    ) -> Result<Lease, NoInstance> {
        self.by_sound_tier(|tier| {
            let is_candidate = |one: &Instance| one.is_in(tier, input.now_ms) && !tried(one);
            Choice { service: self, input, is_candidate }.take()
        })
    }

    /// Whether the instance is there and given requests, as long as it has a slot for them.
    pub fn takes_requests(&self, id: &InstanceId, now_ms: i64) -> bool {
        let found = self.instances.binary_search_by(|one| one.spec.id.cmp(id));
        found.is_ok_and(|position| self.instances[position].is_sound(now_ms))
    }

    fn instance_set(&self) -> &InstanceSet {
        self.instance_set.get_or_init(|| InstanceSet::new(&self.instances))
    }
}

/// One choice among the candidates of a tier.
struct Choice<'a, F> {
    service: &'a Service,
    input: &'a SelectionInput<'a>,
    is_candidate: F,
}

/// Where the client and the gateway are, in the set's terms.
#[derive(Clone, Copy)]
struct CallerLocality {
    country: Option<Country>,
    region: Option<RegionNumber>,
    gateway_region: Option<RegionNumber>,
}

impl CallerLocality {
    fn of(input: &SelectionInput<'_>, instance_set: &InstanceSet) -> Self {
        let region = |region: Option<&Region>| region.and_then(|region| instance_set.region(region));
        Self { country: input.country, region: region(input.region), gateway_region: region(input.gateway_region) }
    }

    /// How far an instance is: 0 the client's country, 1 its region, 2 the gateway's region, 3 elsewhere.
    fn distance(&self, locality: Locality) -> u8 {
        if self.country.is_some() && locality.country == self.country {
            0
        } else if self.region.is_some() && locality.region == self.region {
            1
        } else if self.gateway_region.is_some() && locality.region == self.gateway_region {
            2
        } else {
            3
        }
    }
}

impl<F: Fn(&Instance) -> bool> Choice<'_, F> {
    fn take(&self) -> Result<Lease, NoInstance> {
        if let Some(lease) = self.take_preferred() {
            return Ok(lease);
        }
        for _ in 0..RACES {
            match self.best() {
                Found::At(position, _) => {
                    if let Some(lease) = self.reserve(position) {
                        return Ok(lease);
                    }
                }
                Found::Full => return Err(NoInstance::Full),
                Found::Nothing => return Err(NoInstance::Unavailable),
            }
        }
        let is_candidate = |position: &usize| (self.is_candidate)(&self.service.instances[*position]);
        let all = 0..self.service.instances.len();
        if let Some(lease) = all.clone().filter(is_candidate).find_map(|position| self.reserve(position)) {
            return Ok(lease);
        }
        // One that began to drain meanwhile is a candidate no more.
        Err(if all.clone().any(|position| is_candidate(&position)) {
            NoInstance::Full
        } else {
            NoInstance::Unavailable
        })
    }

    fn reserve(&self, position: usize) -> Option<Lease> {
        let instance = &self.service.instances[position];
        let limit = instance.hard_limit;
        instance.live.reserve(limit).then(|| Lease {
            instance: Arc::clone(instance),
            service: (limit != 0).then(|| (Arc::clone(&self.service.live), self.service.part)),
        })
    }

    fn take_preferred(&self) -> Option<Lease> {
        let id = self.input.preferred?;
        let position = self.service.instances.binary_search_by(|one| one.spec.id.cmp(id)).ok()?;
        (self.is_candidate)(&self.service.instances[position]).then(|| self.reserve(position))?
    }

    fn best(&self) -> Found {
        let (service, policy) = (self.service, self.service.definition.policy);
        match policy {
            LoadBalancingPolicy::Hash => self.on_the_ring(),
            _ if service.instances.len() == 1 => self.scan([0].into_iter(), None),
            LoadBalancingPolicy::Edge | LoadBalancingPolicy::Sticky => self.nearest(),
            LoadBalancingPolicy::RoundRobin | LoadBalancingPolicy::LeastConn if service.instances.len() <= SCANNED => {
                self.scan(0..service.instances.len(), None)
            }
            LoadBalancingPolicy::RoundRobin | LoadBalancingPolicy::LeastConn => {
                self.among(service.instance_set().all(), None)
            }
        }
    }

    /// The first from the key's position on: a key moves only where its instance is no candidate or has no slot. Where none
    /// is near on the ring, all instances are looked at once, instead of each as often as it has points.
    fn on_the_ring(&self) -> Found {
        let mut found = Found::Nothing;
        let ring = self.service.instance_set().ring(&self.service.instances);
        let count = self.service.instances.len();
        let owner = ring.from(self.input.key).next().unwrap_or(0);
        let all = (owner..count).chain(0..owner);
        for position in ring.from(self.input.key).take(WALKED).chain(all) {
            match self.candidate(position, None) {
                Some(Candidate::Free(score)) => return Found::At(position, score),
                Some(Candidate::Full) => found = Found::Full,
                None => {}
            }
        }
        found
    }

    /// The nearest group that has a candidate below its soft limit; each group holds the ones nearer than it, too.
    fn nearest(&self) -> Found {
        let instance_set = self.service.instance_set();
        let here = CallerLocality::of(self.input, instance_set);
        let count = self.service.instances.len();
        if count <= SCANNED {
            return self.scan(0..count, Some(here));
        }
        let groups = [
            here.country.and_then(|country| instance_set.in_country(country)),
            here.region.map(|region| instance_set.in_region(region)),
            here.gateway_region.map(|region| instance_set.in_region(region)),
            Some(instance_set.all()),
        ];
        let mut found = Found::Nothing;
        for (distance, group) in groups.into_iter().enumerate() {
            let Some(group) = group else { continue };
            found = found.or_better(self.among(group, Some(here)));
            // No instance further away can cost less.
            if matches!(found, Found::At(_, score) if score.is_sure_within(distance)) {
                return found;
            }
        }
        found
    }

    fn among(&self, group: &Group, here: Option<CallerLocality>) -> Found {
        if group.len() <= SCANNED {
            return self.scan(group.positions(), here);
        }
        for pair in 0..PAIRS {
            let first = self.draw(group, pair * 2, here);
            // The rotation goes on with each draw: two of them at once would leave out every other instance.
            let is_rotating = self.service.definition.policy == LoadBalancingPolicy::RoundRobin;
            let better = if is_rotating { first } else { first.or_better(self.draw(group, pair * 2 + 1, here)) };
            if matches!(better, Found::At(_, score) if !score.is_at_soft_limit()) {
                return better;
            }
        }
        self.look_at_all(group, here)
    }

    /// The instance into whose share a random number falls, or for round robin the next number of the rotation.
    fn draw(&self, group: &Group, number: usize, here: Option<CallerLocality>) -> Found {
        let total = group.total();
        let number_in_group = if self.service.definition.policy == LoadBalancingPolicy::RoundRobin {
            rotation::rotation_position(self.next_rotation(), total)
        } else {
            // The high bits of a product: every weight in its proportion.
            ((u64::from(score::random(self.input.random, number)) * u64::from(total)) >> 32) as u32
        };
        let position = group.owner(number_in_group);
        match self.candidate(position, here) {
            Some(Candidate::Free(score)) if score.is_drawn(score::random(!self.input.random, number)) => {
                Found::At(position, score)
            }
            Some(Candidate::Full) => Found::Full,
            Some(Candidate::Free(_)) | None => Found::Nothing,
        }
    }

    /// Where drawing found none below its soft limit: the best of all, from a random one on so that equal ones share what comes.
    fn look_at_all(&self, group: &Group, here: Option<CallerLocality>) -> Found {
        let first = self.input.random as usize % group.len();
        let mut found = Found::Nothing;
        for position in group.positions().skip(first).chain(group.positions().take(first)) {
            found = found.or_better(match self.candidate(position, here) {
                Some(Candidate::Free(score)) => Found::At(position, score),
                Some(Candidate::Full) => Found::Full,
                None => Found::Nothing,
            });
        }
        found
    }

    /// The best of at most [`SCANNED`], among equals the next of the rotation.
    fn scan(&self, positions: impl Iterator<Item = usize>, here: Option<CallerLocality>) -> Found {
        let mut best: Option<Score> = None;
        let mut equals = [(0_usize, 0_u32); SCANNED];
        let (mut count, mut is_any_full) = (0, false);
        for position in positions.take(SCANNED) {
            let score = match self.candidate(position, here) {
                Some(Candidate::Free(score)) => score,
                Some(Candidate::Full) => {
                    is_any_full = true;
                    continue;
                }
                None => continue,
            };
            if best.is_none_or(|best| score.is_better_than(&best)) {
                best = Some(score);
                count = 0;
            } else if best.is_some_and(|best| best.is_better_than(&score)) {
                continue;
            }
            equals[count] = (position, score.share);
            count += 1;
        }
        match (best, count) {
            (None, _) if is_any_full => Found::Full,
            (None, _) => Found::Nothing,
            (Some(score), 1) => Found::At(equals[0].0, score),
            (Some(score), count) => {
                let equals = &equals[..count];
                let mut left =
                    rotation::rotation_position(self.next_rotation(), equals.iter().map(|(_, share)| share).sum());
                let own = equals.iter().find(|(_, share)| {
                    let is_own = left < *share;
                    left = left.wrapping_sub(*share);
                    is_own
                });
                Found::At(own.unwrap_or(&equals[0]).0, score)
            }
        }
    }

    fn next_rotation(&self) -> u32 {
        self.service.live.part(self.service.part).next_of_rotation()
    }

    fn candidate(&self, position: usize, here: Option<CallerLocality>) -> Option<Candidate> {
        let instance = &self.service.instances[position];
        if !(self.is_candidate)(instance) {
            return None;
        }
        let distance = here.map_or(0, |here| here.distance(self.service.instance_set().locality(position)));
        Some(Candidate::of(instance, &self.service.definition, distance, self.input.now_ms))
    }
}

impl Found {
    /// The better one of two; where none can be taken, whether one was full.
    fn or_better(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(_, one), Self::At(_, two)) if two.is_better_than(&one) => other,
            (Self::At(..), _) => self,
            (_, Self::At(..)) => other,
            (Self::Full, _) | (_, Self::Full) => Self::Full,
            (Self::Nothing, Self::Nothing) => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod instance_set_tests;
#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod tests;
