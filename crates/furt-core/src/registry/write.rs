//! What a store is given: changes, all or none, and what they rely on.
//!
//! One gateway alone has nothing to rely on: its store changes by its own writes, and the core knows them all. Where several
//! gateways share a store, another one may have changed it meanwhile. So a write names the revision that it was judged by,
//! and what of it must still hold; the store keeps it only then. Otherwise it is outdated, and the core judges it again.

use std::sync::Arc;

use super::change::Change;
use super::ids::InstanceRef;
use super::revision::Revision;
use crate::model::{Definition, InstanceId, KeyName, MaintenanceScope, Place, ServiceName, Sha256Digest};

/// Changes for the store, all or none, and what they rely on.
#[derive(Debug, Clone)]
pub struct Write {
    /// What is to be stored, in this order.
    pub changes: Vec<Change>,
    /// The revision that it was judged by.
    pub seen: Revision,
    /// What must hold of the store for it; empty unless the store is shared.
    pub premises: Vec<Premise>,
    /// Whether it may not be stored in pieces, however many changes it has.
    pub is_whole: bool,
}

impl Write {
    /// One that a store may cut in pieces that stand by themselves, where it is too large.
    pub fn new(changes: Vec<Change>, seen: Revision, premises: Vec<Premise>) -> Self {
        Self { changes, seen, premises, is_whole: false }
    }
}

/// Something that a write relies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Premise {
    /// There is no such record.
    Absent(Record),
    /// The record is there, and nobody has put it since [`Write::seen`]. Whatever gives it a new revision counts.
    Unchanged(Record),
    /// Nobody has claimed the same since [`Write::seen`], and this write claims it.
    Unclaimed(Claim),
    /// No instance of the service was put since [`Write::seen`].
    Settled(ServiceName),
    /// The service has no instances.
    WithoutInstances(ServiceName),
    /// No digest of an API key was put since [`Write::seen`].
    NoNewDigests,
}

/// What is stored under a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Record {
    /// A service's definition.
    Definition(ServiceName),
    /// An instance.
    Instance(InstanceRef),
    /// The drain of an instance.
    Drain(InstanceRef),
    /// The hold of an id.
    Hold(InstanceRef),
    /// A runtime key.
    Key(KeyName),
    /// The digest of a runtime key, current or old.
    Digest(Sha256Digest),
    /// The maintenance of a service, or of all of them.
    Maintenance(MaintenanceScope),
    /// The split of a service.
    Split(ServiceName),
    /// The grant of a service that was made at run time.
    Grant(ServiceName),
}

/// What one service alone may have, or one instance. A claim says *look again* to whoever claims the same, and never whose it is:
/// the records say that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Every route of the definition; routes by host where it has none of its own.
    Routes(Arc<Definition>),
    /// An instance's id, unique in the registry.
    Id(InstanceId),
    /// A place: within a service one place is one instance.
    Place(ServiceName, Place),
}
