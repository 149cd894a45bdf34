//! Whether a choice depends on where the client is, and how far the instances are then: for those who find that out, and who
//! explain it. The choice itself is made in `select`.

use super::{CallerLocality, SelectionInput};
use crate::model::LoadBalancingPolicy;
use crate::routing::{Instance, Service};

impl Service {
    /// Whether its choice depends on where client and gateway are: by its policy, and since an instance of several says
    /// where it is.
    pub fn has_localities(&self) -> bool {
        matches!(self.definition.policy, LoadBalancingPolicy::Edge | LoadBalancingPolicy::Sticky)
            && self.instances.len() > 1
            && self.instance_set().has_localities()
    }

    /// Each instance, and how far it is: 0 the client's country, 1 its region, 2 the gateway's region, 3 elsewhere.
    pub fn distances(&self, input: &SelectionInput<'_>) -> impl Iterator<Item = (&Instance, u8)> {
        let here = CallerLocality::of(input, self.instance_set());
        let distance = move |position| here.distance(self.instance_set().locality(position));
        self.instances.iter().enumerate().map(move |(position, instance)| (&**instance, distance(position)))
    }
}
