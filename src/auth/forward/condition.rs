//! Whether a server answered last, so that the log has one line for a row of failures and one for its end.

use std::sync::atomic::{AtomicBool, Ordering};

/// Of one server.
#[derive(Debug, Default)]
pub(super) struct Condition {
    has_failed: AtomicBool,
}

/// What is worth a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The first failure of a row.
    Failed,
    /// The first answer after a row.
    Recovered,
}

impl Condition {
    /// It did not answer.
    pub(super) fn failed(&self) -> Option<Change> {
        (!self.has_failed.swap(true, Ordering::Relaxed)).then_some(Change::Failed)
    }

    /// It answered.
    pub(super) fn answered(&self) -> Option<Change> {
        // Mostly it did before, and all threads may go on reading the same.
        let has_failed = self.has_failed.load(Ordering::Relaxed) && self.has_failed.swap(false, Ordering::Relaxed);
        has_failed.then_some(Change::Recovered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_failures_is_told_once_and_so_is_its_end() {
        let condition = Condition::default();
        assert_eq!(condition.answered(), None);
        assert_eq!([condition.failed(), condition.failed(), condition.failed()], [Some(Change::Failed), None, None]);
        assert_eq!([condition.answered(), condition.answered()], [Some(Change::Recovered), None]);
        assert_eq!(condition.failed(), Some(Change::Failed));
    }
}
