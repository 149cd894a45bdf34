//! Probes are planned, and their outcomes come in: for new instances, at a command, when health or limits changed.

use super::answer::Answer;
use super::change::{Change, Observation};
use super::command::Source;
use super::directory::{InstanceEntry, StatusChange};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::now::Now;
use super::plan::FirstProbe;
use super::probes::{Health, HealthLimits, ProbeOutcome, SignOfLife, Verdict};
use super::refusal::Refusal;
use super::report::Report;
use super::shared;
use super::token::ProbeToken;
use crate::model::ServiceName;

impl Registry {
    pub(super) fn handle_probe(
        &mut self,
        instance: &InstanceRef,
        token: ProbeToken,
        probed: ProbeOutcome,
        now: Now,
        effects: &mut Effects,
    ) {
        // A late outcome of a plan that holds no longer says nothing of the instance as it is now.
        if !self.probes.is_current(instance, token) || self.directory.installed(instance).is_err() {
            return;
        }
        let ProbeOutcome { outcome, host, took } = probed;
        let accrual = self.watch_for_outage(instance, &outcome, host, now, effects);
        let Some(entry) = self.directory.service(&instance.service) else { return };
        let Some(installed) = entry.instances().get(&instance.id).filter(|one| !one.is_being_removed()) else { return };
        let mut health = installed.health();
        let verdict = if outcome.is_ok() {
            health.succeed()
        } else {
            health.fail(&self.health_limits(instance), accrual, now.at)
        };
        shared::probed(installed.live(), took, &outcome, now);
        shared::service_probed(entry.live(), took, &outcome);
        if let Err(failure) = outcome {
            let error = failure.to_string();
            effects.report(Report::ProbeFailed { instance: instance.clone(), failures: health.failures(), error });
        }
        let before = installed.health().status();
        self.set_health(instance, health, now, effects);
        self.note_judged(instance, host, before, health.status());
        match verdict {
            Verdict::Same => self.retime_probes(instance, FirstProbe::AfterPeriod, now, effects),
            Verdict::Changed => self.plan_probes(instance, FirstProbe::AfterPeriod, now, effects),
            Verdict::Stopped => {
                self.plan_probes(instance, FirstProbe::AfterPeriod, now, effects);
                effects.report(Report::ProbingStopped(instance.clone()));
            }
        }
    }

    pub(super) fn set_health(&mut self, instance: &InstanceRef, health: Health, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service_mut(&instance.service) else { return };
        let Some(StatusChange { from, to }) = entry.set_health(&instance.id, health, now) else { return };
        self.note_status(instance, effects);
        effects.report(Report::InstanceStatusChanged { instance: instance.clone(), from, to });
        self.publisher.advance();
        self.refresh(&instance.service, now, effects);
    }

    /// Has the store note the instance's status, unless it does.
    pub(super) fn note_status(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        let entry = self.directory.service_mut(&instance.service);
        if let Some(status) = entry.and_then(|entry| entry.take_unnoted(&instance.id)) {
            effects.keep(Change::Observe(instance.clone(), Observation::Status(status)));
        }
    }

    /// Plans the probes that the instance's health needs; outcomes of earlier plans count no more.
    pub(super) fn plan_probes(&mut self, instance: &InstanceRef, first: FirstProbe, now: Now, effects: &mut Effects) {
        let is_probed = |installed: &InstanceEntry| installed.spec().health_endpoint.is_some();
        if self.directory.instance(instance).is_some_and(is_probed) {
            self.probes.renew(instance, self.tokens.probe());
            self.order_probes(instance, first, now, effects);
        }
    }

    /// As [`plan_probes`](Self::plan_probes) under the token that holds already: a probe under way still counts.
    pub(super) fn order_probes(&mut self, instance: &InstanceRef, first: FirstProbe, now: Now, effects: &mut Effects) {
        let limits = self.health_limits(instance);
        let Some(entry) = self.directory.service(&instance.service) else { return };
        if let Some(installed) = entry.instances().get(&instance.id) {
            let period = installed.health().period(&limits, now.at);
            self.probes.order(instance, entry.definition(), installed, period, first, effects);
        }
    }

    /// The numbers that hold for an instance: the configuration's, and those of its service over them.
    pub(super) fn health_limits(&self, instance: &InstanceRef) -> HealthLimits {
        let limits = self.settings.health;
        self.directory.service(&instance.service).map_or(limits, |entry| limits.with(&entry.definition().health_check))
    }

    /// The definition of a service changed: its instances are probed as it says now.
    pub(super) fn probe_by_definition(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service(service) else { return };
        let ids: Vec<_> = entry.instances().keys().cloned().collect();
        for id in ids {
            let instance = InstanceRef { service: service.clone(), id };
            self.order_probes(&instance, FirstProbe::WithinPeriod, now, effects);
        }
    }

    /// The same, where the health or the numbers in force ask for another period than the plan has.
    fn retime_probes(&mut self, instance: &InstanceRef, first: FirstProbe, now: Now, effects: &mut Effects) {
        let Some(installed) = self.directory.instance(instance) else { return };
        let period = installed.health().period(&self.health_limits(instance), now.at);
        if self.probes.is_by_another(instance, period) {
            self.order_probes(instance, first, now, effects);
        }
    }

    fn restart_probing(&mut self, instance: &InstanceRef, health: Health, now: Now, effects: &mut Effects) {
        self.set_health(instance, health, now, effects);
        self.plan_probes(instance, FirstProbe::Now, now, effects);
    }

    /// The instance registered again, or sent a heartbeat. One that is DOWN may be back: it is probed soon, not in two
    /// minutes. One that is not probed any more is probed afresh.
    pub(super) fn note_sign_of_life(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        let Ok((_, installed)) = self.directory.installed(instance) else { return };
        let mut health = installed.health();
        match health.hear(&self.health_limits(instance), now.at) {
            SignOfLife::Expected => {}
            SignOfLife::WhileDown => {
                self.set_health(instance, health, now, effects);
                self.order_probes(instance, FirstProbe::Soon, now, effects);
            }
            SignOfLife::WhileStopped => self.restart_probing(instance, health, now, effects),
        }
    }

    /// The instance is elsewhere now. One that was not probed any more where it was is probed afresh.
    pub(super) fn probe_moved(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        self.outage.forget(instance);
        match self.directory.instance(instance) {
            Some(installed) if installed.health().is_stopped() => {
                self.restart_probing(instance, Health::starting(now.at), now, effects);
            }
            _ => self.plan_probes(instance, FirstProbe::Now, now, effects),
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
            self.restart_probing(instance, Health::unknown(), now, effects);
        } else {
            self.order_probes(instance, FirstProbe::Now, now, effects);
        }
        let status = self.directory.installed(instance)?.1.health().status();
        Ok(Answer::Probing { status })
    }

    /// Probes go by the new periods. What is under way counts; verdicts are left as they are until the next outcome.
    pub(super) fn retime_all_probes(&mut self, now: Now, effects: &mut Effects) {
        let instances: Vec<_> = self
            .directory
            .services()
            .flat_map(|(service, entry)| entry.instances().keys().map(move |id| (service, id)))
            .map(|(service, id)| InstanceRef { service: service.clone(), id: id.clone() })
            .collect();
        for instance in &instances {
            self.retime_probes(instance, FirstProbe::WithinPeriod, now, effects);
        }
    }
}
