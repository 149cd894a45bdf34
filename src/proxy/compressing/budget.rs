//! The memory of all encoders in the process, which is bounded: a client that reads slowly keeps the encoder of its answer for as long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What all encoders take together, in bytes.
#[derive(Default)]
pub(super) struct Budget(AtomicU64);

/// What one of them takes, until this is dropped.
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// So many bytes, where all encoders together take no more than `most` with them.
    pub(super) fn take(self: &Arc<Self>, bytes: u64, most: u64) -> Option<Share> {
        let more = |taken: u64| taken.checked_add(bytes).filter(|all| *all <= most);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share { budget: Arc::clone(self), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_the_bound_and_what_is_given_back_can_be_taken_again() {
        let budget = Arc::new(Budget::default());
        let first = budget.take(60, 100).unwrap();
        let second = budget.take(40, 100).unwrap();
        assert!(budget.take(1, 100).is_none());
        assert!(budget.take(u64::MAX, u64::MAX).is_none());
        drop(first);
        assert!(budget.take(61, 100).is_none());
        let third = budget.take(60, 100).unwrap();
        // A reload may have lowered the bound.
        assert!(budget.take(1, 50).is_none());
        drop((second, third));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
