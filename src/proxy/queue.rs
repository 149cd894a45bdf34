//! Waiting for a slot where every instance of a service is at its hard limit (docs/decisions/009-waiting-for-a-slot.md).
//!
//! A bounded number of requests waits for a bounded time, of each side of a split as many. Each slot that is released wakes the
//! request that waited longest; all of them look again every [`TICK`], since another instance may have been published meanwhile.
//! A waiting request reads the newest snapshot each time. Where its client goes away, the next request is woken in its stead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pingora::ErrorType;
use pingora_proxy::Session;

use super::Gateway;
use super::context::Context;
use super::{splitting, upload};
use crate::clock;
use crate::telemetry::ProxyMetrics;
use furt_core::routing::{Lease, NoInstance, PartLive, Service, ServiceKind};

/// The most requests that wait for one service, or one side of its split: more would only wait to fail.
const MOST: u32 = 128;
/// The longest wait: a client would rather be told that the service is full.
const LONGEST: Duration = Duration::from_secs(2);
/// From one look at what was published to the next.
const TICK: Duration = Duration::from_millis(50);

/// Why a request has no slot.
pub(super) enum Unserved {
    /// There is none to be had.
    NoInstance(NoInstance),
    /// The client went away.
    ClientGone,
}

impl From<NoInstance> for Unserved {
    fn from(none: NoInstance) -> Self {
        Self::NoInstance(none)
    }
}

/// Ends when the client is gone. While a body is to come that cannot be told from outside: reading it is not ours.
async fn client_gone(session: &mut Session) {
    let session = session.as_mut();
    if session.is_body_done()
        && let Err(error) = session.read_body_or_idle(true).await
        && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
        // Of a request whose time is over the client is there, and is to be told.
        && upload::time_over(&error).is_none()
    {
        return;
    }
    std::future::pending().await
}

/// One request that waits, counted until it is dropped.
struct Waiting<'a> {
    of_part: &'a AtomicU32,
    metrics: &'a ProxyMetrics,
}

impl<'a> Waiting<'a> {
    /// `None`: the queue is full.
    fn enter(part: &'a PartLive, metrics: &'a ProxyMetrics) -> Option<Self> {
        let waiting = Self { of_part: &part.waiting, metrics };
        metrics.wait_began();
        // Counted first, so that the bound holds however many come at once; dropping it takes it back.
        let before = part.waiting.fetch_add(1, Ordering::Relaxed);
        (before < MOST).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.of_part.fetch_sub(1, Ordering::Relaxed);
        self.metrics.wait_ended();
    }
}

impl Gateway {
    /// Waits until an instance has a slot, or no longer.
    ///
    /// # Errors
    /// [`NoInstance::Full`]: the queue is full or the wait over; the others: there is nothing, or nobody, left to wait for.
    pub(super) async fn wait_for_slot(
        &self,
        session: &mut Session,
        mut service: Arc<Service>,
        ctx: &mut Context,
    ) -> Result<Lease, Unserved> {
        let live = Arc::clone(&service.live);
        let side = ctx.attempts.side;
        let part = |service: &Service| live.part(splitting::part(service, side).part);
        let _waiting = Waiting::enter(part(&service), &self.metrics).ok_or(NoInstance::Full)?;
        let latest = clock::now() + LONGEST;
        let end = ctx.received.deadline.map_or(latest, |deadline| latest.min(deadline.at()));
        let end = ctx.total_end().map_or(end, |total| end.min(total));
        loop {
            // Listened for before looking, so that no slot that is released in between is missed.
            let released = part(&service).released.listen();
            service = self.newest(&service).ok_or(NoInstance::Unavailable)?;
            ctx.target.service = Some(Arc::clone(&service));
            match self.choose(session, &service, ctx) {
                Err(NoInstance::Full) if clock::now() < end => {}
                chosen => return Ok(chosen?),
            }
            tokio::select! {
                // Whether it was told or the time is over, it looks again.
                _ = tokio::time::timeout(TICK, released) => {}
                () = client_gone(session) => return Err(Unserved::ClientGone),
            }
        }
    }

    /// The service as it is published now; `None`: it is gone, or DOWN.
    fn newest(&self, service: &Arc<Service>) -> Option<Arc<Service>> {
        match service.kind {
            ServiceKind::Static | ServiceKind::Answers(_) => Some(Arc::clone(service)),
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
    use crate::telemetry::Telemetry;

    #[test]
    fn so_many_wait_and_no_more_until_one_leaves() {
        let part = PartLive::default();
        let metrics = &Telemetry::try_new().unwrap().proxy;
        let mut waiting: Vec<_> = (0..MOST).map_while(|_| Waiting::enter(&part, metrics)).collect();
        assert_eq!(waiting.len(), 128);
        assert!(Waiting::enter(&part, metrics).is_none() && Waiting::enter(&part, metrics).is_none());
        assert_eq!(part.waiting.load(Ordering::Relaxed), 128, "who was refused does not count");
        waiting.pop();
        waiting.extend(Waiting::enter(&part, metrics));
        assert_eq!(waiting.len(), 128);
        drop(waiting);
        assert_eq!((part.waiting.load(Ordering::Relaxed), metrics.waiting()), (0, 0));
    }
}
