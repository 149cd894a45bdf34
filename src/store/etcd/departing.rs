//! Instances that take no new requests, and what is in flight at them: each gateway says under its session's lease that it is busy,
//! and who waits for the end of a drain waits for all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection::Connection;
use super::layout::{Key, Layout};
use super::mirror::{Lease, Mirror};
use furt_core::registry::InstanceRef;
use furt_core::routing::InstanceLive;

/// So long others are listened to who may be busy and have not said so yet.
const LISTENING: Duration = Duration::from_secs(10);

/// Every instance that departs.
#[derive(Default)]
pub(super) struct Departing(Vec<One>);

struct One {
    instance: InstanceRef,
    live: Arc<InstanceLive>,
    since: Instant,
    /// What was said of it last; `None`: nothing is said.
    said: Option<u32>,
}

impl Departing {
    pub(super) fn add(&mut self, instance: InstanceRef, live: Arc<InstanceLive>, now: Instant) {
        match self.0.iter_mut().find(|one| Arc::ptr_eq(&one.live, &live)) {
            Some(known) => known.since = now,
            None => self.0.push(One { instance, live, since: now, said: None }),
        }
    }

    /// Takes over what others say, and says what is in flight here; forgets who has left or takes requests again.
    pub(super) fn look(
        &mut self,
        mirror: &Mirror,
        layout: &Layout,
        this: &str,
        over: Option<(&Arc<Connection>, Lease)>,
        now: Instant,
    ) {
        for one in &mut self.0 {
            let elsewhere = mirror.busy_elsewhere(&one.instance, this);
            one.live.in_flight_elsewhere.store(elsewhere, Ordering::Relaxed);
            let Some((connection, lease)) = over else { continue };
            let here = Some(one.live.in_flight()).filter(|count| *count > 0);
            // Another number changes nothing for who waits.
            if here.is_some() != one.said.is_some() {
                let key = layout.key(&Key::Busy(one.instance.clone(), this.to_owned()));
                let connection = Arc::clone(connection);
                tokio::spawn(async move {
                    match here {
                        Some(count) => {
                            connection.put(&key, count.to_string().into_bytes(), Some(lease)).await.map(|_| ())
                        }
                        None => connection.delete(&key).await,
                    }
                });
                one.said = here;
            }
        }
        self.0.retain(|one| {
            let is_listening = now.saturating_duration_since(one.since) < LISTENING;
            let is_busy = one.said.is_some() || one.live.in_flight_elsewhere.load(Ordering::Relaxed) > 0;
            is_listening || is_busy
        });
    }

    /// The session is another one: what was said went with the one before.
    pub(super) fn say_again(&mut self) {
        self.0.iter_mut().for_each(|one| one.said = None);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
