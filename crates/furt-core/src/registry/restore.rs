//! What a store held becomes the registry again (DESIGN §5.5), and whether a service may still stand.
//!
//! What was DOWN is DOWN, what was UP is UNKNOWN and routable, all are probed within the first second, every TTL begins
//! anew, as it was promised. Each service is held against today's grants, static routes and listeners; one that may not
//! stand is kept, not routed, and shown with its reason.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::registering::InstanceState;
use super::{
    Change, Contents, Due, Effect, Effects, Entry, FirstProbe, HOLD, Health, InstanceRef, Instances, Now, Ownership,
    Refusal, Registry, Report, view,
};
use crate::model::{Definition, Generation, InstanceId, ServiceName, Status};
use crate::routing::ServiceLive;

/// Why a service is kept out that nobody has judged yet.
pub(super) const NOT_YET_EVALUATED: &str = "";
/// Bits of a generation that count the changes of one start; those above count the starts.
const CHANGES_OF_A_START: u32 = 32;

impl Registry {
    /// Takes over what a store held; once, before anything else is handled. `suspended`: instances that may not be where they
    /// are any more, and why, such as at what is a listener of furt's by now.
    pub fn restore(&mut self, contents: Contents, suspended: &BTreeMap<InstanceId, Arc<str>>, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        let Contents { epoch, starts, definitions, instances, down, ttls, draining, keys } = contents;
        self.view.begin(epoch, Generation(starts << CHANGES_OF_A_START));
        for change in definitions.into_values() {
            if let Change::PutDefinition { definition, registered_from } = change {
                self.add_entry(definition, registered_from, Status::Down, now);
            }
        }
        for change in instances.into_values() {
            let Change::PutInstance { service, spec, addresses, registered_from } = change else { continue };
            if !self.services.contains_key(&service) {
                // Never written so: an instance comes with its definition and goes with it.
                continue;
            }
            let health = match (&spec.health_endpoint, down.contains(&spec.id)) {
                (None, _) => Health::unprobed(),
                (Some(_), true) => Health::down(&self.settings.health),
                (Some(_), false) => Health::unknown(),
            };
            self.owners.insert(spec.id.clone(), Ownership { service: service.clone(), count: 1 });
            let instance = InstanceRef { service, id: spec.id.clone() };
            let (is_draining, ttl) = (draining.contains(&spec.id), ttls.get(&spec.id).copied());
            let suspended = suspended.get(&spec.id).cloned();
            let state =
                InstanceState { addresses, suspended, registered_from, health, live: Arc::default(), is_draining, ttl };
            self.install_instance(&instance, &spec, state, now, &mut effects);
            self.plan_probes(&instance, FirstProbe::Spread, &mut effects);
        }
        let names: Vec<_> = self.services.keys().cloned().collect();
        for service in &names {
            self.recheck(service, &mut effects);
            let Some(entry) = self.services.get_mut(service) else { continue };
            if entry.instances.is_empty() {
                self.deadlines.set(Due::Held(service.clone()), now.at + HOLD);
            }
            // It starts at what its instances are: that is no change of status.
            entry.status = entry.overall();
            self.refresh(service, now, &mut effects);
        }
        self.restore_keys(keys, now, &mut effects);
        self.view.advance();
        #[cfg(any(test, debug_assertions))]
        if self.is_small() {
            self.sweep_invariants();
        }
        effects.into_vec()
    }

    /// A new service, as if it were not allowed to stand: [`recheck`](Self::recheck) says whether it is.
    pub(super) fn add_entry(&mut self, definition: Arc<Definition>, registered_from: IpAddr, status: Status, now: Now) {
        let service = definition.service.clone();
        let index = self.view.add_service(&service);
        let entry = Entry {
            effective: without_routes(&definition),
            definition,
            registered_from,
            index,
            instances: Instances::default(),
            status,
            live: Arc::new(ServiceLive::new(now.unix_ms)),
            is_being_removed: false,
            blocked: Some(NOT_YET_EVALUATED.into()),
        };
        self.services.insert(service, entry);
    }

    /// Puts a service's routes into the table, or takes them out, by whether it may stand today. One that leaves has none
    /// there; what it holds is judged all the same, since it may come to stay.
    pub(super) fn recheck(&mut self, service: &ServiceName, effects: &mut Effects) {
        let verdict = self.may_stand(service);
        let Some(entry) = self.services.get_mut(service) else { return };
        let why: Option<Arc<str>> = verdict.err().map(|refusal| refusal.to_string().into());
        if entry.blocked == why {
            return;
        }
        let effective = match &why {
            None if entry.definition.routes.is_empty() => {
                view::effective(&entry.definition, &self.settings.policy.apps_domain)
            }
            None => Arc::clone(&entry.definition),
            Some(_) => without_routes(&entry.definition),
        };
        if !entry.is_being_removed {
            self.view.replace_routes(entry.index, Some(&entry.effective), Some(&effective));
            self.view.touch(entry.index, service);
        }
        self.claims.remove(&entry.effective);
        self.claims.add(&effective);
        entry.effective = effective;
        let before = std::mem::replace(&mut entry.blocked, why.clone());
        match why {
            Some(why) => effects.report(Report::Blocked { service: service.clone(), why }),
            None if before.is_some_and(|why| &*why != NOT_YET_EVALUATED) => {
                effects.report(Report::Unblocked(service.clone()));
            }
            None => {}
        }
    }

    /// The same after an instance came, or came anew. Where the service stands, only that one can be what may not: so a
    /// fleet of ten thousand is not looked through for each that joins it.
    pub(super) fn recheck_joined(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        let Some(entry) = self.services.get(&instance.service) else { return };
        let policy = &self.settings.policy;
        let may_be = entry
            .instances
            .get(&instance.id)
            .is_some_and(|installed| policy.check_addresses(&instance.service, &installed.addresses).is_ok());
        if entry.blocked.is_some() || !may_be {
            self.recheck(&instance.service, effects);
        }
    }

    fn may_stand(&self, service: &ServiceName) -> Result<(), Refusal> {
        let Some(entry) = self.services.get(service) else { return Ok(()) };
        let policy = &self.settings.policy;
        policy.check_definition(&entry.definition, entry.registered_from)?;
        entry.instances.values().try_for_each(|instance| match &instance.suspended {
            Some(why) => Err(Refusal::beyond(why.to_string())),
            None => policy.check_addresses(service, &instance.addresses),
        })?;
        self.check_conflicts(&entry.definition)
    }
}

pub(super) fn without_routes(definition: &Definition) -> Arc<Definition> {
    Arc::new(Definition { routes: Vec::new(), ..definition.clone() })
}
