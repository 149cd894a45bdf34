//! The health of the model's instances: what probes and signs of life make of it, and how often each is probed.

use std::time::{Duration, Instant};

use super::{InstanceEntry, Model};
use crate::model::Status;
use crate::registry::{HealthLimits, InstanceRef, ProbeFailure};

impl InstanceEntry {
    /// UNKNOWN, as if it were new; `startup`: its start-up time begins.
    pub(super) fn begin_afresh(&mut self, startup: Option<Instant>) {
        (self.status, self.failures, self.counted, self.is_stopped) = (Status::Unknown, 0, 0, false);
        self.startup = startup.map(|began| (began, 0));
    }

    /// What probes found of the one holds for the other.
    pub(super) fn is_same_process(&self, other: &Self) -> bool {
        let probed = |one: &Self| {
            let spec = &one.spec;
            (
                spec.url.to_string(),
                spec.protocol,
                spec.tls_name.clone(),
                spec.health_endpoint.clone(),
                spec.incarnation.clone(),
            )
        };
        probed(self) == probed(other)
    }

    pub(super) fn take_health_of(&mut self, before: &Self) {
        (self.status, self.failures, self.counted) = (before.status, before.failures, before.counted);
        (self.is_stopped, self.startup) = (before.is_stopped, before.startup);
    }

    pub(super) fn is_starting(&self, limits: &HealthLimits, now: Instant) -> bool {
        self.startup.is_some_and(|(began, _)| now < began + limits.startup_time)
    }

    fn period_due(&self, limits: &HealthLimits, now: Instant) -> Option<Duration> {
        let seconds = Duration::from_secs;
        let step = match self.startup {
            Some((_, 0..10)) => seconds(1),
            Some((_, 10..15)) => seconds(2),
            Some((_, 15..19)) => seconds(5),
            Some(_) | None => seconds(10),
        };
        match self.status {
            _ if self.is_stopped || self.spec.health_endpoint.is_none() => None,
            Status::Unknown => Some(limits.interval.min(seconds(1))),
            Status::Up => Some(limits.interval),
            Status::Down if self.is_starting(limits, now) => Some(limits.interval_down.min(step)),
            Status::Down => Some(limits.interval_down),
        }
    }
}

impl Model {
    /// It is probed as its health asks for from now on.
    pub(super) fn order(&mut self, instance: &InstanceRef) {
        let (limits, now) = (self.limits, self.now);
        let installed = self.installed(instance).unwrap();
        installed.period = installed.period_due(&limits, now);
    }

    pub(in super::super) fn probed(&mut self, instance: &InstanceRef, outcome: &Result<(), ProbeFailure>) {
        let (limits, now) = (self.limits, self.now);
        let Some(installed) = self.installed(instance).filter(|one| !one.is_being_removed) else { return };
        if outcome.is_ok() {
            installed.begin_afresh(None);
            installed.status = Status::Up;
            return self.order(instance);
        }
        installed.failures += 1;
        let is_starting = installed.is_starting(&limits, now);
        match &mut installed.startup {
            Some((_, failures)) if is_starting => *failures += 1,
            _ => {
                installed.startup = None;
                installed.counted += u32::from(!matches!(outcome, Err(ProbeFailure::NotSent(_))));
            }
        }
        if installed.failures >= limits.failures_to_down {
            installed.status = Status::Down;
        }
        installed.is_stopped = installed.counted >= limits.failures_to_stop;
        self.order(instance);
    }

    /// It registered again or sent a heartbeat.
    pub(super) fn sign_of_life(&mut self, instance: &InstanceRef) {
        let (limits, now) = (self.limits, self.now);
        let installed = self.installed(instance).unwrap();
        if installed.is_stopped {
            installed.begin_afresh(Some(now));
        } else if installed.status == Status::Down {
            if !installed.is_starting(&limits, now) {
                installed.startup = Some((now, 0));
            }
        } else {
            return;
        }
        self.order(instance);
    }
}
