//! How many requests of a service may be sent twice: a fifth of its requests, and 3 a second all the same.
//!
//! Without a bound, a service that breaks under load would be given twice the load.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a request earns, in thousandths of a repetition.
const EARNED: i64 = 200;
/// What a repetition costs.
const COST: i64 = 1000;
/// The most that is saved up: 100 repetitions, so that an hour of quiet does not pay for a storm.
const MOST: i64 = 100 * COST;
/// Repetitions a second that cost nothing.
const FLOOR: u64 = 3;

/// The budget of one service.
#[derive(Debug, Default)]
pub struct RetryBudget {
    saved: AtomicI64,
    /// The current second, and repetitions in it: `second << 8 | count`.
    floor: AtomicU64,
}

impl RetryBudget {
    /// A request came.
    pub fn earn(&self) {
        if self.saved.load(Ordering::Relaxed) < MOST {
            self.saved.fetch_add(EARNED, Ordering::Relaxed);
        }
    }

    /// Whether a repetition is paid for, at `now_ms` (Unix ms); if so it is spent.
    pub fn spend(&self, now_ms: i64) -> bool {
        let second = now_ms.div_euclid(1000).unsigned_abs();
        let one_more = |state: u64| match (state >> 8 == second, state & 0xff) {
            (true, count) if count >= FLOOR => None,
            (true, _) => Some(state + 1),
            (false, _) => Some(second << 8 | 1),
        };
        let free = self.floor.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        let pay = |saved: i64| (saved >= COST).then_some(saved - COST);
        free || self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_a_second_are_free_and_the_rest_is_earned() {
        let budget = RetryBudget::default();
        let spent = |now_ms: i64, tries: usize| (0..tries).filter(|_| budget.spend(now_ms)).count();
        assert_eq!(spent(5_000, 10), 3);
        assert_eq!(spent(5_999, 10), 0);
        assert_eq!(spent(6_000, 10), 3);
        (0..50).for_each(|_| budget.earn());
        assert_eq!(spent(6_500, 100), 10);
    }

    #[test]
    fn savings_have_an_end() {
        let budget = RetryBudget::default();
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!((0..1000).filter(|_| budget.spend(1_000)).count(), 103);
    }
}
