//! Waiting for a place where every instance of a service is at its hard limit (DESIGN §8).
//!
//! A bounded number waits for a bounded time, the first comer first. Each place that is given back wakes one; all look
//! again every [`TICK`], since another instance may have been published meanwhile. Who waits reads the newest
//! snapshot each time. Dropping the wait, as when the client is gone, gives its turn to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pingora_proxy::Session;

use super::Gateway;
use super::context::Context;
use crate::clock;
use crate::routing::{Lease, NoInstance, Service, ServiceKind, ServiceLive};

/// The most requests that wait for one service (DESIGN §8): more would only wait to fail.
const MOST: u32 = 128;
/// The longest wait (DESIGN §8).
const LONGEST: Duration = Duration::from_secs(2);
/// From one look at what was published to the next.
const TICK: Duration = Duration::from_millis(50);

/// A request's place in the queue.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    /// `None`: the queue is full.
    fn enter(service: &'a ServiceLive) -> Option<Self> {
        let place = Self(&service.waiting);
        // Counted first, so that the bound holds however many come at once; dropping it takes it back.
        let before = service.waiting.fetch_add(1, Ordering::Relaxed);
        (before < MOST).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gateway {
    /// Waits until an instance has a place, or no longer.
    ///
    /// # Errors
    /// [`NoInstance::Full`]: the queue is full or the wait over; the others: there is nothing left to wait for.
    pub(super) async fn wait_for_place(
        &self,
        session: &Session,
        mut service: Arc<Service>,
        ctx: &mut Context,
    ) -> Result<Lease, NoInstance> {
        let live = Arc::clone(&service.live);
        let _waiting = Waiting::enter(&live).ok_or(NoInstance::Full)?;
        let end = clock::now() + LONGEST;
        loop {
            // Listened for before looking, so that none that is given back in between is missed.
            let released = live.released.listen();
            service = self.newest(&service).ok_or(NoInstance::Unavailable)?;
            ctx.service = Some(Arc::clone(&service));
            match self.choose(session, &service, ctx) {
                Err(NoInstance::Full) if clock::now() < end => {}
                chosen => return chosen,
            }
            // Whether it was told or the time is over, it looks again.
            _ = tokio::time::timeout(TICK, released).await;
        }
    }

    /// The service as it is published now; `None`: it is gone, or DOWN.
    fn newest(&self, service: &Arc<Service>) -> Option<Arc<Service>> {
        match service.kind {
            ServiceKind::Static => Some(Arc::clone(service)),
            ServiceKind::Registered => {
                let snapshot = self.snapshots.load();
                let found = snapshot.service_named(service.definition.service.as_str())?;
                found.is_routable().then(|| Arc::clone(found))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more_until_one_leaves() {
        let service = ServiceLive::default();
        let mut waiting: Vec<_> = (0..MOST).map_while(|_| Waiting::enter(&service)).collect();
        assert_eq!(waiting.len(), 128);
        assert!(Waiting::enter(&service).is_none() && Waiting::enter(&service).is_none());
        assert_eq!(service.waiting.load(Ordering::Relaxed), 128, "who was refused does not count");
        waiting.pop();
        waiting.extend(Waiting::enter(&service));
        assert_eq!(waiting.len(), 128);
        drop(waiting);
        assert_eq!(service.waiting.load(Ordering::Relaxed), 0);
    }
}
