//! Callers that wait long: until drained instances have nothing in flight. Bounded in number and in time, ended by furt's
//! own stop, and never a thread: each is a task of the internal listener that sleeps.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Readiness;
use super::problem::Problem;
use crate::clock;
use crate::config::StoreConfig;
use furt_core::routing::Drained;

/// The longest wait for a drain, in seconds.
pub(super) const MAX_DRAIN_SECONDS: u16 = 3600;
/// The longest wait for a change or an event, in seconds.
pub(super) const MAX_SECONDS: u16 = 60;
/// Callers that may wait for drains at once: a fleet of 1,000 that leaves together, at a few KiB and four looks a second
/// each. Beyond it a connection of the 20,000 each would hold is worth more to heartbeats.
pub(super) const MAX_DRAIN_WAITS: usize = 1024;
/// The first look at what is in flight comes after this, each further one later by a tenth of the time so far.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// The same where gateways share the store: the others have had time to say what they have in flight.
const FIRST_LOOK_AT_OTHERS: Duration = Duration::from_millis(250);
/// The most between two looks.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// Permits of callers that wait.
pub(super) struct WaitPermits(Semaphore);

impl WaitPermits {
    pub(super) fn new(most: usize) -> Self {
        Self(Semaphore::new(most))
    }

    /// One for a caller that wants to wait, and none for one that does not.
    ///
    /// # Errors
    /// 503 where all are taken; to be asked for before anything is changed.
    pub(super) fn take(&self, wait: Duration) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if wait.is_zero() {
            return Ok(None);
        }
        let permit = self.0.try_acquire();
        permit
            .map(Some)
            .map_err(|_| Problem::busy("too many callers wait already; nothing was done; ask without waiting"))
    }
}

/// Until nothing is in flight, the time is over, a drain ended, or furt stops; says what is in flight then.
pub(super) async fn until_idle(drained: &Drained, limit: Duration, store: &StoreConfig, readiness: &Readiness) -> u64 {
    let began = clock::now();
    if *store == StoreConfig::Etcd {
        tokio::time::sleep(FIRST_LOOK_AT_OTHERS.min(limit)).await;
    }
    let mut stops = std::pin::pin!(readiness.stops());
    loop {
        let in_flight = drained.in_flight();
        let waited = clock::now().saturating_duration_since(began);
        let Some(left) =
            limit.checked_sub(waited).filter(|left| in_flight > 0 && drained.ended() == 0 && !left.is_zero())
        else {
            return in_flight;
        };
        let pause = (waited / 10).clamp(FIRST_LOOK, MAX_PAUSE).min(left);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = &mut stops => return drained.in_flight(),
        }
    }
}
