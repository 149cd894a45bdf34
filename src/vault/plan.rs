//! When to ask a Vault for what: pure. It is told the time, what came of each step, and a random number for its pauses.
//!
//! A token is taken (its file is read, and Vault is asked what the token is), renewed at two thirds of its time, and taken again at a
//! reload and where Vault refuses it. Values are read once a token is there, after each renewal and at each reload. What fails is tried again after
//! 1, 2, 4 … 60 s, each pause shortened by chance, so that nodes that lost one Vault do not come back at once.

use std::time::{Duration, Instant};

/// The first pause after what failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A renewal that fails is tried so often in the time that a token lives, at least: a third of them before it ends.
const TRIES_A_LIFE: u32 = 12;
/// Between two renewals, however short a token lives.
const LEAST_RENEWAL: Duration = Duration::from_secs(1);

/// What Vault says of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its time from now on; `None`: it does not end.
    pub ttl: Option<Duration>,
    /// Whether its time can be made longer.
    pub renewable: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the token's file, and ask Vault what the token is.
    TakeToken,
    /// Renew the token.
    Renew,
    /// Read all values.
    Fetch,
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Vault refuses the token, or there is none.
    Refused,
    /// Anything else: Vault is away, a value is not there.
    Other,
}

/// The plan.
#[derive(Debug)]
pub(super) struct Plan {
    token: Held,
    /// Of steps that are about the token.
    token_pause: Pause,
    /// The longest of those while Vault is away: the token must be renewed before it ends.
    longest: Duration,
    /// Whether values are to be read.
    is_stale: bool,
    /// Of reading values: what is wrong with one of them must not keep the token from being renewed.
    fetch_pause: Pause,
}

/// The token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    No,
    /// Until this step is due, where it has an end.
    Yes(Option<(Instant, Step)>),
}

/// When something may be tried.
#[derive(Debug, Clone, Copy)]
struct Pause {
    not_before: Instant,
    failures: u32,
}

impl Pause {
    fn none(now: Instant) -> Self {
        Self { not_before: now, failures: 0 }
    }

    fn grow(&mut self, now: Instant, longest: Duration, chance: f64) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures += 1;
        self.not_before = now + pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    }
}

impl Plan {
    /// Nothing is there yet.
    pub(super) fn new(now: Instant) -> Self {
        let pause = Pause::none(now);
        Self { token: Held::No, token_pause: pause, longest: LONGEST_PAUSE, is_stale: true, fetch_pause: pause }
    }

    /// What comes next, and when; `None`: nothing, until a reload.
    pub(super) fn next(&self) -> Option<(Instant, Step)> {
        let Held::Yes(renewal) = self.token else { return Some((self.token_pause.not_before, Step::TakeToken)) };
        let renewal = renewal.map(|(at, step)| (at.max(self.token_pause.not_before), step));
        let fetch = self.is_stale.then_some((self.fetch_pause.not_before, Step::Fetch));
        renewal.into_iter().chain(fetch).min_by_key(|(at, _)| *at)
    }

    /// The token's file was read and Vault was asked.
    pub(super) fn token_taken(&mut self, now: Instant, outcome: Result<Lease, Failure>, chance: f64) {
        match outcome {
            Ok(lease) => self.hold(now, lease),
            Err(failure) => {
                let longest = if failure == Failure::Refused { LONGEST_PAUSE } else { self.longest };
                self.token = Held::No;
                self.token_pause.grow(now, longest, chance);
            }
        }
    }

    /// Vault was asked to renew.
    pub(super) fn renewed(&mut self, now: Instant, outcome: Result<Lease, Failure>, chance: f64) {
        match outcome {
            Ok(lease) => self.hold(now, lease),
            Err(Failure::Other) => self.token_pause.grow(now, self.longest, chance),
            // The file may have another one by now.
            Err(Failure::Refused) => (self.token, self.token_pause) = (Held::No, Pause::none(now)),
        }
    }

    /// The values were read, or some of them were not.
    pub(super) fn fetched(&mut self, now: Instant, outcome: Result<(), Failure>, chance: f64) {
        match outcome {
            Ok(()) => (self.is_stale, self.fetch_pause) = (false, Pause::none(now)),
            Err(failure) => {
                self.fetch_pause.grow(now, LONGEST_PAUSE, chance);
                // Either the token is none any more, or it may not read this value: Vault is asked which.
                if failure == Failure::Refused {
                    (self.token, self.token_pause) = (Held::No, Pause::none(now));
                }
            }
        }
    }

    /// An operator reloads: everything is tried now, and the file may have another token.
    pub(super) fn reload(&mut self, now: Instant) {
        *self = Self { longest: self.longest, ..Self::new(now) };
    }

    fn hold(&mut self, now: Instant, lease: Lease) {
        let step = if lease.renewable { Step::Renew } else { Step::TakeToken };
        let renewal = lease.ttl.and_then(|ttl| {
            let at = now.checked_add((ttl / 3 * 2).max(LEAST_RENEWAL))?;
            Some((at, step))
        });
        self.longest = lease.ttl.map_or(LONGEST_PAUSE, |ttl| (ttl / TRIES_A_LIFE).clamp(FIRST_PAUSE, LONGEST_PAUSE));
        (self.token, self.token_pause) = (Held::Yes(renewal), Pause::none(now));
        self.is_stale = true;
        self.fetch_pause.not_before = self.fetch_pause.not_before.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Lease = Lease { ttl: Some(Duration::from_secs(60)), renewable: true };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A plan with a token of a minute, whose values were read.
    fn settled(start: Instant) -> Plan {
        let mut plan = Plan::new(start);
        assert_eq!(plan.next(), Some((start, Step::TakeToken)));
        plan.token_taken(start, Ok(MINUTE), 1.0);
        assert_eq!(plan.next(), Some((start, Step::Fetch)));
        plan.fetched(start, Ok(()), 1.0);
        plan
    }

    #[test]
    fn a_token_is_renewed_at_two_thirds_of_its_time_and_values_are_read_after() {
        let start = crate::clock::now();
        let mut plan = settled(start);
        let due = start + seconds(40);
        assert_eq!(plan.next(), Some((due, Step::Renew)));
        plan.renewed(due, Ok(MINUTE), 1.0);
        assert_eq!(plan.next(), Some((due, Step::Fetch)));
        plan.fetched(due, Ok(()), 1.0);
        assert_eq!(plan.next(), Some((due + seconds(40), Step::Renew)));
    }

    #[test]
    fn a_token_that_ends_soon_is_not_renewed_all_the_time_and_one_that_never_ends_not_at_all() {
        let start = crate::clock::now();
        let mut plan = settled(start);
        let lease = |ttl, renewable| Ok(Lease { ttl, renewable });
        for ttl in [0, 1] {
            plan.renewed(start, lease(Some(seconds(ttl)), true), 1.0);
            plan.fetched(start, Ok(()), 1.0);
            assert_eq!(plan.next(), Some((start + seconds(1), Step::Renew)));
        }
        plan.renewed(start, lease(Some(seconds(30)), false), 1.0);
        plan.fetched(start, Ok(()), 1.0);
        assert_eq!(plan.next(), Some((start + seconds(20), Step::TakeToken)), "the file may have another one");
        for ttl in [None, Some(Duration::MAX)] {
            plan.token_taken(start, lease(ttl, true), 1.0);
            plan.fetched(start, Ok(()), 1.0);
            assert_eq!(plan.next(), None);
        }
    }

    #[test]
    fn a_refused_token_is_taken_again_at_once_and_then_ever_later() {
        let start = crate::clock::now();
        let mut plan = settled(start);
        let due = start + seconds(40);
        plan.renewed(due, Err(Failure::Refused), 1.0);
        let mut now = due;
        for pause in [0, 1, 2, 4, 8, 16, 32, 60, 60] {
            now += seconds(pause);
            assert_eq!(plan.next(), Some((now, Step::TakeToken)));
            plan.token_taken(now, Err(Failure::Refused), 1.0);
        }
        plan.reload(now);
        assert_eq!(plan.next(), Some((now, Step::TakeToken)), "an operator waits");
        plan.token_taken(now, Err(Failure::Other), 0.0);
        assert_eq!(plan.next(), Some((now + seconds(1) / 2, Step::TakeToken)), "chance shortens a pause to its half");
    }

    #[test]
    fn a_vault_that_is_away_is_asked_the_same_again() {
        let start = crate::clock::now();
        let mut plan = settled(start);
        let due = start + seconds(40);
        plan.renewed(due, Err(Failure::Other), 1.0);
        assert_eq!(plan.next(), Some((due + seconds(1), Step::Renew)));
        plan.renewed(due + seconds(1), Err(Failure::Other), 1.0);
        assert_eq!(plan.next(), Some((due + seconds(3), Step::Renew)));
        let mut now = due + seconds(3);
        for pause in [4, 5, 5] {
            plan.renewed(now, Err(Failure::Other), 1.0);
            now += seconds(pause);
            assert_eq!(plan.next(), Some((now, Step::Renew)), "several times before a token of a minute ends");
        }
        let mut fetching = settled(start);
        fetching.renewed(due, Ok(MINUTE), 1.0);
        fetching.fetched(due, Err(Failure::Other), 1.0);
        assert_eq!(fetching.next(), Some((due + seconds(1), Step::Fetch)));
    }

    #[test]
    fn values_that_are_refused_lead_to_the_token_and_pauses_grow_all_the_same() {
        let start = crate::clock::now();
        let mut plan = settled(start);
        let mut now = start + seconds(40);
        plan.renewed(now, Ok(MINUTE), 1.0);
        for pause in [1, 2, 4, 8] {
            assert_eq!(plan.next(), Some((now, Step::Fetch)));
            plan.fetched(now, Err(Failure::Refused), 1.0);
            assert_eq!(plan.next(), Some((now, Step::TakeToken)), "Vault is asked what the token is");
            plan.token_taken(now, Ok(MINUTE), 1.0);
            now += seconds(pause);
        }
        plan.fetched(now, Err(Failure::Other), 1.0);
        assert_eq!(plan.next(), Some((now + seconds(16), Step::Fetch)));
    }

    #[test]
    fn a_value_that_cannot_be_had_does_not_delay_a_renewal() {
        let start = crate::clock::now();
        let mut plan = Plan::new(start);
        plan.token_taken(start, Ok(MINUTE), 1.0);
        let mut now = start;
        while let Some((at, Step::Fetch)) = plan.next() {
            now = at;
            plan.fetched(now, Err(Failure::Other), 1.0);
        }
        assert_eq!((now, plan.next()), (start + seconds(31), Some((start + seconds(40), Step::Renew))));
        plan.renewed(start + seconds(40), Ok(MINUTE), 1.0);
        assert_eq!(plan.next(), Some((start + seconds(63), Step::Fetch)), "and a renewal does not end its pause");
    }

    /// Whatever a server does.
    #[test]
    fn no_server_is_asked_all_the_time() {
        for seed in 0..256 {
            let mut random = fastrand::Rng::with_seed(seed);
            let start = crate::clock::now();
            let (mut plan, mut now, mut steps) = (Plan::new(start), start, 0);
            while let Some((at, step)) = plan.next().filter(|(at, _)| *at <= start + seconds(600)) {
                assert!(at >= now, "seed {seed}: {step:?} was due before");
                now = at;
                steps += 1;
                let lease = Lease { ttl: Some(seconds(random.u64(0..90))), renewable: random.bool() };
                let failure = if random.bool() { Failure::Refused } else { Failure::Other };
                let lease = if random.u8(0..3) == 0 { Err(failure) } else { Ok(lease) };
                let chance = random.f64();
                match step {
                    Step::TakeToken => plan.token_taken(now, lease, chance),
                    Step::Renew => plan.renewed(now, lease, chance),
                    Step::Fetch => plan.fetched(now, lease.map(|_| ()), chance),
                }
                assert!(steps < 3 * 600, "seed {seed}: more than three questions a second");
            }
        }
    }
}
