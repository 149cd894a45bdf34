//! Heartbeats, and registrations that count as one.

use std::time::Duration;

use super::super::answer::Answer;
use super::super::change::Change;
use super::super::command::{RegistrationKind, Source};
use super::super::dispatch::Registry;
use super::super::effects::Effects;
use super::super::ids::InstanceRef;
use super::super::now::Now;
use super::super::refusal::Refusal;
use super::super::shared;

impl Registry {
    pub(in crate::registry) fn heartbeat(
        &mut self,
        instance: &InstanceRef,
        source: &Source,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let (_, installed) = self.directory.installed(instance)?;
        self.settings.policy.check_owner(&instance.service, installed.registered_from, source)?;
        let heartbeat_ttl = installed.spec.heartbeat_ttl.unwrap_or(self.settings.heartbeat_ttl);
        // From its first heartbeat on an instance is held to them.
        self.renew_lease(Some(heartbeat_ttl), instance, now, effects);
        let status = self.directory.installed(instance)?.1.health().status();
        Ok(Answer::Heard { status, epoch: self.publisher.epoch(), heartbeat_ttl })
    }

    /// An instance registered without any change: that counts as a heartbeat. Only one that registers as
    /// [`RegistrationKind::InstanceOnly`] is held to heartbeats from there on.
    pub(in crate::registry) fn hear_registration(
        &mut self,
        instance: &InstanceRef,
        kind: RegistrationKind,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(installed) = self.directory.instance(instance) else { return };
        let is_held = kind == RegistrationKind::InstanceOnly || installed.liveness.ttl().is_some();
        // A default that changed holds from here on: the answer to this tells it.
        let ttl = installed.spec.heartbeat_ttl.unwrap_or(self.settings.heartbeat_ttl);
        self.renew_lease(is_held.then_some(ttl), instance, now, effects);
    }

    /// The instance lives, and is to be heard again within `ttl`; `None`: whenever it likes. One whose probes had ended is
    /// probed afresh.
    pub(in crate::registry) fn renew_lease(
        &mut self,
        ttl: Option<Duration>,
        instance: &InstanceRef,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(installed) = self.directory.instance_mut(instance) else { return };
        shared::heard(&installed.live, ttl, now);
        let is_other = self.leases.hear(instance, &mut installed.liveness, ttl, now);
        if let Some(ttl) = ttl.filter(|_| is_other && installed.spec.heartbeat_ttl.is_none()) {
            effects.keep(Change::NoteTtl { instance: instance.id.clone(), ttl });
        }
        if installed.health().is_stopped() {
            self.restart_probing(instance, now, effects);
        }
    }
}
