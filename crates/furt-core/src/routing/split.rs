//! A service's instances by the sides of its split, each side as a service of its own that requests pick from. Made when the
//! service is published, so that no versions are compared to choose an instance.

use std::sync::Arc;

use super::Instance;
use super::part::Part;
use super::service::{Service, ServiceSplit, SideOfService};
use crate::live::{Outcome, RouteTraffic};
use crate::model::{Side, Split};

impl ServiceSplit {
    /// Of the instances of `whole`. `before`: what was published, whose counts and sets of instances go on.
    pub(crate) fn new(split: &Arc<Split>, whole: &Service, before: Option<&Service>) -> Self {
        let before = before.and_then(|before| before.split.as_deref());
        let count = split.spec.versions.len();
        let mut of_sides = vec![Vec::new(); count + 1];
        for one in &whole.instances {
            let side = match split.spec.side_of(one.spec.version.as_ref()) {
                Side::Version(at) => at,
                Side::Stable => count,
            };
            of_sides[side].push(Arc::clone(one));
        }
        let side = |side: Side, instances: Vec<Arc<Instance>>| {
            let instances = instances.into_boxed_slice();
            let before = before.and_then(|before| before.named(split.spec.name_of(side)));
            let instance_set = before.and_then(|before| before.service.instance_set_of(&instances)).unwrap_or_default();
            let service = Service {
                instance_set,
                live: Arc::clone(&whole.live),
                part: Part::of(side),
                ..Service::new(Arc::clone(&whole.definition), whole.kind.clone(), whole.status, instances)
            };
            SideOfService { service, traffic: before.map(|before| Arc::clone(&before.traffic)).unwrap_or_default() }
        };
        let stable = side(Side::Stable, of_sides.pop().unwrap_or_default());
        let versions = of_sides.into_iter().enumerate().map(|(at, instances)| side(Side::Version(at), instances));
        Self { split: Arc::clone(split), versions: versions.collect(), stable }
    }

    /// The instances of a side, to be picked from as from those of a service.
    pub fn side(&self, side: Side) -> &Service {
        &self.of(side).service
    }

    /// Counts a request at its end for the side of the instance that was asked last.
    pub fn count(&self, instance: &Instance, outcome: Outcome) {
        self.count_unasked(self.split.spec.side_of(instance.spec.version.as_ref()), outcome);
    }

    /// The same for a request of that side for which no instance was asked.
    pub fn count_unasked(&self, side: Side, outcome: Outcome) {
        self.of(side).traffic.count(outcome);
    }

    /// The requests of each side by its name: the versions in their order, then the rest.
    pub fn traffic(&self) -> impl Iterator<Item = (&str, &Arc<RouteTraffic>)> {
        let sides = (0..self.versions.len()).map(Side::Version).chain([Side::Stable]);
        sides.map(|side| (self.split.spec.name_of(side), &self.of(side).traffic))
    }

    fn of(&self, side: Side) -> &SideOfService {
        match side {
            Side::Version(at) => self.versions.get(at).unwrap_or(&self.stable),
            Side::Stable => &self.stable,
        }
    }

    fn named(&self, name: &str) -> Option<&SideOfService> {
        self.split.spec.named(name.as_bytes()).map(|side| self.of(side))
    }
}
