//! What the outcome of a probe makes of an instance.

use std::time::Duration;

use super::super::change::{Change, Observation};
use super::super::directory::StatusChange;
use super::super::dispatch::Registry;
use super::super::effects::Effects;
use super::super::ids::InstanceRef;
use super::super::now::Now;
use super::super::plan::FirstProbe;
use super::super::report::Report;
use super::super::shared;
use super::super::token::ProbeToken;
use super::health::{Health, Verdict};
use crate::model::Status;

impl Registry {
    pub(in crate::registry) fn handle_probe(
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
        let Some(installed) = entry.instances.get(&instance.id).filter(|one| !one.is_being_removed()) else { return };
        let mut health = installed.health();
        let verdict = if outcome.is_ok() { health.succeed() } else { health.fail(&self.settings.health) };
        shared::probed(&installed.live, took, &outcome, now);
        shared::service_probed(&entry.live, took, &outcome);
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
        let change = entry.instances.set_health(&instance.id, health);
        let Some(installed) = entry.instances.get(&instance.id) else { return };
        shared::health(&installed.live, &health);
        let Some(StatusChange { from, to }) = change else { return };
        shared::status_changed(&installed.live, now);
        if (from == Status::Down) != (to == Status::Down) {
            let is_down = to == Status::Down;
            effects.keep(Change::Observe(instance.id.clone(), Observation::Down(is_down)));
        }
        effects.report(Report::InstanceStatusChanged { instance: instance.clone(), from, to });
        self.publisher.advance();
        self.refresh(&instance.service, now, effects);
    }
}
