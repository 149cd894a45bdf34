//! Probes: when they are ordered, what their outcome changes; and addresses of followed names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{
    Answer, Change, DnsSubject, Effects, FirstProbe, Health, InstanceEntry, InstanceRef, NameToken, Now, ProbePlan,
    ProbeTarget, ProbeToken, Refusal, Registry, Report, Source, Verdict, view,
};
use crate::model::Status;

impl Registry {
    /// Orders the probes that the instance's status asks for; outcomes of earlier orders count no more.
    pub(super) fn plan_probes(&mut self, instance: &InstanceRef, first: FirstProbe, effects: &mut Effects) {
        let token = self.tokens.probe();
        if let Some(installed) = self.instance_mut(instance) {
            installed.probe_token = Some(token);
        }
        self.order_probes(instance, first, effects);
    }

    /// As [`plan_probes`](Self::plan_probes) under the order that holds already: a probe under way still counts.
    pub(super) fn order_probes(&mut self, instance: &InstanceRef, first: FirstProbe, effects: &mut Effects) {
        let limits = self.settings.health;
        let Some(installed) = self.instance_mut(instance) else { return };
        if installed.spec.health_endpoint.is_none() {
            return;
        }
        let Some(token) = installed.probe_token else { return };
        installed.live.note_health(installed.health().failures(), installed.health().is_stopped());
        let target =
            installed.addresses.first().map(|&address| ProbeTarget { spec: Arc::clone(&installed.spec), address });
        match (installed.health().period(&limits), target) {
            (Some(period), Some(target)) => {
                effects.probe(instance.clone(), ProbePlan { token, target, first, period });
            }
            _ => effects.stop_probing(instance.clone()),
        }
    }

    pub(super) fn restart_probing(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        self.set_health(instance, Health::unknown(), now, effects);
        self.plan_probes(instance, FirstProbe::Now, effects);
    }

    /// A service that registers again while it is DOWN says that it is back: it is looked at now, not in two minutes.
    pub(super) fn probe_if_down(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        if self.installed(instance).is_ok_and(|(_, installed)| installed.health().status() == Status::Down) {
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
        let (_, installed) = self.installed(instance)?;
        self.settings.policy.check_owner(&instance.service, installed.registered_from, source)?;
        if installed.spec.health_endpoint.is_none() {
            return Err(Refusal::NoProbes);
        }
        if installed.health().is_stopped() {
            self.restart_probing(instance, now, effects);
        } else {
            self.order_probes(instance, FirstProbe::Now, effects);
        }
        let status = self.installed(instance)?.1.health().status();
        Ok(Answer::Probing { status })
    }

    pub(super) fn handle_probe(
        &mut self,
        instance: &InstanceRef,
        token: ProbeToken,
        outcome: Result<(), String>,
        took: Duration,
        now: Now,
        effects: &mut Effects,
    ) {
        let limits = self.settings.health;
        let Some(installed) = self.instance_mut(instance) else { return };
        // A late answer to a plan that holds no longer says nothing of the instance as it is now.
        if installed.probe_token != Some(token) || installed.is_being_removed() {
            return;
        }
        let mut health = installed.health();
        let verdict = if outcome.is_ok() { health.succeed() } else { health.fail(&limits) };
        installed.live.note_probe(now.unix_ms, took, outcome.as_ref().err().cloned());
        installed.live.note_health(health.failures(), health.is_stopped());
        if let Some(entry) = self.services.get(&instance.service) {
            entry.live.events().count_probe(&outcome, took);
        }
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

    fn set_health(&mut self, instance: &InstanceRef, health: Health, now: Now, effects: &mut Effects) {
        let Some(entry) = self.services.get_mut(&instance.service) else { return };
        let Some(before) = entry.instances.get(&instance.id).map(InstanceEntry::health) else { return };
        entry.instances.set_health(&instance.id, health);
        let Some(installed) = entry.instances.get_mut(&instance.id) else { return };
        installed.live.note_health(health.failures(), health.is_stopped());
        if before.status() == health.status() {
            return;
        }
        installed.live.since_ms.store(now.unix_ms, Ordering::Relaxed);
        let pool_group = installed.seen.pool_group;
        installed.seen =
            view::instance(&installed.spec, &installed.addresses, health.status(), pool_group, &installed.live);
        if (before.status() == Status::Down) != (health.status() == Status::Down) {
            let is_down = health.status() == Status::Down;
            effects.keep(Change::NoteDown { instance: instance.id.clone(), is_down });
        }
        effects.report(Report::InstanceStatusChanged {
            instance: instance.clone(),
            from: before.status(),
            to: health.status(),
        });
        self.view.advance();
        self.refresh(&instance.service, now, effects);
    }

    /// A followed name was resolved: the new addresses count if all of them are allowed.
    pub(super) fn handle_addresses(
        &mut self,
        subject: DnsSubject,
        token: NameToken,
        addresses: Arc<[SocketAddr]>,
        now: Now,
        effects: &mut Effects,
    ) {
        let instance = match &subject {
            DnsSubject::Static(index) => {
                if self.view.move_static(*index, token, &addresses) {
                    effects.report(Report::AddressesChanged { subject, addresses });
                }
                return;
            }
            DnsSubject::Instance(instance) => instance.clone(),
        };
        let Ok((_, installed)) = self.installed(&instance) else { return };
        let is_known = view::is_same_set(&installed.addresses, &addresses) && installed.suspended.is_none();
        if installed.name_token != token || is_known {
            return;
        }
        if let Err(refusal) = self.settings.policy.check_addresses(&instance.service, &addresses) {
            effects.report(Report::AddressesRefused { subject, why: refusal.to_string() });
            return;
        }
        // The token stays: it names the registration. The instance gets a pool group of its own, so that no connection
        // to the old address is used again.
        let pool_group = self.tokens.pool_group();
        if let Some(installed) = self.instance_mut(&instance) {
            installed.addresses = Arc::clone(&addresses);
            // Whoever resolved it looked whether it may be there.
            installed.suspended = None;
            installed.seen =
                view::instance(&installed.spec, &addresses, installed.health().status(), pool_group, &installed.live);
        }
        effects.keep(Change::NoteAddresses { instance: instance.id.clone(), addresses: Arc::clone(&addresses) });
        self.plan_probes(&instance, FirstProbe::Now, effects);
        self.recheck(&instance.service, effects);
        self.view.advance();
        self.refresh(&instance.service, now, effects);
        effects.report(Report::AddressesChanged { subject, addresses });
    }
}
