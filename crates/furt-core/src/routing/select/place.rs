//! Whether a choice depends on where the client is, and how far the instances are then: for those who find that out, and who
//! explain it. The choice itself is made in `select`.

use super::{Asking, Whereabouts};
use crate::model::Policy;
use crate::routing::{Instance, Service};

impl Service {
    /// Whether its choice depends on where client and gateway are: by its policy, and since an instance of several says
    /// where it is.
    pub fn is_placed(&self) -> bool {
        matches!(self.definition.policy, Policy::Edge | Policy::Sticky)
            && self.instances.len() > 1
            && self.fleet().is_placed()
    }

    /// Each instance, and how far it is: 0 the client's country, 1 its region, 2 the gateway's region, 3 elsewhere.
    pub fn distances(&self, asking: &Asking<'_>) -> impl Iterator<Item = (&Instance, u8)> {
        let here = Whereabouts::of(asking, self.fleet());
        let distance = move |position| here.distance(self.fleet().place(position));
        self.instances.iter().enumerate().map(move |(position, instance)| (&**instance, distance(position)))
    }
}
