//! What is durable: changes that a store keeps, and all that it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::ids::InstanceRef;
use super::revision::Revision;
use crate::model::{
    AuditEntry, Definition, DrainMark, Epoch, Incarnation, InstanceId, InstanceSpec, Invalid, KeyName, Maintenance,
    MaintenanceScope, RuntimeGrant, RuntimeKey, ServiceName, Split, Status,
};

/// A service, as stores keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionRecord {
    /// The definition.
    pub definition: Arc<Definition>,
    /// The address that registered it.
    pub registered_from: IpAddr,
}

/// An instance, as stores keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRecord {
    /// The service that it is of.
    pub service: ServiceName,
    /// What the instance registered.
    pub spec: Arc<InstanceSpec>,
    /// What the host of its url resolved to; an observation of the gateway that resolved it, which
    /// [`Observation::Addresses`] replaces.
    pub addresses: Arc<[SocketAddr]>,
    /// The address that registered it.
    pub registered_from: IpAddr,
    /// The incarnation that this one replaced; `None`: none is known.
    pub replaced: Option<Incarnation>,
}

impl InstanceRecord {
    /// The instance that it is of.
    pub fn instance(&self) -> InstanceRef {
        InstanceRef { service: self.service.clone(), id: self.spec.id.clone() }
    }
}

/// What one gateway saw of an instance by itself. Another gateway with the same registry may see it otherwise, so it is no
/// part of what is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// What its probes say.
    Status(Status),
    /// What the host of its url resolves to now.
    Addresses(Arc<[SocketAddr]>),
}

/// A change of what is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The definition of a service, new or replaced.
    PutDefinition(DefinitionRecord),
    /// An instance, new or replaced.
    PutInstance(InstanceRecord),
    /// One instance is gone.
    RemoveInstance(InstanceRef),
    /// A service is gone with all its instances.
    RemoveService {
        /// The service.
        service: ServiceName,
        /// The instances that it had.
        instances: Vec<InstanceId>,
    },
    /// A gateway saw an instance anew; says nothing of one that is not stored.
    Observe(InstanceRef, Observation),
    /// An instance that named no TTL is held to this one; says nothing of one that is not stored.
    NoteTtl {
        /// The instance.
        instance: InstanceRef,
        /// What the answer to its heartbeat promised.
        ttl: Duration,
    },
    /// A stored instance is draining; ends with whatever puts it anew or removes it. Says nothing of one that is not
    /// stored.
    PutDraining(InstanceRef, Arc<DrainMark>),
    /// It is draining no more.
    RemoveDraining(InstanceRef),
    /// An id is held, whether or not an instance is stored under it.
    PutHold(InstanceRef, Arc<DrainMark>),
    /// It is held no more.
    RemoveHold(InstanceRef),
    /// A runtime key, new or replaced.
    PutKey(Arc<RuntimeKey>),
    /// A runtime key is gone.
    RemoveKey(KeyName),
    /// A service is in maintenance, or all of them are; in the place of a maintenance that was on.
    PutMaintenance(MaintenanceScope, Arc<Maintenance>),
    /// It is in maintenance no more.
    RemoveMaintenance(MaintenanceScope),
    /// The callers of a service are split by versions; in the place of a split that was set.
    PutSplit(ServiceName, Arc<Split>),
    /// They are split no more.
    RemoveSplit(ServiceName),
    /// A service may register what an operator granted it; in the place of what was granted so before.
    PutGrant(ServiceName, Arc<RuntimeGrant>),
    /// It has no grant of run time any more.
    RemoveGrant(ServiceName),
    /// An operator's doing is kept, beside what it changed.
    Audit(Arc<AuditEntry>),
}

impl Change {
    pub(super) fn put_key(&self) -> Option<&Arc<RuntimeKey>> {
        if let Self::PutKey(key) = self { Some(key) } else { None }
    }

    pub(super) fn removed_key(&self) -> Option<&KeyName> {
        if let Self::RemoveKey(name) = self { Some(name) } else { None }
    }

    /// Whether a record of it could be read again.
    ///
    /// # Errors
    /// What is wrong with what it puts.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::PutDefinition(DefinitionRecord { definition, .. }) => definition.check(),
            Self::PutInstance(InstanceRecord { spec, .. }) => spec.check(),
            Self::PutMaintenance(_, maintenance) => maintenance.check(),
            Self::PutSplit(_, split) => split.spec.check(),
            Self::PutGrant(_, grant) => grant.grant.check(),
            Self::RemoveInstance(_)
            | Self::RemoveService { .. }
            | Self::Observe(..)
            | Self::NoteTtl { .. }
            | Self::PutDraining(..)
            | Self::RemoveDraining(_)
            | Self::PutHold(..)
            | Self::RemoveHold(_)
            | Self::PutKey(_)
            | Self::RemoveKey(_)
            | Self::RemoveMaintenance(_)
            | Self::RemoveSplit(_)
            | Self::RemoveGrant(_)
            | Self::Audit(_) => Ok(()),
        }
    }
}

/// Everything that a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The revision at which it was read.
    pub revision: Revision,
    /// The registry's identity.
    pub epoch: Epoch,
    /// How often the store was loaded, this time included: generations of different starts must not meet.
    pub starts: u64,
    /// Every service.
    pub definitions: BTreeMap<ServiceName, DefinitionRecord>,
    /// The revision at which each service was put first, where others may have put two with one route: the older one has it.
    pub added: BTreeMap<ServiceName, Revision>,
    /// Every instance; its service is among the definitions.
    pub instances: BTreeMap<InstanceId, InstanceRecord>,
    /// TTLs of instances that named none and are held to one.
    pub ttls: BTreeMap<InstanceId, Duration>,
    /// Instances that are draining until they register, or register as another incarnation.
    pub draining: BTreeMap<InstanceId, Arc<DrainMark>>,
    /// Ids that are held.
    pub holds: BTreeMap<InstanceRef, Arc<DrainMark>>,
    /// Runtime keys.
    pub keys: BTreeMap<KeyName, Arc<RuntimeKey>>,
    /// What is in maintenance.
    pub maintenance: BTreeMap<MaintenanceScope, Arc<Maintenance>>,
    /// How callers are split, by services.
    pub splits: BTreeMap<ServiceName, Arc<Split>>,
    /// What services may register by grants of run time.
    pub grants: BTreeMap<ServiceName, Arc<RuntimeGrant>>,
    /// What this gateway saw, beside what was registered.
    pub observed: Observed,
}

/// What one gateway saw of instances; the addresses it resolved are in their records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Instances that are DOWN.
    pub down: BTreeSet<InstanceId>,
    /// Instances that are UP by their probes.
    pub up: BTreeSet<InstanceId>,
}

impl Contents {
    /// Nothing yet.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            revision: Revision::default(),
            epoch,
            starts: 0,
            definitions: BTreeMap::new(),
            added: BTreeMap::new(),
            instances: BTreeMap::new(),
            ttls: BTreeMap::new(),
            draining: BTreeMap::new(),
            holds: BTreeMap::new(),
            keys: BTreeMap::new(),
            maintenance: BTreeMap::new(),
            splits: BTreeMap::new(),
            grants: BTreeMap::new(),
            observed: Observed::default(),
        }
    }
}
