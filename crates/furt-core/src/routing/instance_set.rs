//! What choosing among the instances of a service needs to know of all of them at once: who is where, whose share
//! ends where, the ring of hashes. Made once for a set of instances, at the first request that needs it, and carried from
//! snapshot to snapshot while that set stays the same: a change of status costs nothing here.
//!
//! Everything is by position in [`Service::instances`](super::Service::instances). Knows nothing of status or load.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::{Instance, ring::Ring};
use crate::model::{Country, Region};

/// A set of instances, looked at as a whole.
#[derive(Debug)]
pub struct InstanceSet {
    localities: Box<[Locality]>,
    regions: Box<[Region]>,
    by_country: Box<[(Country, Group)]>,
    /// By the region's number.
    by_region: Box<[Group]>,
    all: Group,
    ring: OnceLock<Ring>,
}

/// Where an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Locality {
    pub(super) country: Option<Country>,
    /// A position in the set's list of regions.
    pub(super) region: Option<RegionNumber>,
}

/// A region of a set's instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RegionNumber(u32);

/// Some of the instances, and where the share of each ends when their weights are laid side by side.
#[derive(Debug, Default)]
pub(super) struct Group {
    positions: Vec<u32>,
    ends: Vec<u32>,
}

impl InstanceSet {
    pub(super) fn new(instances: &[Arc<Instance>]) -> Self {
        let mut regions: Vec<Region> = instances.iter().filter_map(|one| one.spec.region.clone()).collect();
        regions.sort_unstable();
        regions.dedup();
        // At most 5,000 instances or so; a u32 holds far more.
        let number = |region: &Region| regions.binary_search(region).ok().map(|at| RegionNumber(at as u32));
        let locality = |one: &Arc<Instance>| Locality {
            country: one.spec.country,
            region: one.spec.region.as_ref().and_then(number),
        };
        let localities: Box<[Locality]> = instances.iter().map(locality).collect();
        let mut by_country = BTreeMap::<Country, Group>::new();
        let mut by_region: Box<[Group]> = regions.iter().map(|_| Group::default()).collect();
        let mut all = Group::default();
        for (position, (instance, locality)) in instances.iter().zip(&localities).enumerate() {
            let weight = u32::from(instance.spec.weight.max(1));
            let add = |group: &mut Group| group.add(position as u32, weight);
            add(&mut all);
            if let Some(country) = locality.country {
                add(by_country.entry(country).or_default());
            }
            if let Some(RegionNumber(region)) = locality.region {
                add(&mut by_region[region as usize]);
            }
        }
        let by_country = by_country.into_iter().collect();
        Self { localities, regions: regions.into(), by_country, by_region, all, ring: OnceLock::new() }
    }

    /// Whether any instance says where it is.
    pub(super) fn has_localities(&self) -> bool {
        !self.regions.is_empty() || !self.by_country.is_empty()
    }

    pub(super) fn locality(&self, position: usize) -> Locality {
        self.localities[position]
    }

    /// The region's number, if an instance is there.
    pub(super) fn region(&self, region: &Region) -> Option<RegionNumber> {
        self.regions.binary_search(region).ok().map(|at| RegionNumber(at as u32))
    }

    pub(super) fn in_country(&self, country: Country) -> Option<&Group> {
        let at = self.by_country.binary_search_by_key(&country, |(country, _)| *country).ok()?;
        Some(&self.by_country[at].1)
    }

    pub(super) fn in_region(&self, RegionNumber(region): RegionNumber) -> &Group {
        &self.by_region[region as usize]
    }

    pub(super) fn all(&self) -> &Group {
        &self.all
    }

    pub(super) fn ring(&self, instances: &[Arc<Instance>]) -> &Ring {
        self.ring.get_or_init(|| Ring::new(instances.iter().map(|one| (one.spec.id.as_str(), one.spec.weight))))
    }
}

impl Group {
    fn add(&mut self, position: u32, weight: u32) {
        self.positions.push(position);
        self.ends.push(self.total() + weight);
    }

    /// All weights together.
    pub(super) fn total(&self) -> u32 {
        self.ends.last().copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// In the order of [`Service::instances`](super::Service::instances).
    pub(super) fn positions(&self) -> impl Iterator<Item = usize> {
        self.positions.iter().map(|position| *position as usize)
    }

    /// Whose share a number below [`total`](Self::total) falls into.
    pub(super) fn owner(&self, number: u32) -> usize {
        let at = self.ends.partition_point(|end| *end <= number);
        self.positions[at.min(self.positions.len() - 1)] as usize
    }
}
