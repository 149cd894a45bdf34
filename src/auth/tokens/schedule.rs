//! When the keys of an issuer are fetched. Pure: the time is given.
//!
//! They are fetched each `refresh`, and after a failure sooner, in pauses that double. A token with an unknown key is a reason to fetch
//! them at once, but not within 10 s of the last fetch that had this reason, whatever strangers send. Fetches without it do not count: an
//! issuer may change its key right after one of them.

use std::time::{Duration, Instant};

/// From the beginning of a fetch that a request causes to that of the next.
const SPACING: Duration = Duration::from_secs(10);
/// How long a request waits for keys.
pub(super) const WAIT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// When to fetch next.
#[derive(Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    /// When the next fetch begins that nobody waits for.
    next: Instant,
    /// Whether somebody waits for one.
    is_wanted: bool,
    /// When the last one began that somebody waited for.
    last_wanted: Option<Instant>,
    is_running: bool,
    /// Failures since the last success.
    failures: u32,
}

impl Schedule {
    /// The first fetch is due at once.
    pub(super) fn new(refresh: Duration, now: Instant) -> Self {
        Self { refresh, next: now, is_wanted: false, last_wanted: None, is_running: false, failures: 0 }
    }

    /// A request wants keys: whether a fetch is running, or begins before the request has waited long enough.
    pub(super) fn want(&mut self, now: Instant) -> bool {
        let is_soon = self.is_running || self.wanted_at(now).min(self.next) <= now + WAIT;
        self.is_wanted |= is_soon && !self.is_running;
        is_soon
    }

    /// When the next fetch begins; `None`: one is running.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match (self.is_running, self.is_wanted) {
            (true, _) => None,
            (false, true) => Some(self.next.min(self.wanted_at(now))),
            (false, false) => Some(self.next),
        }
    }

    /// A fetch begins.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.is_wanted {
            self.last_wanted = Some(now);
        }
        (self.is_wanted, self.is_running) = (false, true);
    }

    /// It has ended. `jitter`, from 0 to 1, keeps gateways that failed together from coming back together.
    pub(super) fn end(&mut self, now: Instant, is_good: bool, jitter: f64) {
        self.is_running = false;
        self.failures = if is_good { 0 } else { self.failures.saturating_add(1) };
        self.next = now + if is_good { self.refresh } else { pause(self.failures, jitter) };
    }

    fn wanted_at(&self, now: Instant) -> Instant {
        self.last_wanted.map_or(now, |last| last + SPACING)
    }
}

/// After so many failures.
fn pause(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const REFRESH: Duration = Duration::from_secs(600);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    /// A schedule whose first fetch was good, at the time that is given.
    fn fetched() -> (Schedule, Instant) {
        let now = clock::now();
        let mut schedule = Schedule::new(REFRESH, now);
        assert_eq!(schedule.due(now), Some(now), "the first is due at once");
        schedule.begin(now);
        assert_eq!(schedule.due(now), None);
        schedule.end(now, true, 0.0);
        (schedule, now)
    }

    #[test]
    fn after_a_success_the_next_is_after_the_refresh() {
        let (schedule, now) = fetched();
        assert_eq!(schedule.due(now), Some(now + REFRESH));
    }

    #[test]
    fn pauses_after_failures_double_up_to_five_minutes() {
        let (mut schedule, mut now) = fetched();
        for (jitter, expected) in
            [(1.0, 1.0), (1.0, 2.0), (0.0, 3.0), (0.5, 7.0), (1.0, 16.0), (1.0, 32.0), (1.0, 64.0), (1.0, 128.0)]
        {
            schedule.begin(now);
            schedule.end(now, false, jitter);
            assert_eq!(schedule.due(now), Some(now + seconds(expected)));
            now += seconds(expected);
        }
        for _ in 0..100 {
            schedule.begin(now);
            schedule.end(now, false, 7.0);
        }
        assert_eq!(schedule.due(now), Some(now + seconds(300.0)));
        schedule.begin(now);
        schedule.end(now, true, 0.0);
        schedule.begin(now);
        schedule.end(now, false, 1.0);
        assert_eq!(schedule.due(now), Some(now + seconds(1.0)), "a success ends the row");
    }

    #[test]
    fn requests_cause_a_fetch_at_once_and_the_next_after_ten_seconds() {
        let (mut schedule, now) = fetched();
        assert!(schedule.want(now), "also if nobody waited for the fetch before");
        assert_eq!(schedule.due(now), Some(now));
        schedule.begin(now);
        schedule.end(now, true, 0.0);
        assert!(!schedule.want(now), "somebody had them fetched just now");
        assert!(!schedule.want(now + seconds(8.9)));
        assert_eq!(schedule.due(now), Some(now + REFRESH), "who is refused at once wants nothing");
        assert!(schedule.want(now + seconds(9.0)));
        assert_eq!(schedule.due(now + seconds(9.0)), Some(now + seconds(10.0)));
        let at = now + seconds(10.0);
        schedule.begin(at);
        assert!(schedule.want(at + seconds(3.0)), "it is running");
        schedule.end(at + seconds(4.0), true, 0.0);
        assert_eq!(schedule.due(at), Some(at + seconds(604.0)), "the next one of nobody is postponed");
        assert!(!schedule.want(at + seconds(8.9)) && schedule.want(at + seconds(100.0)));
        assert_eq!(schedule.due(at + seconds(100.0)), Some(at + seconds(10.0)), "that is at once");
    }

    #[test]
    fn a_fetch_that_is_due_anyway_is_waited_for() {
        let (mut schedule, now) = fetched();
        assert!(schedule.want(now));
        schedule.begin(now);
        schedule.end(now, false, 1.0);
        // Another may begin after 1 s because it failed, for a request only after 10 s.
        assert!(schedule.want(now + seconds(0.5)));
        assert_eq!(schedule.due(now + seconds(0.5)), Some(now + seconds(1.0)));
        let at = now + seconds(1.0);
        schedule.begin(at);
        schedule.end(at, false, 1.0);
        assert!(!schedule.want(at), "the next is due in 2 s, and for a request in 9 s");
        assert!(schedule.want(at + seconds(1.0)));
    }
}
