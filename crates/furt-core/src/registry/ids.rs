//! What callers, writes, instances and watched names are named by in events and effects.

use crate::model::{InstanceId, ServiceName};
use crate::routing::ServiceIndex;

/// Names a caller that waits for an [`Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyId(pub u64);

/// Names a write that waits for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// An instance by its service and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceRef {
    /// Its service.
    pub service: ServiceName,
    /// Its id.
    pub id: InstanceId,
}

impl std::fmt::Display for InstanceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

/// Whose name is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DnsSubject {
    /// A registered instance's.
    Instance(InstanceRef),
    /// A static route's url's.
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
