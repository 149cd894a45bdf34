//! How often something may be used: the generic cell rate algorithm (ITU-T I.371) over one atomic number.
//!
//! A limiter is handed the time and reads no clock. It stands here, though `governor` has the algorithm, because governor asks
//! a clock of its own at each use, and can neither look without counting nor take a use back. It never blocks, and allocates
//! only where it is made. [`RateLimiter`] is one count: of a key, shared by requests as a part of
//! [`KeyLive`](crate::routing::KeyLive), or of an address that registers. [`RateLimiters`] are many of one limit: of the
//! addresses that send requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::model::RateLimit;

/// Lets so many uses pass as its [`RateLimit`] says.
#[derive(Debug)]
pub struct RateLimiter {
    started: Instant,
    pace: Pace,
    next_ns: AtomicU64,
}

/// As many limiters of one [`RateLimit`], each 8 bytes.
#[derive(Debug)]
pub struct RateLimiters {
    started: Instant,
    limit: RateLimit,
    pace: Pace,
    next_ns: Box<[AtomicU64]>,
}

/// The algorithm. What it counts in is when the next use would come if all came at a steady rate, in ns since a start; 0: nothing
/// was used.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From one use to the next, at a steady rate; at least 1 ns.
    interval_ns: u64,
    /// How far before its time a use may come: all of a burst but its first use.
    tolerance_ns: u64,
}

impl RateLimiter {
    /// A limiter that nothing has used. `now` is where its time begins: earlier times count as this one.
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        Self { started: now, pace: Pace::of(limit), next_ns: AtomicU64::new(0) }
    }

    /// Counts a use at `now`.
    ///
    /// # Errors
    /// It is used too often, and this use is not counted; after so long the next one may come.
    pub fn check(&self, now: Instant) -> Result<(), Duration> {
        self.pace.check(&self.next_ns, since_ns(self.started, now))
    }

    /// Takes a use back that turned out not to count.
    pub fn give_back(&self) {
        self.pace.give_back(&self.next_ns);
    }

    /// Whether it would let a whole burst pass at `now`, as a new one does.
    pub fn is_idle(&self, now: Instant) -> bool {
        self.next_ns.load(Ordering::Relaxed) <= since_ns(self.started, now)
    }
}

impl RateLimiters {
    /// `count` limiters, at least 1, that nothing has used; for `now` see [`RateLimiter::new`].
    pub fn new(limit: RateLimit, count: usize, now: Instant) -> Self {
        let next_ns = (0..count.max(1)).map(|_| AtomicU64::new(0)).collect();
        Self { started: now, limit, pace: Pace::of(limit), next_ns }
    }

    /// What each of them lets pass.
    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// Counts a use at `now` of one of them; which one `number` says by its remainder.
    ///
    /// # Errors
    /// As [`RateLimiter::check`].
    pub fn check(&self, number: u64, now: Instant) -> Result<(), Duration> {
        self.pace.check(self.one(number), since_ns(self.started, now))
    }

    /// Takes a use of one of them back that turned out not to count.
    pub fn give_back(&self, number: u64) {
        self.pace.give_back(self.one(number));
    }

    fn one(&self, number: u64) -> &AtomicU64 {
        // A remainder of a usize is one.
        &self.next_ns[(number % self.next_ns.len() as u64) as usize]
    }
}

impl Pace {
    /// Of a limit.
    pub fn of(limit: RateLimit) -> Self {
        let interval = Duration::from_secs(u64::from(limit.rate.period_seconds)) / limit.rate.count.get();
        let interval_ns = whole_ns(interval).max(1);
        Self { interval_ns, tolerance_ns: interval_ns.saturating_mul(u64::from(limit.burst.get() - 1)) }
    }

    /// Counts a use, `now_ns` since the start.
    ///
    /// # Errors
    /// As [`RateLimiter::check`].
    pub fn check(self, next_ns: &AtomicU64, now_ns: u64) -> Result<(), Duration> {
        let count = |next_ns: u64| {
            let is_early = now_ns < next_ns.saturating_sub(self.tolerance_ns);
            (!is_early).then(|| next_ns.max(now_ns).saturating_add(self.interval_ns))
        };
        // Relaxed: nothing else is read by what this number says.
        next_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count)
            .map(|_| ())
            .map_err(|next_ns| Duration::from_nanos(next_ns.saturating_sub(self.tolerance_ns).saturating_sub(now_ns)))
    }

    /// Takes a use back that turned out not to count.
    pub fn give_back(self, next_ns: &AtomicU64) {
        let earlier = |next_ns: u64| Some(next_ns.saturating_sub(self.interval_ns));
        // Relaxed, as in `check`. The closure always gives a number.
        _ = next_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earlier);
    }
}

/// From `started` to `now`, in ns; a time before it is its beginning.
pub fn since_ns(started: Instant, now: Instant) -> u64 {
    whole_ns(now.saturating_duration_since(started))
}

/// A wait as `Retry-After` says it (RFC 9110 §10.2.3): in whole seconds, rounded up, at least 1.
pub fn retry_after_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// 584 years at the most.
fn whole_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::{MAX_BURST, Rate};

    const SEEDS: u64 = 256;
    const USES: u32 = 500;

    /// Any time will do to count from; only tests ask for one.
    #[expect(clippy::disallowed_methods, reason = "where a test's time begins")]
    fn start() -> Instant {
        Instant::now()
    }

    fn limit(text: &str, burst: u32) -> RateLimit {
        RateLimit::new(Rate::try_new(text).unwrap(), NonZeroU32::new(burst))
    }

    /// A bucket that holds a burst, one use at a time: each use fills it, and it leaks steadily.
    struct Bucket {
        interval_ns: u128,
        burst: u128,
        filled_ns: u128,
        looked_ns: u128,
    }

    impl Bucket {
        fn new(limit: RateLimit) -> Self {
            let period_ns = u128::from(limit.rate.period_seconds) * 1_000_000_000;
            let interval_ns = (period_ns / u128::from(limit.rate.count.get())).max(1);
            Self { interval_ns, burst: u128::from(limit.burst.get()), filled_ns: 0, looked_ns: 0 }
        }

        fn check(&mut self, now_ns: u128) -> Result<(), u128> {
            self.filled_ns = self.filled_ns.saturating_sub(now_ns - self.looked_ns);
            self.looked_ns = now_ns;
            let capacity = self.interval_ns * self.burst;
            if self.filled_ns + self.interval_ns > capacity {
                return Err(self.filled_ns + self.interval_ns - capacity);
            }
            self.filled_ns += self.interval_ns;
            Ok(())
        }
    }

    #[test]
    fn it_lets_pass_what_a_bucket_would_and_says_when_the_next_may_come() {
        let start = start();
        for seed in 0..SEEDS {
            let mut rng = fastrand::Rng::with_seed(seed);
            let count = 10_u32.pow(rng.u32(0..10)).saturating_mul(rng.u32(1..5));
            let limit = limit(&format!("{count}/{}", if rng.bool() { "s" } else { "m" }), 0);
            let burst = if rng.bool() { limit.burst } else { NonZeroU32::new(rng.u32(1..=MAX_BURST)).unwrap() };
            let limit = RateLimit { burst, ..limit };
            let (limiter, mut bucket) = (RateLimiter::new(limit, start), Bucket::new(limit));
            let mut now_ns = 0;
            for number in 0..USES {
                let passed = limiter.check(start + Duration::from_nanos(now_ns));
                let expected = bucket.check(u128::from(now_ns));
                assert_eq!(passed.map_err(|wait| wait.as_nanos()), expected, "seed {seed}, use {number}, {limit:?}");
                now_ns += match (passed, rng.u32(0..4)) {
                    // One before its time, and the one that comes just in time.
                    (Err(wait), 0) => whole_ns(wait) - 1,
                    (Err(wait), 1) => whole_ns(wait),
                    (_, 2) => 0,
                    _ => rng.u64(0..=3 * limiter.pace.interval_ns),
                };
            }
        }
    }

    #[test]
    fn a_use_that_is_refused_costs_nothing() {
        let start = start();
        let limiter = RateLimiter::new(limit("1/s", 1), start);
        assert_eq!(limiter.check(start), Ok(()));
        (0..1000).for_each(|_| assert_eq!(limiter.check(start), Err(Duration::from_secs(1))));
        assert_eq!(limiter.check(start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_time_before_it_began_is_its_beginning() {
        let start = start();
        let limiter = RateLimiter::new(limit("1/s", 1), start + Duration::from_secs(5));
        assert_eq!(limiter.check(start), Ok(()));
        assert_eq!(limiter.check(start), Err(Duration::from_secs(1)));
    }

    #[test]
    fn a_use_that_is_given_back_costs_nothing_and_one_that_owes_nothing_is_idle() {
        let start = start();
        let limiter = RateLimiter::new(limit("1/s", 1), start);
        for _ in 0..100 {
            assert_eq!(limiter.check(start), Ok(()));
            assert!(!limiter.is_idle(start));
            limiter.give_back();
            assert!(limiter.is_idle(start));
        }
        limiter.give_back();
        assert_eq!(limiter.check(start), Ok(()), "and no more than it has");
        assert_eq!(limiter.check(start), Err(Duration::from_secs(1)));
        assert!(limiter.is_idle(start + Duration::from_secs(1)));
    }

    #[test]
    fn each_of_many_has_its_own_count() {
        let start = start();
        let limiters = RateLimiters::new(limit("1/m", 2), 4, start);
        for number in [0, 1, 2, u64::MAX] {
            (0..2).for_each(|_| assert_eq!(limiters.check(number, start), Ok(())));
            assert!(limiters.check(number, start).is_err());
        }
        assert!(limiters.check(4, start).is_err(), "it is the first one again");
    }

    #[test]
    fn threads_together_get_no_more_than_a_burst() {
        let start = start();
        let limiter = RateLimiter::new(limit("1/m", 1000), start);
        let passed: usize = std::thread::scope(|scope| {
            let uses = || (0..1000).filter(|_| limiter.check(start).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(uses)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 1000);
    }
}
