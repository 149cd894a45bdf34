//! The broker in memory passes the suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test may fail loudly")]

#[path = "conformance/suite.rs"]
mod suite;

use furt_bus::{Broker, MemoryBus, Topology};

struct InMemory(Broker);

impl suite::Kind for InMemory {
    type Bus = MemoryBus;

    fn join(&self, topology: Topology) -> MemoryBus {
        self.0.join(topology).unwrap()
    }
}

#[tokio::test]
async fn it_passes_the_suite() {
    suite::passes(&InMemory(Broker::new())).await;
}
