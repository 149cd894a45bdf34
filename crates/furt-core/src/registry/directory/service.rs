//! An installed service.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::eligibility::Eligibility;
use super::super::now::Now;
use super::instances::Instances;
use crate::model::{Definition, Status};
use crate::routing::{Service, ServiceIndex, ServiceKind, ServiceLive};

/// A service, its instances, and whether it is routed.
pub(in crate::registry) struct ServiceEntry {
    pub(in crate::registry) definition: Arc<Definition>,
    /// The address recorded as the owner of the definition.
    pub(in crate::registry) registered_from: IpAddr,
    pub(in crate::registry) index: ServiceIndex,
    pub(in crate::registry) instances: Instances,
    pub(in crate::registry) eligibility: Eligibility,
    /// What the snapshot shows; [`overall`](Self::overall) once it is refreshed.
    pub(in crate::registry) status: Status,
    pub(in crate::registry) live: Arc<ServiceLive>,
    pub(in crate::registry) is_being_removed: bool,
}

impl ServiceEntry {
    /// A new one, without instances and not yet evaluated.
    pub(in crate::registry) fn new(
        definition: Arc<Definition>,
        registered_from: IpAddr,
        index: ServiceIndex,
        status: Status,
        now: Now,
    ) -> Self {
        Self {
            eligibility: Eligibility::not_evaluated(&definition),
            definition,
            registered_from,
            index,
            instances: Instances::default(),
            status,
            live: Arc::new(ServiceLive::new(now.unix_ms)),
            is_being_removed: false,
        }
    }

    /// UP while one instance is UP, DOWN when none is UP or UNKNOWN.
    pub(in crate::registry) fn overall(&self) -> Status {
        if self.is_being_removed { Status::Down } else { self.instances.status() }
    }

    /// What requests see of it from now on, in the place of what they saw `before`.
    pub(in crate::registry) fn published(&self, before: Option<&Arc<Service>>) -> Service {
        let staying = self.instances.values().filter(|one| !one.is_being_removed());
        let instances: Box<[_]> = staying.map(|one| Arc::clone(one.published())).collect();
        Service {
            instance_set: before.and_then(|before| before.instance_set_of(&instances)).unwrap_or_default(),
            definition: Arc::clone(&self.definition),
            kind: ServiceKind::Registered,
            status: self.status,
            suspended: self.eligibility.suspension().cloned(),
            instances,
            live: Arc::clone(&self.live),
        }
    }
}
