//! What is durable: changes that a store keeps, and all that it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Definition, Epoch, InstanceId, InstanceSpec, Invalid, KeyName, RuntimeKey, ServiceName};

/// A change of what is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The definition of a service, new or replaced.
    PutDefinition {
        /// The definition.
        definition: Arc<Definition>,
        /// The address recorded as its owner.
        registered_from: IpAddr,
    },
    /// An instance, new or replaced.
    PutInstance {
        /// The service that it is an instance of.
        service: ServiceName,
        /// What the instance registered.
        spec: Arc<InstanceSpec>,
        /// What the host of its url resolved to.
        addresses: Arc<[SocketAddr]>,
        /// The address recorded as its owner.
        registered_from: IpAddr,
    },
    /// One instance is gone.
    RemoveInstance(InstanceId),
    /// A service is gone with all its instances.
    RemoveService {
        /// The service.
        service: ServiceName,
        /// The instances that it had.
        instances: Vec<InstanceId>,
    },
    /// An instance went DOWN, or is DOWN no more; says nothing of one that is not stored.
    NoteDown {
        /// The instance.
        instance: InstanceId,
        /// `true`: it went DOWN; `false`: it is DOWN no more.
        is_down: bool,
    },
    /// An instance that named no TTL is held to this one; says nothing of one that is not stored.
    NoteTtl {
        /// The instance.
        instance: InstanceId,
        /// What the answer to its heartbeat promised.
        ttl: Duration,
    },
    /// The name of an instance leads elsewhere; says nothing of one that is not stored.
    NoteAddresses {
        /// The instance.
        instance: InstanceId,
        /// What its name resolves to now.
        addresses: Arc<[SocketAddr]>,
    },
    /// A stored instance is draining; ends with whatever puts it anew or removes it.
    PutDraining(InstanceId),
    /// It is draining no more.
    RemoveDraining(InstanceId),
    /// A runtime key, new or replaced.
    PutKey(Arc<RuntimeKey>),
    /// A runtime key is gone.
    RemoveKey(KeyName),
}

impl Change {
    /// Whether a record of it could be read again.
    ///
    /// # Errors
    /// What is wrong with what it puts.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::PutDefinition { definition, .. } => definition.check(),
            Self::PutInstance { spec, .. } => spec.check(),
            Self::RemoveInstance(_)
            | Self::RemoveService { .. }
            | Self::NoteDown { .. }
            | Self::NoteTtl { .. }
            | Self::NoteAddresses { .. }
            | Self::PutDraining(_)
            | Self::RemoveDraining(_)
            | Self::PutKey(_)
            | Self::RemoveKey(_) => Ok(()),
        }
    }
}

/// Everything that a store holds: the changes that would make it again, by what they put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The registry's identity.
    pub epoch: Epoch,
    /// How often the store was loaded, this time included: generations of different starts must not meet.
    pub starts: u64,
    /// [`Change::PutDefinition`] by service.
    pub definitions: BTreeMap<ServiceName, Change>,
    /// [`Change::PutInstance`] by id.
    pub instances: BTreeMap<InstanceId, Change>,
    /// Instances that are DOWN.
    pub down: BTreeSet<InstanceId>,
    /// TTLs of instances that named none and are held to one.
    pub ttls: BTreeMap<InstanceId, Duration>,
    /// Instances that are draining.
    pub draining: BTreeSet<InstanceId>,
    /// Runtime keys.
    pub keys: BTreeMap<KeyName, Arc<RuntimeKey>>,
}

impl Contents {
    /// Nothing yet.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            starts: 0,
            definitions: BTreeMap::new(),
            instances: BTreeMap::new(),
            down: BTreeSet::new(),
            ttls: BTreeMap::new(),
            draining: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }
}
