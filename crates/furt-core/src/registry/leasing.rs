//! Leases are renewed and run out: heartbeats, registrations that count as one, deadlines that have come, and the time in
//! which nobody could be heard.

use std::time::Duration;

use super::answer::Answer;
use super::change::Change;
use super::command::{RegistrationKind, Source};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::leases::Due;
use super::now::Now;
use super::refusal::Refusal;
use super::service_write::RemovalCause;
use super::shared;
use crate::model::Incarnation;

impl Registry {
    pub(super) fn heartbeat(
        &mut self,
        instance: &InstanceRef,
        incarnation: Option<&Incarnation>,
        source: &Source,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let (_, installed) = self.directory.installed(instance)?;
        self.settings.policy.check_owner(&instance.service, installed.registered_from(), source)?;
        self.check_incarnation(instance, incarnation)?;
        let heartbeat_ttl = installed.spec().heartbeat_ttl.unwrap_or(self.settings.heartbeat_ttl);
        // From its first heartbeat on an instance is held to them.
        self.renew_lease(Some(heartbeat_ttl), instance, now, effects);
        self.note_sign_of_life(instance, now, effects);
        let status = self.directory.installed(instance)?.1.health().status();
        Ok(Answer::Heard { status, epoch: self.publisher.epoch(), heartbeat_ttl })
    }

    /// An instance registered without any change: that counts as a heartbeat. Only one that registers as
    /// [`RegistrationKind::InstanceOnly`] is held to heartbeats from there on.
    pub(super) fn hear_registration(
        &mut self,
        instance: &InstanceRef,
        kind: RegistrationKind,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(installed) = self.directory.instance(instance) else { return };
        let is_held = kind == RegistrationKind::InstanceOnly || installed.liveness().ttl().is_some();
        // A default that changed holds from here on: the answer to this tells it.
        let ttl = installed.spec().heartbeat_ttl.unwrap_or(self.settings.heartbeat_ttl);
        self.renew_lease(is_held.then_some(ttl), instance, now, effects);
        self.note_sign_of_life(instance, now, effects);
    }

    /// The instance lives, and is to be heard again within `ttl`; `None`: whenever it likes.
    pub(super) fn renew_lease(
        &mut self,
        ttl: Option<Duration>,
        instance: &InstanceRef,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(installed) = self.directory.instance_mut(instance) else { return };
        shared::heard(installed.live(), ttl, now);
        let is_other = if self.settings.sharing.is_shared() {
            // The store says when a TTL is over. One that is longer than promised does no harm, and gateways that promise
            // different ones would write at each heartbeat.
            let before = installed.liveness_mut().hear(ttl, now);
            ttl.is_some_and(|ttl| before.is_none_or(|before| ttl > before))
        } else {
            self.leases.hear(instance, installed.liveness_mut(), ttl, now)
        };
        if let Some(ttl) = ttl.filter(|_| is_other && installed.spec().heartbeat_ttl.is_none()) {
            effects.keep(Change::NoteTtl { instance: instance.clone(), ttl });
        }
        if self.settings.sharing.is_shared() {
            self.hear_in_store(instance, now, effects);
        }
    }

    /// The TTL of an instance that is just installed.
    pub(super) fn begin_lease(&mut self, ttl: Option<Duration>, instance: &InstanceRef, now: Now) {
        let Some(installed) = self.directory.instance_mut(instance) else { return };
        match installed.liveness().heard() {
            Some(heard) if heard == now.at => shared::heard(installed.live(), ttl, now),
            Some(_) | None => shared::promised(installed.live(), ttl),
        }
        if let Some(end) = installed.liveness().ends_at().filter(|_| !self.settings.sharing.is_shared()) {
            self.leases.look_at(instance.clone(), end);
        }
    }

    pub(super) fn handle_deadlines(&mut self, now: Now, effects: &mut Effects) {
        while let Some(due) = self.leases.pop(now.at) {
            match due {
                Due::Instance(instance) => self.check_expiry(instance, now, effects),
                Due::Lapsed(instance) => self.check_lapse(&instance, now, effects),
                Due::HeldRoutes(service) if self.outbox.is_writing(&service) || self.unreachable.is_some() => {
                    self.leases.retry_freeing(&service, now);
                }
                Due::HeldRoutes(service) => self.begin_removal(service, None, RemovalCause::HoldEnded, now, effects),
            }
        }
        self.expire_outage(now, effects);
        if self.maintenances.next_deadline().is_some_and(|at| at <= now.at) {
            self.end_maintenance(now, effects);
        }
        let (keys, mut parts) = self.keys(effects);
        keys.handle_deadline(now, &mut parts);
    }

    fn check_expiry(&mut self, instance: InstanceRef, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service(&instance.service) else { return };
        let Some(installed) = entry.instances().get(&instance.id) else { return };
        let Some(end) = installed.liveness().ends_at() else { return };
        // Instances that fall silent together leave together. Only a write that is about this instance, or takes the
        // whole service, is waited for.
        let is_registering = self.directory.ids().claims(&instance.id, &instance.service) > 1;
        let is_writing = self.outbox.is_writing(&instance.service);
        if end > now.at && !installed.is_being_removed() {
            self.leases.look_at(instance, end);
        } else if entry.is_being_removed() || is_registering || (installed.is_being_removed() && is_writing) {
            self.leases.retry_removal(instance, now);
        } else {
            let InstanceRef { service, id } = instance;
            self.begin_removal(service, Some(id), RemovalCause::Expired, now, effects);
        }
    }

    /// The process was held up for so long that nobody could be heard: every TTL is extended by it.
    pub(super) fn extend_deadlines(&mut self, gap: Duration) {
        self.directory.extend_leases(gap);
    }
}
