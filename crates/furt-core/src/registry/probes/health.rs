//! The health machine of one instance: what a probe's outcome makes of it, when the next is due.
//!
//! A service may take a while before it listens. So an instance has a start-up time, in which it is probed often and no
//! failure brings the end of its probing nearer.

use std::time::{Duration, Instant};

use crate::model::{HealthCheck, Status};

/// The numbers of the machine; by default 30 s, 120 s, 3, 10 and 60 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// Between probes of an UP instance.
    pub interval: Duration,
    /// Between probes of a DOWN instance, after its start-up time.
    pub interval_down: Duration,
    /// Failures in a row that make it DOWN, at least 1.
    pub failures_to_down: u32,
    /// Failures in a row that end the probing, at least `failures_to_down`; those of a start-up time do not count.
    pub failures_to_stop: u32,
    /// How long a start-up time lasts; zero: there is none.
    pub startup_time: Duration,
    /// The least `interval` that a service may ask for.
    pub min_interval: Duration,
}

impl HealthLimits {
    /// These numbers with a service's own over them.
    #[must_use]
    pub fn with(self, own: &HealthCheck) -> Self {
        let failures_to_down = own.failures.unwrap_or(self.failures_to_down).max(1);
        Self {
            interval: own.interval.map_or(self.interval, |interval| interval.max(self.min_interval)),
            failures_to_down,
            failures_to_stop: self.failures_to_stop.max(failures_to_down),
            ..self
        }
    }
}

/// The most between probes until the first verdict.
const FIRST_VERDICT_PERIOD: Duration = Duration::from_secs(1);
/// Failures of a start-up time, and the time between probes up to there: 10 s of every second, then two slower steps of 10
/// and 20 s.
const STARTUP_PERIODS: [(u32, Duration); 3] =
    [(10, Duration::from_secs(1)), (15, Duration::from_secs(2)), (19, Duration::from_secs(5))];
/// Between the probes of a start-up time after these.
const LAST_STARTUP_PERIOD: Duration = Duration::from_secs(10);

/// The health of an instance: its status, and the failures in a row that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    status: Status,
    failures: u32,
    /// Those of them that bring the end of probing nearer.
    failures_counted: u32,
    is_stopped: bool,
    startup: Option<Startup>,
    /// It was UP when its registry was stored, and no probe failed since it was restored.
    is_restored_up: bool,
}

/// A start-up time that began and was not ended by a success. Whether it is over, the numbers in force say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Startup {
    began: Instant,
    failures: u32,
}

/// How a failure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAccrual {
    /// Towards DOWN, and towards the end of the probing.
    Full,
    /// Towards DOWN alone: it says little of the instance.
    NotTowardsStop,
    /// Not at all: verdicts are held.
    Held,
}

/// What an outcome changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At most the count.
    Same,
    /// The status; probes go by another period now.
    Changed,
    /// Probing ends.
    Stopped,
}

/// What a sign of life, a registration or a heartbeat, calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignOfLife {
    /// Nothing.
    Expected,
    /// A probe soon: it is DOWN.
    WhileDown,
    /// Probes again: they had ended.
    WhileStopped,
}

impl Health {
    /// Of an instance that is probed afresh: UNKNOWN until a verdict.
    pub fn unknown() -> Self {
        Self {
            status: Status::Unknown,
            failures: 0,
            failures_counted: 0,
            is_stopped: false,
            startup: None,
            is_restored_up: false,
        }
    }

    /// Of an instance that was UP when its registry was stored: UNKNOWN, and asked as if it were UP until a probe fails.
    pub fn restored_up() -> Self {
        Self { is_restored_up: true, ..Self::unknown() }
    }

    /// Of an instance that starts: UNKNOWN, and in its start-up time.
    pub fn starting(now: Instant) -> Self {
        Self { startup: Some(Startup { began: now, failures: 0 }), ..Self::unknown() }
    }

    /// Of an instance that was DOWN when its registry was stored: the next failures count from there.
    pub fn down(limits: &HealthLimits) -> Self {
        let failures = limits.failures_to_down;
        Self { status: Status::Down, failures, failures_counted: failures, ..Self::unknown() }
    }

    /// Of an instance without probes: UP from registration on.
    pub fn unprobed() -> Self {
        Self { status: Status::Up, ..Self::unknown() }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether probing has ended.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether it was UP when its registry was stored, and no probe failed since it was restored.
    pub fn is_restored_up(&self) -> bool {
        self.is_restored_up
    }

    /// A probe succeeded.
    pub fn succeed(&mut self) -> Verdict {
        let before = self.status;
        *self = Self { status: Status::Up, ..Self::unknown() };
        if before == Status::Up { Verdict::Same } else { Verdict::Changed }
    }

    /// A probe failed.
    pub fn fail(&mut self, limits: &HealthLimits, accrual: FailureAccrual, now: Instant) -> Verdict {
        if accrual == FailureAccrual::Held {
            return Verdict::Same;
        }
        self.failures = self.failures.saturating_add(1);
        self.is_restored_up = false;
        match self.running_startup(limits, now) {
            Some(startup) => {
                self.startup = Some(Startup { failures: startup.failures.saturating_add(1), ..startup });
            }
            None => {
                self.startup = None;
                let counted = u32::from(accrual == FailureAccrual::Full);
                self.failures_counted = self.failures_counted.saturating_add(counted);
            }
        }
        if self.failures_counted >= limits.failures_to_stop && self.failures >= limits.failures_to_down {
            self.status = Status::Down;
            self.is_stopped = true;
            return Verdict::Stopped;
        }
        if self.status != Status::Down && self.failures >= limits.failures_to_down {
            self.status = Status::Down;
            return Verdict::Changed;
        }
        Verdict::Same
    }

    /// The instance registered without a change that matters here, or sent a heartbeat. Where that finds it DOWN or not
    /// probed any more, a start-up time begins, unless one runs.
    pub fn hear(&mut self, limits: &HealthLimits, now: Instant) -> SignOfLife {
        if self.is_stopped {
            *self = Self::starting(now);
            return SignOfLife::WhileStopped;
        }
        if self.status != Status::Down {
            return SignOfLife::Expected;
        }
        if self.running_startup(limits, now).is_none() {
            self.startup = Some(Startup { began: now, failures: 0 });
        }
        SignOfLife::WhileDown
    }

    /// What failed so far says nothing any more: an instance that is not DOWN begins with no failure, one that is not probed
    /// any more is DOWN and probed again.
    pub fn forgive(&mut self, limits: &HealthLimits) {
        if self.is_stopped {
            *self = Self::down(limits);
        } else if self.status != Status::Down {
            (self.failures, self.failures_counted) = (0, 0);
        }
    }

    /// How long from one probe to the next; `None`: no more probes.
    pub fn period(&self, limits: &HealthLimits, now: Instant) -> Option<Duration> {
        if self.is_stopped {
            return None;
        }
        Some(match self.status {
            Status::Unknown => limits.interval.min(FIRST_VERDICT_PERIOD),
            Status::Up => limits.interval,
            Status::Down => match self.running_startup(limits, now) {
                Some(startup) => limits.interval_down.min(startup.period()),
                None => limits.interval_down,
            },
        })
    }

    /// Whether its start-up time runs.
    pub fn is_starting(&self, limits: &HealthLimits, now: Instant) -> bool {
        self.running_startup(limits, now).is_some()
    }

    fn running_startup(&self, limits: &HealthLimits, now: Instant) -> Option<Startup> {
        self.startup.filter(|startup| now.saturating_duration_since(startup.began) < limits.startup_time)
    }
}

impl Startup {
    fn period(self) -> Duration {
        let step = STARTUP_PERIODS.iter().find(|(failures, _)| self.failures < *failures);
        step.map_or(LAST_STARTUP_PERIOD, |(_, period)| *period)
    }
}

#[cfg(test)]
mod tests;
