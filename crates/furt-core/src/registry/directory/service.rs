//! An installed service.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::change::Change;
use super::super::eligibility::{Eligibility, Evaluated};
use super::super::ids::InstanceRef;
use super::super::now::Now;
use super::super::probes::Health;
use super::super::revision::Revision;
use super::super::shared;
use super::instances::{InstanceEntry, Instances, StatusChange};
use crate::model::{Definition, Host, InstanceId, Share, Status};
use crate::routing::{InstanceLive, Service, ServiceIndex, ServiceKind, ServiceLive};

/// A service, its instances, and whether it is routed.
pub(in crate::registry) struct ServiceEntry {
    definition: Arc<Definition>,
    /// The address recorded as the owner of the definition.
    registered_from: IpAddr,
    /// When it was put first.
    added: Revision,
    index: ServiceIndex,
    instances: Instances,
    eligibility: Eligibility,
    /// What the snapshot shows; [`overall`](Self::overall) once it is refreshed.
    status: Status,
    live: Arc<ServiceLive>,
    is_being_removed: bool,
    /// Whether a shared store lost its definition, though no command removed it.
    has_lapsed: bool,
    /// Why its definition may not be routed, whatever the rules say.
    suspended: Option<Arc<str>>,
}

impl ServiceEntry {
    /// A new one, without instances and not yet evaluated.
    pub(in crate::registry) fn new(
        definition: Arc<Definition>,
        registered_from: IpAddr,
        added: Revision,
        index: ServiceIndex,
        status: Status,
        now: Now,
    ) -> Self {
        Self {
            eligibility: Eligibility::not_evaluated(&definition),
            definition,
            registered_from,
            added,
            index,
            instances: Instances::default(),
            status,
            live: Arc::new(ServiceLive::new(now.unix_ms)),
            is_being_removed: false,
            has_lapsed: false,
            suspended: None,
        }
    }

    pub(in crate::registry) fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The address recorded as the owner of the definition.
    pub(in crate::registry) fn registered_from(&self) -> IpAddr {
        self.registered_from
    }

    /// When it was put first: of two with one route the older one has it.
    pub(in crate::registry) fn added(&self) -> Revision {
        self.added
    }

    pub(in crate::registry) fn index(&self) -> ServiceIndex {
        self.index
    }

    pub(in crate::registry) fn instances(&self) -> &Instances {
        &self.instances
    }

    pub(in crate::registry) fn instance_mut(&mut self, id: &InstanceId) -> Option<&mut InstanceEntry> {
        self.instances.get_mut(id)
    }

    pub(super) fn instances_mut(&mut self) -> impl Iterator<Item = &mut InstanceEntry> {
        self.instances.values_mut()
    }

    pub(in crate::registry) fn eligibility(&self) -> &Eligibility {
        &self.eligibility
    }

    /// This gateway's part of its instances' limits is another one.
    pub(in crate::registry) fn set_share(&mut self, share: Share) {
        self.instances.values_mut().for_each(|instance| instance.set_share(share));
    }

    /// What the snapshot shows; [`overall`](Self::overall) once it is refreshed.
    pub(in crate::registry) fn status(&self) -> Status {
        self.status
    }

    pub(in crate::registry) fn live(&self) -> &ServiceLive {
        &self.live
    }

    /// Whether it goes with all its instances, once the store has forgotten it.
    pub(in crate::registry) fn is_being_removed(&self) -> bool {
        self.is_being_removed
    }

    /// Replaces the definition. The new one is not evaluated yet.
    pub(in crate::registry) fn replace_definition(
        &mut self,
        definition: Arc<Definition>,
        registered_from: IpAddr,
        added: Revision,
    ) {
        self.eligibility = Eligibility::not_evaluated(&definition);
        self.definition = definition;
        self.registered_from = registered_from;
        self.added = added;
        self.has_lapsed = false;
        self.suspended = None;
    }

    /// Why its definition may not be routed, whatever the rules say.
    pub(in crate::registry) fn suspended(&self) -> Option<&Arc<str>> {
        self.suspended.as_ref()
    }

    /// Whether that is another reason than before.
    pub(in crate::registry) fn suspend(&mut self, why: Option<Arc<str>>) -> bool {
        let is_other = self.suspended != why;
        self.suspended = why;
        is_other
    }

    /// Takes the outcome of an evaluation: `why` it may not be routed, or `None`. Gives what changed, if anything did.
    pub(in crate::registry) fn evaluated(&mut self, why: Option<Arc<str>>, apps_domain: &Host) -> Option<Evaluated> {
        self.eligibility.evaluated(why, &self.definition, apps_domain)
    }

    pub(in crate::registry) fn insert(&mut self, instance: InstanceEntry) {
        self.instances.insert(instance);
    }

    pub(in crate::registry) fn remove(&mut self, id: &InstanceId) -> Option<InstanceEntry> {
        self.instances.remove(id)
    }

    /// Sets an instance's health; gives the change of its status, if there is one.
    pub(in crate::registry) fn set_health(
        &mut self,
        id: &InstanceId,
        health: Health,
        now: Now,
    ) -> Option<StatusChange> {
        let change = self.instances.set_health(id, health);
        let live = self.instances.get(id)?.live();
        shared::health(live, &health);
        if change.is_some() {
            shared::status_changed(live, now);
        }
        change
    }

    /// The status of an instance that the store is to note from now on; `None`: it notes it already.
    pub(in crate::registry) fn take_unnoted(&mut self, id: &InstanceId) -> Option<Status> {
        self.instances.take_unnoted(id)
    }

    /// The counters of an instance, or of all.
    pub(in crate::registry) fn lives_of(&self, instance: Option<&InstanceId>) -> Vec<Arc<InstanceLive>> {
        let live = |one: &InstanceEntry| Arc::clone(one.live());
        match instance {
            Some(id) => self.instances.get(id).map(live).into_iter().collect(),
            None => self.instances.values().map(live).collect(),
        }
    }

    /// Begins the removal of an instance, or of all and the service (`None`). With the last instance the service goes as
    /// well, where `goes_with_last`. Gives what the store is to forget.
    pub(in crate::registry) fn begin_removal(&mut self, instance: Option<&InstanceId>, goes_with_last: bool) -> Change {
        match instance {
            Some(id) => {
                self.instances.begin_removal(id);
                self.is_being_removed = goes_with_last && self.instances.are_being_removed();
            }
            None => {
                self.instances.begin_removal_of_all();
                self.is_being_removed = true;
            }
        }
        match instance {
            Some(id) if !self.is_being_removed => {
                Change::RemoveInstance(InstanceRef { service: self.definition.service.clone(), id: id.clone() })
            }
            _ => Change::RemoveService {
                service: self.definition.service.clone(),
                instances: self.instances.keys().cloned().collect(),
            },
        }
    }

    /// The service could not be removed and stays; says whether it was being removed. Its instances are another matter:
    /// [`keep_instances`](Self::keep_instances).
    pub(in crate::registry) fn keep(&mut self) -> bool {
        std::mem::take(&mut self.is_being_removed)
    }

    /// An instance, or all of them (`None`), could not be removed and stay, unless they have to go all the same.
    pub(in crate::registry) fn keep_instances(
        &mut self,
        instance: Option<&InstanceId>,
        must_go: impl Fn(&InstanceEntry) -> bool,
    ) {
        match instance {
            Some(id) => self.instances.stay(id, must_go),
            None => self.instances.stay_all(must_go),
        }
    }

    /// Whether a shared store lost its definition, though no command removed it.
    pub(in crate::registry) fn has_lapsed(&self) -> bool {
        self.has_lapsed
    }

    pub(in crate::registry) fn set_lapsed(&mut self, has_lapsed: bool) {
        self.has_lapsed = has_lapsed;
    }

    /// The status starts at what the instances are: that is no change of it.
    pub(in crate::registry) fn start_status(&mut self) {
        self.status = self.overall();
    }

    /// Takes the status over from the instances; gives the change, if there is one. A service that is removed by a command
    /// is not DOWN: it is reported as gone.
    pub(in crate::registry) fn refresh_status(&mut self, now: Now) -> Option<StatusChange> {
        let to = self.overall();
        let from = std::mem::replace(&mut self.status, to);
        if from == to || self.is_being_removed {
            return None;
        }
        shared::service_status_changed(&self.live, from, now);
        Some(StatusChange { from, to })
    }

    /// UP while one instance is UP, DOWN when none is UP or UNKNOWN.
    pub(in crate::registry) fn overall(&self) -> Status {
        if self.is_being_removed { Status::Down } else { self.instances.status() }
    }

    /// What requests see of it from now on, instead of what they saw `before`.
    pub(in crate::registry) fn published(&self, before: Option<&Arc<Service>>) -> Service {
        let staying = self.instances.values().filter(|one| !one.is_being_removed());
        let instances: Box<[_]> = staying.map(|one| Arc::clone(one.published())).collect();
        let instance_set = before.and_then(|before| before.instance_set_of(&instances)).unwrap_or_default();
        Service {
            suspended: self.eligibility.suspension().cloned(),
            instance_set,
            live: Arc::clone(&self.live),
            ..Service::new(Arc::clone(&self.definition), ServiceKind::Registered, self.status, instances)
        }
    }
}
