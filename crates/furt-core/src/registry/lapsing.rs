//! What a shared store lost though no command removed it: leases that ended there, and what a comparison missed.
//!
//! Who was heard here within its TTL lives, whatever the store says: it is stored again. Anyone else stays a moment, so that
//! the gateway that hears it can have it stored again; then it has expired.

use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, DefinitionRecord, InstanceRecord};
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::leases::HOLD;
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::service_write::ServiceWrite;
use super::settings::Sharing;
use crate::model::{DrainUntil, ServiceName};

/// When an instance that waits for a write about it, or whose store failed, is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The most that the end of a hold is delayed: one gateway is the first, and the others find the service gone.
const HOLD_SPREAD_MS: u64 = 5_000;

impl Registry {
    /// A shared store can be followed and written to, or cannot.
    pub(super) fn handle_store_reach(&mut self, reach: Result<(), Arc<str>>, now: Now, effects: &mut Effects) {
        let was_away = std::mem::replace(&mut self.unreachable, reach.err()).is_some();
        if !was_away || self.unreachable.is_some() {
            return;
        }
        self.lapses.note_return(now.at);
        for (instance, has_lapsed) in self.leased_instances(now) {
            if has_lapsed {
                // Whoever hears it has had no time to tell.
                let stays_until = now.at + self.lapses.note(now.at);
                if let Some(lapsed) = self.directory.instance_mut(&instance) {
                    lapsed.set_lapsed(Some(stays_until));
                }
                self.check_lapse(&instance, now, effects);
            } else {
                effects.renew(&instance);
            }
        }
    }

    /// Those that were heard here within their TTL or lost by a shared store, and whether it lost them.
    fn leased_instances(&self, now: Now) -> Vec<(InstanceRef, bool)> {
        let all = self
            .directory
            .services()
            .flat_map(|(service, entry)| entry.instances().values().map(move |installed| (service, installed)));
        let is_leased = |one: &InstanceEntry| one.has_lapsed() || one.liveness().is_heard(now);
        let leased = all.filter(|(_, installed)| is_leased(installed) && !installed.is_being_removed());
        let of = |service: &ServiceName, installed: &InstanceEntry| InstanceRef {
            service: service.clone(),
            id: installed.spec().id.clone(),
        };
        leased.map(|(service, installed)| (of(service, installed), installed.has_lapsed())).collect()
    }

    /// The instance was heard: a shared store is told, or has it again.
    pub(super) fn hear_in_store(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        let Some(installed) = self.directory.instance(instance) else { return };
        match (installed.has_lapsed(), installed.liveness().ttl()) {
            (true, _) => self.check_lapse(instance, now, effects),
            (false, Some(_)) => effects.renew(instance),
            (false, None) => {}
        }
    }

    /// The store has the instance no longer, and no command removed it.
    /// `lapsed`: those to look at once all that the store told is taken over.
    pub(super) fn lapse(&mut self, instance: &InstanceRef, lapsed: &mut Vec<InstanceRef>, now: Now) {
        let Some(installed) = self.directory.instance_mut(instance).filter(|one| !one.has_lapsed()) else { return };
        let stays_until = now.at + self.lapses.note(now.at);
        installed.set_lapsed(Some(stays_until));
        self.leases.look_at_lapsed(instance.clone(), stays_until);
        lapsed.push(instance.clone());
    }

    /// Has an instance that was lost stored again, where it lives; one that does not expires when its time has come.
    pub(super) fn check_lapse(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        let Some(installed) = self.directory.instance(instance) else { return };
        let Some(stays_until) = installed.lapsed_until() else { return };
        let heard_until = installed.liveness().ends_at().filter(|end| *end > now.at);
        let is_claimed = self.directory.ids().claims(&instance.id, &instance.service) > 1;
        let is_waiting = is_claimed || !self.is_written_side_by_side(&instance.service);
        let look_at = match heard_until {
            _ if is_waiting => now.at + LOOK_AGAIN,
            // Others may have it stored again, and cannot be heard of.
            _ if self.unreachable.is_some() => now.at + LOOK_AGAIN,
            Some(_) if self.is_contested(&instance.service) => return self.expire_lapsed(instance, now, effects),
            Some(_) => return self.begin_restoring(instance, effects),
            None if stays_until > now.at => stays_until,
            None => return self.expire_lapsed(instance, now, effects),
        };
        self.leases.look_at_lapsed(instance.clone(), look_at);
    }

    /// Whether the store lost a service, and gave its routes to another one.
    fn is_contested(&self, service: &ServiceName) -> bool {
        let lost = self.directory.service(service).filter(|entry| entry.has_lapsed());
        lost.is_some_and(|entry| !self.claimed_by_others(entry.definition()).is_empty())
    }

    /// Whether nothing of a service is on its way to the store but single instances of the definition that stands.
    fn is_written_side_by_side(&self, service: &ServiceName) -> bool {
        let is_beside = |write: &ServiceWrite| match write {
            ServiceWrite::Register(registering) => registering.definition_owner.is_none(),
            ServiceWrite::Restore { with_definition, .. } => !with_definition,
            ServiceWrite::Remove { .. } | ServiceWrite::Drain { .. } | ServiceWrite::Return { .. } => false,
        };
        // Anything else goes alone, so the first write tells.
        self.outbox.ends(service).is_none_or(|(first, _)| is_beside(first))
    }

    fn begin_restoring(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        let Ok((entry, installed)) = self.directory.installed(instance) else { return };
        let with_definition = entry.has_lapsed();
        let definition = with_definition.then(|| {
            let (definition, registered_from) = (Arc::clone(entry.definition()), entry.registered_from());
            Change::PutDefinition(DefinitionRecord { definition, registered_from })
        });
        let put = Change::PutInstance(InstanceRecord {
            service: instance.service.clone(),
            spec: Arc::clone(installed.spec()),
            addresses: Arc::clone(installed.addresses()),
            registered_from: installed.registered_from(),
            replaced: installed.replaced().cloned(),
        });
        let promised = installed.liveness().ttl().filter(|_| installed.spec().heartbeat_ttl.is_none());
        let ttl = promised.map(|ttl| Change::NoteTtl { instance: instance.clone(), ttl });
        let drain = installed.drain().filter(|mark| mark.until != DrainUntil::Undo);
        let drain = drain.map(|mark| Change::PutDraining(instance.clone(), Arc::clone(mark)));
        let changes = definition.into_iter().chain([put]).chain(ttl).chain(drain).collect();
        let premises = self.premises_of_restoring(instance, installed);
        self.leases.end_lapse(instance);
        self.directory.claim_id(instance);
        let write = ServiceWrite::Restore { instance: instance.clone(), with_definition };
        self.submit(&instance.service, write, changes, premises, effects);
    }

    /// The store has the instance again.
    pub(super) fn finish_restoring(&mut self, instance: &InstanceRef, with_definition: bool, effects: &mut Effects) {
        self.directory.release_id(instance);
        if let Some(entry) = self.directory.service_mut(&instance.service).filter(|_| with_definition) {
            entry.set_lapsed(false);
        }
        if let Some(installed) = self.directory.instance_mut(instance) {
            installed.set_lapsed(None);
            effects.report(Report::Restored(instance.clone()));
        }
    }

    /// The store could not take it again: it is tried once more.
    pub(super) fn retry_restoring(&mut self, instance: &InstanceRef, now: Now) {
        self.directory.release_id(instance);
        if self.directory.instance(instance).is_some_and(InstanceEntry::has_lapsed) {
            self.leases.look_at_lapsed(instance.clone(), now.at + LOOK_AGAIN);
        }
    }

    /// Nobody heard it in time. A service that the store lost as well goes with its last instance.
    pub(super) fn expire_lapsed(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        self.remove_instance(instance, effects);
        effects.report(Report::Expired(instance.clone()));
        self.settle(&instance.service, now, effects);
        self.publisher.advance();
    }

    /// The definition is in the store no longer, and no command removed it: it is stored again with the first of its
    /// instances that lives.
    pub(super) fn lapse_service(&mut self, service: &ServiceName, lapsed: &mut Vec<InstanceRef>, now: Now) {
        let Some(entry) = self.directory.service_mut(service) else { return };
        entry.set_lapsed(true);
        let ids: Vec<_> = entry.instances().keys().cloned().collect();
        for id in ids {
            self.lapse(&InstanceRef { service: service.clone(), id }, lapsed, now);
        }
    }

    /// How long the routes of a service without instances are held.
    pub(super) fn hold_of(&self, service: &ServiceName) -> Duration {
        match self.settings.sharing {
            Sharing::Exclusive => HOLD,
            Sharing::Shared { salt, .. } => HOLD + spread(salt, service.as_str(), HOLD_SPREAD_MS),
        }
    }

    /// Of an instance that the store lost nothing can be stored before it is there again, or has expired.
    pub(super) fn lapse_refusal<'a>(&self, mut of: impl Iterator<Item = &'a InstanceEntry>) -> Option<Refusal> {
        let lost = of.find(|installed| installed.has_lapsed())?;
        Some(Refusal::StoreFailed(format!("it lost instance \"{}\", which may be stored again", lost.spec().id)))
    }
}

/// A time below `most_ms` that is another for each gateway.
pub(super) fn spread(salt: u64, name: &str, most_ms: u64) -> Duration {
    // FNV-1a: the same on every machine and with every version of Rust.
    let hash = name
        .bytes()
        .chain(salt.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Duration::from_millis(hash % most_ms.max(1))
}
