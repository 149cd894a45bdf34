//! Probes are planned, and their outcomes come in: for new instances, at a command, when health or limits changed.

use std::time::Duration;

use super::answer::Answer;
use super::change::{Change, Observation};
use super::command::Source;
use super::directory::{InstanceEntry, StatusChange};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::now::Now;
use super::plan::FirstProbe;
use super::probes::{Health, HealthLimits, Verdict};
use super::refusal::Refusal;
use super::report::Report;
use super::shared;
use super::token::ProbeToken;
use crate::model::Status;

impl Registry {
    pub(super) fn handle_probe(
        &mut self,
        instance: &InstanceRef,
        token: ProbeToken,
        outcome: Result<(), String>,
        took: Duration,
        now: Now,
        effects: &mut Effects,
    ) {
        // A late outcome of a plan that holds no longer says nothing of the instance as it is now.
        if !self.probes.is_current(instance, token) {
            return;
        }
        let Some(entry) = self.directory.service(&instance.service) else { return };
        let Some(installed) = entry.instances().get(&instance.id).filter(|one| !one.is_being_removed()) else { return };
        let mut health = installed.health();
        let verdict = if outcome.is_ok() { health.succeed() } else { health.fail(&self.settings.health) };
        shared::probed(installed.live(), took, &outcome, now);
        shared::service_probed(entry.live(), took, &outcome);
        if let Err(error) = outcome {
            effects.report(Report::ProbeFailed { instance: instance.clone(), failures: health.failures(), error });
        }
        self.set_health(instance, health, now, effects);
        match verdict {
            Verdict::Same => {}
            Verdict::Changed => self.plan_probes(instance, FirstProbe::AfterPeriod, effects),
            Verdict::Stopped => {
                self.plan_probes(instance, FirstProbe::AfterPeriod, effects);
                effects.report(Report::ProbingStopped(instance.clone()));
            }
        }
    }

    pub(super) fn set_health(&mut self, instance: &InstanceRef, health: Health, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service_mut(&instance.service) else { return };
        let Some(StatusChange { from, to }) = entry.set_health(&instance.id, health, now) else { return };
        if (from == Status::Down) != (to == Status::Down) {
            let is_down = to == Status::Down;
            effects.keep(Change::Observe(instance.id.clone(), Observation::Down(is_down)));
        }
        effects.report(Report::InstanceStatusChanged { instance: instance.clone(), from, to });
        self.publisher.advance();
        self.refresh(&instance.service, now, effects);
    }

    /// Plans the probes that the instance's health needs; outcomes of earlier plans count no more.
    pub(super) fn plan_probes(&mut self, instance: &InstanceRef, first: FirstProbe, effects: &mut Effects) {
        let is_probed = |installed: &InstanceEntry| installed.spec().health_endpoint.is_some();
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

    pub(super) fn restart_probing(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        self.set_health(instance, Health::unknown(), now, effects);
        self.plan_probes(instance, FirstProbe::Now, effects);
    }

    /// A service that registers again while it is DOWN says that it is back: it is probed now, not in two minutes.
    pub(super) fn probe_if_down(&self, instance: &InstanceRef, effects: &mut Effects) {
        if self.directory.installed(instance).is_ok_and(|(_, installed)| installed.health().status() == Status::Down) {
            self.order_probes(instance, FirstProbe::Now, effects);
        }
    }

    pub(super) fn probe_now(
        &mut self,
        instance: &InstanceRef,
        source: &Source,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let (_, installed) = self.directory.installed(instance)?;
        self.settings.policy.check_owner(&instance.service, installed.registered_from(), source)?;
        if installed.spec().health_endpoint.is_none() {
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
    pub(super) fn retime_probes(&self, before: &HealthLimits, effects: &mut Effects) {
        let limits = &self.settings.health;
        for (service, entry) in self.directory.services() {
            for (id, installed) in entry.instances().iter() {
                if installed.health().period(before) != installed.health().period(limits) {
                    let instance = InstanceRef { service: service.clone(), id: id.clone() };
                    self.order_probes(&instance, FirstProbe::WithinPeriod, effects);
                }
            }
        }
    }
}
