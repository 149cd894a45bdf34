//! How slowly a client may send the body of its request, while the service waits for it.
//!
//! A client has a time to wait for at first, and gets more with each byte: as long as that byte takes at the least rate, up to a
//! bound. What it was waited for uses that up. So one that sends at the least rate or faster is never cut, one that sent much
//! may pause, and one that sends a byte now and then is cut. Time in which nobody waits for the client does not count. Takes
//! the time; never reads a clock.

use std::time::{Duration, Instant};

use crate::config::ClientConfig;

/// The limits of one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyLimits {
    /// Bytes a second; 0: any.
    min_rate: u64,
    /// How long a body may be slower at its start.
    first: Duration,
    /// The most that is saved up.
    most: Duration,
    /// How long a body is waited for in all.
    total: Option<Duration>,
}

impl BodyLimits {
    pub(super) fn new(config: &ClientConfig) -> Self {
        Self {
            min_rate: config.body_min_rate,
            first: config.body_min_rate_window,
            most: config.body_min_rate_window.max(config.body_timeout),
            total: config.body_total_timeout,
        }
    }
}

/// How a client keeps to them.
#[derive(Debug)]
pub(super) struct Pace {
    limits: BodyLimits,
    /// How much longer it may be waited for; `None`: for any time.
    left: Option<Duration>,
    total_left: Option<Duration>,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Of a body of which so many bytes came before anybody waited for it.
    pub(super) fn new(limits: BodyLimits, received: usize) -> Self {
        let left = (limits.min_rate > 0).then_some(limits.first);
        let mut pace = Self { limits, left, total_left: limits.total, waiting_since: None };
        pace.earn(received);
        pace
    }

    /// The client is waited for, from now on or from before. Gives the time at which that is too long, if there is one.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.waiting_since.get_or_insert(now);
        let left = self.left.into_iter().chain(self.total_left).min()?;
        // A time beyond what the clock can tell never comes.
        since.checked_add(left)
    }

    /// The client sent so many bytes.
    pub(super) fn note_received(&mut self, bytes: usize, now: Instant) {
        let waited = self.waiting_since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.total_left = self.total_left.map(|left| left.saturating_sub(waited));
        self.left = self.left.map(|left| left.saturating_sub(waited));
        self.earn(bytes);
    }

    fn earn(&mut self, bytes: usize) {
        let earned_ms = (bytes as u64).saturating_mul(1000) / self.limits.min_rate.max(1);
        let earned = Duration::from_millis(earned_ms);
        self.left = self.left.map(|left| left.saturating_add(earned).min(self.limits.most));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const LIMITS: BodyLimits =
        BodyLimits { min_rate: 240, first: Duration::from_secs(5), most: Duration::from_secs(30), total: None };

    /// When a client is cut that sends so many bytes each so many ms, in ms; `None`: not within ten minutes.
    fn cut_after(limits: BodyLimits, bytes: usize, each_ms: u64) -> Option<u64> {
        let begin = clock::now();
        let mut pace = Pace::new(limits, 0);
        for turn in 0.. {
            let (now, next) = (turn * each_ms, (turn + 1) * each_ms);
            let end = pace.wait(begin + Duration::from_millis(now));
            if let Some(end) = end.filter(|end| *end < begin + Duration::from_millis(next)) {
                return Some(end.duration_since(begin).as_millis() as u64);
            }
            if now > 600_000 {
                return None;
            }
            pace.note_received(bytes, begin + Duration::from_millis(next));
        }
        unreachable!()
    }

    #[test]
    fn a_client_is_cut_where_it_is_slower_than_the_least_rate() {
        let cut = |bytes, each_ms| cut_after(LIMITS, bytes, each_ms);
        assert_eq!(cut(0, 100_000), Some(5000), "nothing");
        assert_eq!(cut(1, 1000), Some(5020), "a byte a second");
        assert_eq!(cut(100, 1000), Some(7912), "100 bytes a second");
        assert!(cut(230, 1000).is_some_and(|ms| ms > 60_000), "almost the least rate");
        assert_eq!(cut(240, 1000), None, "the least rate");
        assert_eq!(cut(1200, 5000), None, "the same in pieces");
        assert_eq!(cut(1_000_000, 29_999), Some(5000), "it has sent nothing yet");
    }

    #[test]
    fn a_client_that_has_sent_much_may_pause_and_no_longer_than_between_any_two_reads() {
        let begin = clock::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let mut pace = Pace::new(LIMITS, 1_000_000);
        assert_eq!(pace.wait(begin), Some(after(30_000)));
        assert_eq!(pace.wait(after(10)), Some(after(30_000)), "it is waited for since then");
        pace.note_received(24, after(29_000));
        assert_eq!(pace.wait(after(29_000)), Some(after(30_100)));
    }

    #[test]
    fn only_the_time_counts_in_which_the_client_is_waited_for() {
        let begin = clock::now();
        let after = |ms| begin + Duration::from_millis(ms);
        let mut pace = Pace::new(BodyLimits { total: Some(Duration::from_secs(10)), ..LIMITS }, 0);
        pace.wait(begin);
        pace.note_received(240, after(1000));
        // The service takes no more for a minute, and what comes then was there all the time.
        pace.note_received(240, after(60_000));
        assert_eq!(pace.wait(after(60_000)), Some(after(66_000)));
        pace.note_received(1_000_000, after(61_000));
        assert_eq!(pace.wait(after(61_000)), Some(after(69_000)), "the total is 10 s");
    }

    #[test]
    fn without_limits_a_client_is_never_cut() {
        assert_eq!(cut_after(BodyLimits { min_rate: 0, ..LIMITS }, 0, 1_000_000), None);
    }
}
