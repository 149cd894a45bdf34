//! The health machine of one instance: what a probe's outcome makes of it, when the next is due.

use std::time::Duration;

use crate::model::Status;

/// The numbers of the machine; by default 30 s, 120 s, 3 and 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLimits {
    /// Between probes of an UP instance.
    pub interval: Duration,
    /// Between probes of a DOWN instance.
    pub interval_down: Duration,
    /// Failures in a row that make it DOWN, at least 1.
    pub failures_to_down: u32,
    /// Failures in a row that end the probing, at least `failures_to_down`.
    pub failures_to_stop: u32,
}

/// The most between probes until the first verdict.
const FIRST_VERDICT_PERIOD: Duration = Duration::from_secs(1);

/// The health of an instance: its status, and the failures in a row that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    status: Status,
    failures: u32,
    is_stopped: bool,
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

impl Health {
    /// Of an instance that is probed: UNKNOWN until a verdict.
    pub fn unknown() -> Self {
        Self { status: Status::Unknown, failures: 0, is_stopped: false }
    }

    /// Of an instance that was DOWN when its registry was stored: the next failures count from there.
    pub fn down(limits: &HealthLimits) -> Self {
        Self { status: Status::Down, failures: limits.failures_to_down, is_stopped: false }
    }

    /// Of an instance without probes: UP from registration on.
    pub fn unprobed() -> Self {
        Self { status: Status::Up, failures: 0, is_stopped: false }
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

    /// A probe succeeded.
    pub fn succeed(&mut self) -> Verdict {
        self.failures = 0;
        if self.status == Status::Up {
            return Verdict::Same;
        }
        self.status = Status::Up;
        Verdict::Changed
    }

    /// A probe failed.
    pub fn fail(&mut self, limits: &HealthLimits) -> Verdict {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= limits.failures_to_stop && self.failures >= limits.failures_to_down {
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

    /// How long from one probe to the next; `None`: no more probes.
    pub fn period(&self, limits: &HealthLimits) -> Option<Duration> {
        if self.is_stopped {
            return None;
        }
        Some(match self.status {
            Status::Unknown => limits.interval.min(FIRST_VERDICT_PERIOD),
            Status::Up => limits.interval,
            Status::Down => limits.interval_down,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HealthLimits = HealthLimits {
        interval: Duration::from_secs(30),
        interval_down: Duration::from_secs(120),
        failures_to_down: 3,
        failures_to_stop: 10,
    };

    /// Outcomes as `+` and `-`; after each: status, failures in a row, seconds to the next probe.
    fn check(script: &[(char, Status, u32, Option<u64>)]) {
        let mut health = Health::unknown();
        for (step, &(outcome, status, failures, seconds)) in script.iter().enumerate() {
            match outcome {
                '+' => health.succeed(),
                _ => health.fail(&LIMITS),
            };
            let period = health.period(&LIMITS).map(|period| period.as_secs());
            assert_eq!((health.status(), health.failures(), period), (status, failures, seconds), "step {step}");
        }
    }

    #[test]
    fn a_new_instance_is_probed_every_second_until_the_first_verdict() {
        assert_eq!(Health::unknown().period(&LIMITS), Some(Duration::from_secs(1)));
        check(&[('+', Status::Up, 0, Some(30))]);
        check(&[
            ('-', Status::Unknown, 1, Some(1)),
            ('-', Status::Unknown, 2, Some(1)),
            ('-', Status::Down, 3, Some(120)),
        ]);
        check(&[('-', Status::Unknown, 1, Some(1)), ('+', Status::Up, 0, Some(30))]);
    }

    #[test]
    fn three_failures_in_a_row_make_it_down_and_a_success_between_starts_the_count_again() {
        check(&[
            ('+', Status::Up, 0, Some(30)),
            ('-', Status::Up, 1, Some(30)),
            ('-', Status::Up, 2, Some(30)),
            ('+', Status::Up, 0, Some(30)),
            ('-', Status::Up, 1, Some(30)),
            ('-', Status::Up, 2, Some(30)),
            ('-', Status::Down, 3, Some(120)),
            ('+', Status::Up, 0, Some(30)),
        ]);
    }

    #[test]
    fn the_tenth_failure_in_a_row_ends_the_probing() {
        let mut script =
            vec![('+', Status::Up, 0, Some(30)), ('-', Status::Up, 1, Some(30)), ('-', Status::Up, 2, Some(30))];
        script.extend((3..10).map(|failures| ('-', Status::Down, failures, Some(120))));
        script.push(('-', Status::Down, 10, None));
        check(&script);
    }

    #[test]
    fn equal_limits_stop_at_the_verdict() {
        let limits = HealthLimits { failures_to_down: 1, failures_to_stop: 1, ..LIMITS };
        let mut health = Health::unknown();
        assert_eq!(health.fail(&limits), Verdict::Stopped);
        assert_eq!((health.status(), health.period(&limits)), (Status::Down, None));
    }

    #[test]
    fn an_instance_without_probes_is_up() {
        assert_eq!(Health::unprobed().status(), Status::Up);
    }
}
