//! How many instances a shared store lost lately, and how long each stays for it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an instance that was lost stays at least: so long until another gateway that hears it has it stored again, with
/// room for a slow one.
const HOLD: Duration = Duration::from_millis(250);
/// The same for each of those that were lost lately: where all leases end at once, they are stored again one by one.
const HOLD_EACH: Duration = Duration::from_millis(2);
/// The same for a while after this gateway's own return to the store: what ended the leases there has held up others as well, and they
/// are on their way back.
const HOLD_AFTER_RETURN: Duration = Duration::from_secs(3);
/// So long after its return. A leader of etcd that froze revokes what others have renewed when it wakes, which is as late as it sleeps:
/// <https://github.com/etcd-io/etcd/issues/15247>.
const RETURN: Duration = Duration::from_secs(60);
/// How long ago is lately.
const LATELY: Duration = Duration::from_secs(10);

/// When instances were lost.
#[derive(Debug, Default)]
pub(super) struct Lapses {
    lately: VecDeque<Instant>,
    /// When this gateway could follow the store again.
    returned: Option<Instant>,
}

impl Lapses {
    /// The store can be followed again.
    pub(super) fn note_return(&mut self, now: Instant) {
        self.returned = Some(now);
    }

    /// One more was lost. Gives how long it stays.
    pub(super) fn note(&mut self, now: Instant) -> Duration {
        while self.lately.front().is_some_and(|at| *at + LATELY < now) {
            self.lately.pop_front();
        }
        self.lately.push_back(now);
        let is_back = self.returned.is_some_and(|returned| now.saturating_duration_since(returned) < RETURN);
        let hold = if is_back { HOLD_AFTER_RETURN } else { HOLD };
        hold + HOLD_EACH * u32::try_from(self.lately.len()).unwrap_or(u32::MAX)
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

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start")]
    fn after_its_own_return_a_gateway_waits_for_the_others() {
        let (mut lapses, start) = (Lapses::default(), Instant::now());
        lapses.note_return(start);
        assert_eq!(lapses.note(start), Duration::from_millis(3_002));
        assert_eq!(lapses.note(start + RETURN), Duration::from_millis(252));
    }
}
