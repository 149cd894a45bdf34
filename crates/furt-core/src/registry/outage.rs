//! The gateway's own trouble: while its network is out, no instance is called DOWN for it.
//!
//! `probes::OutageWatch` counts who fails. Here is what follows from it: verdicts are held for a while, and looked at afresh
//! when that ends.

use std::net::IpAddr;

use super::directory::{InstanceEntry, ServiceEntry};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::now::Now;
use super::plan::FirstProbe;
use super::probes::{FailureAccrual, ProbeFailure, ProbedHost};
use super::report::Report;
use crate::model::Status;

impl Registry {
    /// Takes note of an outcome before it is judged; gives how a failure counts.
    pub(super) fn watch_for_outage(
        &mut self,
        instance: &InstanceRef,
        outcome: &Result<(), ProbeFailure>,
        host: ProbedHost,
        now: Now,
        effects: &mut Effects,
    ) -> FailureAccrual {
        match (host, outcome) {
            (ProbedHost::Own, _) => {}
            // What was answered came over the network, whatever it says.
            (ProbedHost::Other, Ok(()) | Err(ProbeFailure::BadAnswer(_))) => self.end_outage_by_answer(now, effects),
            (ProbedHost::Other, Err(ProbeFailure::NotSent(_) | ProbeFailure::NoAnswer(_))) => {
                self.note_unanswered(instance, now, effects);
            }
        }
        match (host, outcome) {
            (ProbedHost::Other, _) if self.outage.is_holding() => FailureAccrual::Held,
            (ProbedHost::Own, _) if self.outage.is_holding() => FailureAccrual::NotTowardsStop,
            (_, Err(ProbeFailure::NotSent(_))) => FailureAccrual::NotTowardsStop,
            (_, Ok(()) | Err(ProbeFailure::NoAnswer(_) | ProbeFailure::BadAnswer(_))) => FailureAccrual::Full,
        }
    }

    /// Takes note of what an outcome made of an instance.
    pub(super) fn note_judged(&mut self, instance: &InstanceRef, host: ProbedHost, before: Status, after: Status) {
        let Some(ip) = self.directory.instance(instance).and_then(first_ip) else { return };
        match (host, before, after) {
            (ProbedHost::Own, ..) => self.outage.note_own(instance, ip),
            (ProbedHost::Other, _, Status::Up) => self.outage.watch(instance, ip),
            (ProbedHost::Other, Status::Up | Status::Unknown, Status::Down) => self.outage.note_down(instance),
            (ProbedHost::Other, Status::Down, Status::Down) | (ProbedHost::Other, _, Status::Unknown) => {}
        }
    }

    fn note_unanswered(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        // What was UP before a restart of furt was UP.
        let restored = self.directory.instance(instance).filter(|installed| installed.health().is_restored_up());
        if let Some(ip) = restored.and_then(first_ip) {
            self.outage.watch(instance, ip);
        }
        if self.outage.is_first_to_fail(instance) {
            self.outage.note_answered(self.requests_answered());
        }
        self.outage.note_failure(instance);
        let (is_to_look, suspected) = (self.outage.take_look(now.at), self.outage.suspected());
        if (is_to_look || suspected.is_some()) && self.outage.is_refuted_by(self.requests_answered()) {
            return self.end_outage_by_answer(now, effects);
        }
        let longest = self.settings.outage_hold;
        if let Some(scope) = suspected.filter(|_| !longest.is_zero()) {
            self.outage.begin(now.at, longest);
            effects.report(Report::OutageBegan { scope, longest });
        }
    }

    /// The requests that services answered to which a network leads, so far.
    fn requests_answered(&self) -> u64 {
        let is_elsewhere = |installed: &InstanceEntry| first_ip(installed).is_some_and(|ip| !self.outage.is_own(ip));
        self.directory.answered_by(|entry: &ServiceEntry| entry.instances().values().all(is_elsewhere))
    }

    fn end_outage_by_answer(&mut self, now: Now, effects: &mut Effects) {
        if self.outage.note_answer() {
            self.end_outage(now, effects);
        }
    }

    /// Ends a hold whose time is over.
    pub(super) fn expire_outage(&mut self, now: Now, effects: &mut Effects) {
        if self.outage.expire(now.at) {
            self.end_outage(now, effects);
        }
    }

    /// Everyone is looked at afresh: failures of the time before count no more, and what is not probed any more is probed
    /// again. It stays DOWN until it answers.
    fn end_outage(&mut self, now: Now, effects: &mut Effects) {
        effects.report(Report::OutageEnded);
        let services = self.directory.services();
        let instances = services.flat_map(|(service, entry)| entry.instances().keys().map(move |id| (service, id)));
        let instances: Vec<_> =
            instances.map(|(service, id)| InstanceRef { service: service.clone(), id: id.clone() }).collect();
        for instance in &instances {
            let Ok((_, installed)) = self.directory.installed(instance) else { continue };
            let mut health = installed.health();
            let was_stopped = health.is_stopped();
            health.forgive(&self.health_limits(instance));
            self.set_health(instance, health, now, effects);
            if was_stopped {
                self.plan_probes(instance, FirstProbe::Spread, now, effects);
            } else {
                self.order_probes(instance, FirstProbe::Spread, now, effects);
            }
        }
    }
}

fn first_ip(installed: &InstanceEntry) -> Option<IpAddr> {
    installed.addresses().first().map(|address| address.ip())
}
