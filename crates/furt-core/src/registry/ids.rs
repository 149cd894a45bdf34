//! What callers, writes, instances and watched names are named by in events and effects.

use crate::model::{InstanceId, ServiceName};
use crate::routing::ServiceIndex;

/// Names a caller that waits for an [`Answer`](super::Answer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyId(pub u64);

/// Names a write that waits for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// An instance by its service and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceRef {
    /// The name of the service.
    pub service: ServiceName,
    /// The id of the instance, unique in the registry.
    pub id: InstanceId,
}

impl InstanceRef {
    /// Another instance of the same service.
    pub fn sibling(&self, id: &InstanceId) -> Self {
        Self { service: self.service.clone(), id: id.clone() }
    }
}

impl std::fmt::Display for InstanceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

/// What has a name that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DnsSubject {
    /// A registered instance.
    Instance(InstanceRef),
    /// A static route that leads to a url.
    Static(ServiceIndex),
}

impl std::fmt::Display for DnsSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instance(instance) => instance.fmt(f),
            Self::Static(index) => write!(f, "static route {}", index.0),
        }
    }
}
