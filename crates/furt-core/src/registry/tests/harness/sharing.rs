//! A registry that shares its store, and what other gateways change in it.

use std::time::Duration;

use super::super::command::{policy, settings};
use super::Harness;
use crate::model::GatewayName;
use crate::registry::{Change, Event, Incoming, Origin, Revision, Settings, Sharing, StoreChanged};

/// Another gateway.
pub(in crate::registry) fn elsewhere() -> Origin {
    Origin::Gateway(GatewayName::try_new("other").unwrap())
}

impl Harness {
    pub(in crate::registry) fn shared() -> Self {
        let sharing = Sharing::Shared { salt: 7, least_ttl: Duration::from_secs(2) };
        Self::with(Settings { sharing, ..settings(policy()) }, Vec::new())
    }

    /// Tells what the store has from now on.
    pub(in crate::registry) fn told(&mut self, changes: Vec<Change>, by: Origin) {
        self.revision = Revision(self.revision.0 + 1);
        let changes = changes.into_iter().map(Incoming::from).collect();
        let changed = StoreChanged { revision: self.revision, changes, by };
        self.send(Event::StoreChanged(Box::new(changed)));
    }
}
