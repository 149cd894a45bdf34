//! How many instances a shared store lost lately, and how long each stays for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an instance that was lost stays at least: so long until another gateway that hears it has it stored again, with
/// room for a slow one.
const HOLD: Duration = Duration::from_millis(250);
/// The same for each of those that were lost lately: where all leases end at once, they are stored again one by one.
const HOLD_EACH: Duration = Duration::from_millis(2);
/// How long ago is lately.
const LATELY: Duration = Duration::from_secs(10);

/// When instances were lost.
#[derive(Debug, Default)]
pub(super) struct Lapses(VecDeque<Instant>);

impl Lapses {
    /// One more was lost. Gives how long it stays.
    pub(super) fn note(&mut self, now: Instant) -> Duration {
        while self.0.front().is_some_and(|at| *at + LATELY < now) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        HOLD + HOLD_EACH * u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start")]
    fn the_more_were_lost_lately_the_longer_each_stays() {
        let (mut lapses, start) = (Lapses::default(), Instant::now());
        assert_eq!(lapses.note(start), Duration::from_millis(252));
        assert_eq!(lapses.note(start + LATELY), Duration::from_millis(254));
        assert_eq!(
            lapses.note(start + LATELY + Duration::from_millis(1)),
            Duration::from_millis(254),
            "one is long ago"
        );
    }
}
