//! The registry is made again from what a store has.
//!
//! What was DOWN is DOWN, what was UP is UNKNOWN and asked as if it were UP until a probe fails. All are probed within the
//! first second, every TTL begins anew, as it was promised. Each service is evaluated against today's grants, static routes
//! and listeners; one that may not be routed is kept as suspended and listed with its reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{Contents, DefinitionRecord, InstanceRecord};
use super::directory::NewInstance;
use super::dispatch::Registry;
use super::effects::{Effect, Effects};
use super::ids::InstanceRef;
use super::now::Now;
use super::plan::FirstProbe;
use super::probes::Health;
use crate::model::{Generation, InstanceId, ServiceName, Status};

/// Bits of a generation that count the changes of one start; those above count the starts.
const CHANGES_OF_A_START: u32 = 32;

/// What a store has and is not routed, whatever the rules say, and why. Such as instances where furt itself listens by now, and
/// what only a newer furt can read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspended {
    /// Services by their definitions.
    pub services: BTreeMap<ServiceName, Arc<str>>,
    /// Instances; their services are not routed for them.
    pub instances: BTreeMap<InstanceId, Arc<str>>,
}

impl Registry {
    /// Takes over what a store has; once, before anything else is handled.
    pub fn restore(&mut self, contents: Contents, suspended: &Suspended, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        let Contents { revision, epoch, starts, definitions, added, instances, ttls, draining, holds, .. } = contents;
        let Contents { keys, maintenance, splits, grants, observed, .. } = contents;
        self.revision = revision;
        self.publisher.begin(epoch, Generation(starts << CHANGES_OF_A_START));
        self.restore_grants(grants);
        for (instance, mark) in holds {
            self.holds.set(&instance, Some(mark));
        }
        self.publisher.set_held(&self.holds);
        for DefinitionRecord { definition, registered_from } in definitions.into_values() {
            let service = definition.service.clone();
            let added = added.get(&service).copied().unwrap_or_default();
            self.add_service(definition, registered_from, added, Status::Down, now);
            if let Some(entry) = self.directory.service_mut(&service) {
                entry.suspend(suspended.services.get(&service).cloned());
            }
        }
        for InstanceRecord { service, spec, addresses, registered_from, replaced } in instances.into_values() {
            if self.directory.service(&service).is_none() {
                // Never written so: an instance comes with its definition and goes with it.
                continue;
            }
            let instance = InstanceRef { service, id: spec.id.clone() };
            let noted = match () {
                () if observed.down.contains(&spec.id) => Status::Down,
                () if observed.up.contains(&spec.id) => Status::Up,
                () => Status::Unknown,
            };
            let health = match noted {
                _ if spec.health_endpoint.is_none() => Health::unprobed(),
                Status::Down => Health::down(&self.health_limits(&instance)),
                Status::Up => Health::restored_up(),
                Status::Unknown => Health::unknown(),
            };
            let drain = self.holds.get(&instance).or_else(|| draining.get(&spec.id)).cloned();
            let ttl = ttls.get(&spec.id).copied();
            let suspended = suspended.instances.get(&spec.id).cloned();
            let (live, keeps_health) = (Arc::default(), false);
            let heard = (!self.settings.sharing.is_shared()).then_some(now.at);
            let new = NewInstance {
                spec,
                share: self.publisher.share(),
                addresses,
                suspended,
                registered_from,
                health,
                keeps_health,
                noted,
                live,
                drain,
                replaced,
                ttl,
                heard,
            };
            self.install_instance(&instance, new, now, &mut effects);
            self.plan_probes(&instance, FirstProbe::Spread, now, &mut effects);
        }
        for service in &self.directory.names_where(|_| true) {
            self.re_evaluate(service, &mut effects);
            let hold = self.hold_of(service);
            let Some(entry) = self.directory.service_mut(service) else { continue };
            if entry.instances().is_empty() {
                self.leases.hold_routes(service, hold, now);
            }
            entry.start_status();
            self.refresh(service, now, &mut effects);
        }
        self.restore_maintenance(maintenance, now, &mut effects);
        self.restore_splits(splits);
        let (runtime, mut parts) = self.keys(&mut effects);
        runtime.restore(keys, now, &mut parts);
        self.publisher.advance();
        #[cfg(any(test, debug_assertions))]
        if self.is_small() {
            self.sweep_invariants();
        }
        effects.into_vec()
    }
}
