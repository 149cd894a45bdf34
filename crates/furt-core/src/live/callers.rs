//! How often callers ask, and how many of their requests are in flight: many callers of many limits, in bounded memory.
//!
//! A caller under a limit is a number, which whoever counts makes of both by a hash that strangers do not know. Numbers share a
//! set of a few places by their high bits, and each that is counted has one of its places to itself: unlike in
//! [`RateLimiters`](super::RateLimiters), nobody is refused for what another one did. Where a set is full, its callers are
//! counted less strictly. Threads that meet at a place that changes hands may count one use for the other caller, or let one caller in
//! at two places.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Pace;

/// Places of a set. With one caller for eight places, one set in 880,000 has more callers than places (Poisson, of mean 1).
const WAYS: usize = 8;

/// How often each caller asked lately; each takes 16 bytes.
#[derive(Debug)]
pub struct CallerRates {
    places: Box<[Place]>,
}

#[derive(Debug, Default)]
struct Place {
    /// Whose it is; 0: nobody's.
    who: AtomicU64,
    /// As [`Pace`] counts.
    next_ns: AtomicU64,
}

/// How many requests of each caller are in flight; each caller takes 8 bytes.
#[derive(Debug)]
pub struct CallerCounts {
    /// The low half of whose it is, then how many. Nobody's where there are none.
    places: Box<[AtomicU64]>,
}

/// There are as many as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom;

impl CallerRates {
    /// Room for so many callers, rounded up to whole sets.
    pub fn new(callers: usize) -> Self {
        Self { places: (0..callers.div_ceil(WAYS).max(1) * WAYS).map(|_| Place::default()).collect() }
    }

    /// Counts a use of that caller, `now_ns` since the start.
    ///
    /// # Errors
    /// It came too early, and is not counted; after so long the next one may come.
    pub fn check(&self, who: u64, pace: Pace, now_ns: u64) -> Result<(), Duration> {
        let place = self.place(who.max(1), now_ns);
        pace.check(&self.places[place].next_ns, now_ns)
    }

    /// Takes a use of that caller back that turned out not to count; one that is forgotten has nothing to be given back.
    pub fn give_back(&self, who: u64, pace: Pace) {
        if let Some(place) = self.find(who.max(1)) {
            pace.give_back(&self.places[place].next_ns);
        }
    }

    fn find(&self, who: u64) -> Option<usize> {
        let set = set(who, self.places.len());
        // Relaxed: what a place counts is right whoever's it is.
        (set..set + WAYS).find(|place| self.places[*place].who.load(Ordering::Relaxed) == who)
    }

    /// The caller's place. Where it has none, one that owes nothing, or else the one that owes the least becomes its own.
    fn place(&self, who: u64, now_ns: u64) -> usize {
        if let Some(own) = self.find(who) {
            return own;
        }
        let set = set(who, self.places.len());
        let owed = |place: usize| self.places[place].next_ns.load(Ordering::Relaxed).saturating_sub(now_ns);
        let least = (set..set + WAYS).min_by_key(|place| owed(*place)).unwrap_or(set);
        let Place { who: owner, next_ns } = &self.places[least];
        let before = owner.load(Ordering::Relaxed);
        if owner.compare_exchange(before, who, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            next_ns.store(0, Ordering::Relaxed);
            return least;
        }
        // Somebody took it meanwhile: the same caller, or another one with whom it is shared this once.
        self.find(who).unwrap_or(least)
    }
}

impl CallerCounts {
    /// Room for so many callers at the same time, rounded up to whole sets.
    pub fn new(callers: usize) -> Self {
        Self { places: (0..callers.div_ceil(WAYS).max(1) * WAYS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts a request of that caller until [`leave`](Self::leave) is told the place; `None`: there is no place left to count it.
    ///
    /// # Errors
    /// It has `most` of them in flight.
    pub fn enter(&self, who: u64, most: u32) -> Result<Option<usize>, NoRoom> {
        let set = set(who, self.places.len());
        let tag = who << 32;
        let is_own = |place: &usize| {
            let word = self.places[*place].load(Ordering::Relaxed);
            word & u64::from(u32::MAX) != 0 && word >> 32 == tag >> 32
        };
        let own_count = |word: u64| if word >> 32 == tag >> 32 { word & u64::from(u32::MAX) } else { 0 };
        // As often as places change hands in between.
        for _ in 0..=WAYS {
            let free = |place: &usize| self.places[*place].load(Ordering::Relaxed) & u64::from(u32::MAX) == 0;
            let Some(place) = (set..set + WAYS).find(is_own).or_else(|| (set..set + WAYS).find(free)) else {
                return Ok(None);
            };
            let word = self.places[place].load(Ordering::Relaxed);
            let count = word & u64::from(u32::MAX);
            if count != 0 && word >> 32 != tag >> 32 {
                continue;
            }
            if count >= u64::from(most) {
                return Err(NoRoom);
            }
            let more = tag | (count + 1);
            if self.places[place].compare_exchange(word, more, Ordering::SeqCst, Ordering::Relaxed).is_err() {
                continue;
            }
            // Two that came at once may have taken a free place each. SeqCst: whoever looks last sees all of them.
            let total: u64 =
                (set..set + WAYS).map(|place| self.places[place].load(Ordering::SeqCst)).map(own_count).sum();
            if total <= u64::from(most) {
                return Ok(Some(place));
            }
            self.leave(place);
            return Err(NoRoom);
        }
        Ok(None)
    }

    /// The request that was counted at that place is over.
    pub fn leave(&self, place: usize) {
        if let Some(place) = self.places.get(place) {
            place.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The first place of a number's set.
fn set(who: u64, places: usize) -> usize {
    // A remainder of a usize is one.
    ((who >> 32) % (places / WAYS) as u64) as usize * WAYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Rate, RateLimit};

    fn pace(text: &str) -> Pace {
        Pace::of(RateLimit::new(Rate::try_new(text).unwrap(), None))
    }

    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut random = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(move || random.u64(1..))
    }

    #[test]
    fn each_caller_has_its_own_rate_whoever_else_asks() {
        let rates = CallerRates::new(4096);
        let (slow, second) = (pace("1/m"), 1_000_000_000);
        for who in numbers(1).take(500) {
            assert!(rates.check(who, slow, second).is_ok(), "the first use of {who}");
        }
        let refused = numbers(1).take(500).filter(|who| rates.check(*who, slow, second).is_err()).count();
        assert_eq!(refused, 500, "nobody has lost its place with an eighth of them in use");
        let first = numbers(1).next().unwrap();
        assert_eq!(rates.check(first, slow, second).unwrap_err(), Duration::from_secs(60));
        assert!(rates.check(first, slow, 61 * second).is_ok());
        rates.give_back(first, slow);
        assert!(rates.check(first, slow, 61 * second).is_ok(), "what is given back costs nothing");
    }

    #[test]
    fn a_flood_of_callers_takes_the_places_of_those_that_owe_the_least() {
        let rates = CallerRates::new(8);
        let (slow, fast) = (pace("1/m"), pace("1000/s"));
        let owes = 42;
        assert!(rates.check(owes, slow, 1).is_ok());
        for who in numbers(2).take(10_000) {
            assert!(rates.check(who, fast, 1).is_ok(), "a new caller is never refused");
        }
        assert!(rates.check(owes, slow, 1).is_err(), "who owes a minute keeps its place");
    }

    #[test]
    fn so_many_of_a_caller_are_in_flight_and_no_more() {
        let counts = CallerCounts::new(64);
        let many: Vec<_> = (0..3).map(|_| counts.enter(7, 3).unwrap().unwrap()).collect();
        assert_eq!(counts.enter(7, 3), Err(NoRoom));
        assert!(counts.enter(8, 1).unwrap().is_some(), "others are not refused");
        counts.leave(many[0]);
        assert!(counts.enter(7, 3).is_ok());
        assert_eq!(counts.enter(7, 3), Err(NoRoom));
    }

    #[test]
    fn a_place_is_anyone_s_again_and_where_there_is_none_a_request_passes_uncounted() {
        let counts = CallerCounts::new(8);
        for round in 0..100_u64 {
            let held: Vec<_> = (0..8).map(|who| counts.enter(round * 8 + who, 1).unwrap().unwrap()).collect();
            assert_eq!(counts.enter(u64::from(u32::MAX) - 1, 1), Ok(None));
            held.into_iter().for_each(|place| counts.leave(place));
        }
        assert!(counts.places.iter().all(|place| place.load(Ordering::Relaxed) & u64::from(u32::MAX) == 0));
    }

    #[test]
    fn who_comes_at_once_for_the_first_time_is_counted_once() {
        for round in 0..3_000_u64 {
            let (counts, barrier) = (CallerCounts::new(64), std::sync::Barrier::new(4));
            let let_in = std::sync::atomic::AtomicU32::new(0);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        barrier.wait();
                        if counts.enter(round << 32 | 7, 1).is_ok() {
                            let_in.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            assert!(let_in.load(Ordering::SeqCst) <= 1, "nobody leaves");
        }
    }

    #[test]
    fn threads_together_have_no_more_in_flight_than_they_may() {
        let (counts, most) = (CallerCounts::new(64), 5);
        let in_flight = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Ok(Some(place)) = counts.enter(7 << 32 | 7, most) else { continue };
                        assert!(in_flight.fetch_add(1, Ordering::SeqCst) < most);
                        in_flight.fetch_sub(1, Ordering::SeqCst);
                        counts.leave(place);
                    }
                });
            }
        });
        assert!(counts.enter(7 << 32 | 7, 1).unwrap().is_some());
    }
}
