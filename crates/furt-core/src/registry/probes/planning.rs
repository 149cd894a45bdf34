//! When probes are planned anew: for new instances, at a command, when health or limits changed.

use super::super::answer::Answer;
use super::super::command::Source;
use super::super::directory::InstanceEntry;
use super::super::dispatch::Registry;
use super::super::effects::Effects;
use super::super::ids::InstanceRef;
use super::super::now::Now;
use super::super::plan::FirstProbe;
use super::super::refusal::Refusal;
use super::health::{Health, HealthLimits};
use crate::model::Status;

impl Registry {
    /// Plans the probes that the instance's health needs; outcomes of earlier plans count no more.
    pub(in crate::registry) fn plan_probes(
        &mut self,
        instance: &InstanceRef,
        first: FirstProbe,
        effects: &mut Effects,
    ) {
        let is_probed = |installed: &InstanceEntry| installed.spec.health_endpoint.is_some();
        if self.directory.instance(instance).is_some_and(is_probed) {
            self.probes.renew(instance, self.tokens.probe());
            self.order_probes(instance, first, effects);
        }
    }

    /// As [`plan_probes`](Self::plan_probes) under the token that holds already: a probe under way still counts.
    fn order_probes(&self, instance: &InstanceRef, first: FirstProbe, effects: &mut Effects) {
        if let Some(installed) = self.directory.instance(instance) {
            self.probes.order(instance, installed, &self.settings.health, first, effects);
        }
    }

    pub(in crate::registry) fn restart_probing(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        self.set_health(instance, Health::unknown(), now, effects);
        self.plan_probes(instance, FirstProbe::Now, effects);
    }

    /// A service that registers again while it is DOWN says that it is back: it is probed now, not in two minutes.
    pub(in crate::registry) fn probe_if_down(&self, instance: &InstanceRef, effects: &mut Effects) {
        if self.directory.installed(instance).is_ok_and(|(_, installed)| installed.health().status() == Status::Down) {
            self.order_probes(instance, FirstProbe::Now, effects);
        }
    }

    pub(in crate::registry) fn probe_now(
        &mut self,
        instance: &InstanceRef,
        source: &Source,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let (_, installed) = self.directory.installed(instance)?;
        self.settings.policy.check_owner(&instance.service, installed.registered_from, source)?;
        if installed.spec.health_endpoint.is_none() {
            return Err(Refusal::NoProbes);
        }
        if installed.health().is_stopped() {
            self.restart_probing(instance, now, effects);
        } else {
            self.order_probes(instance, FirstProbe::Now, effects);
        }
        let status = self.directory.installed(instance)?.1.health().status();
        Ok(Answer::Probing { status })
    }

    /// Probes go by the new periods. What is under way counts; verdicts are left as they are until the next outcome.
    pub(in crate::registry) fn retime_probes(&self, before: &HealthLimits, effects: &mut Effects) {
        let limits = &self.settings.health;
        for (service, entry) in self.directory.services() {
            for (id, installed) in entry.instances.iter() {
                if installed.health().period(before) != installed.health().period(limits) {
                    let instance = InstanceRef { service: service.clone(), id: id.clone() };
                    self.order_probes(&instance, FirstProbe::WithinPeriod, effects);
                }
            }
        }
    }
}
