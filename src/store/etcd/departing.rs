//! Instances that take no new requests, and what is in flight at them: each gateway says under its session's lease that it is busy,
//! and who waits for the end of a drain waits for all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::connection::Connection;
use super::layout::{Key, Layout};
use super::mirror::{Lease, Mirror};
use furt_core::registry::InstanceRef;
use furt_core::routing::InstanceLive;

/// So long others are listened to who may be busy and have not said so yet.
const LISTENING: Duration = Duration::from_secs(10);
/// What was said and is not stored after so long is said again.
const SAYING: Duration = Duration::from_secs(2);

/// Every instance that departs.
#[derive(Default)]
pub(super) struct Departing(BTreeMap<InstanceRef, One>);

/// All that departs under one id: the process before this one may still answer its last requests.
struct One {
    departed: Vec<Departed>,
    since: Instant,
    /// Whether it was said last that requests are in flight here, and when.
    said: Option<(bool, Instant)>,
}

struct Departed {
    live: Arc<InstanceLive>,
    /// It takes requests again should its drain end; one that is gone does not.
    drains: bool,
}

impl Departed {
    fn takes_requests_again(&self) -> bool {
        self.drains && !self.live.is_draining()
    }
}

impl One {
    /// Another number changes nothing for who waits, so it is not said.
    fn is_to_say(&self, here: u32, is_stored: bool, now: Instant) -> bool {
        let is_busy = here > 0;
        match self.said {
            Some((said, _)) if said != is_busy => true,
            Some((_, at)) => is_stored != is_busy && now.saturating_duration_since(at) >= SAYING,
            None => is_stored != is_busy,
        }
    }
}

/// Stores what is said, one after the other: of two calls at once the earlier could be stored last.
pub(super) struct Voice(mpsc::UnboundedSender<(String, Option<u32>)>);

impl Voice {
    /// Over a connection, for as long as that is of use; what is said goes with `lease`.
    pub(super) fn over(connection: Arc<Connection>, lease: Lease) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<(String, Option<u32>)>();
        tokio::spawn(async move {
            while let Some((key, count)) = receiver.recv().await {
                // What is not stored is said again.
                match count {
                    Some(count) => {
                        drop(connection.put(&key, count.to_string().into_bytes(), Some(lease)).await);
                    }
                    None => drop(connection.delete(&key).await),
                }
            }
        });
        Self(sender)
    }

    fn say(&self, key: String, count: Option<u32>) {
        // Without its task the connection is of no use either.
        drop(self.0.send((key, count)));
    }
}

impl Departing {
    pub(super) fn add(&mut self, instance: InstanceRef, live: Arc<InstanceLive>, now: Instant) {
        let one = self.0.entry(instance).or_insert_with(|| One { departed: Vec::new(), since: now, said: None });
        one.since = now;
        if !one.departed.iter().any(|known| Arc::ptr_eq(&known.live, &live)) {
            let drains = live.is_draining();
            one.departed.push(Departed { live, drains });
        }
    }

    /// Takes over what others say, and says what is in flight here; forgets who has left or takes requests again.
    pub(super) fn look(&mut self, mirror: &Mirror, layout: &Layout, this: &str, voice: Option<&Voice>, now: Instant) {
        self.0.retain(|instance, one| {
            for departed in one.departed.extract_if(.., |departed| departed.takes_requests_again()) {
                departed.live.in_flight_elsewhere.store(0, Ordering::Relaxed);
            }
            let elsewhere = mirror.busy_elsewhere(instance, this);
            for departed in &one.departed {
                departed.live.in_flight_elsewhere.store(elsewhere, Ordering::Relaxed);
            }
            let here = one.departed.iter().map(|departed| departed.live.in_flight()).fold(0, u32::saturating_add);
            let key = Key::Busy(instance.clone(), this.to_owned());
            let is_stored = mirror.get(&key).is_some();
            if let Some(voice) = voice.filter(|_| one.is_to_say(here, is_stored, now)) {
                voice.say(layout.key(&key), Some(here).filter(|count| *count > 0));
                one.said = Some((here > 0, now));
            }
            let is_listening = now.saturating_duration_since(one.since) < LISTENING && !one.departed.is_empty();
            is_listening || here > 0 || is_stored || elsewhere > 0 && !one.departed.is_empty()
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(said: Option<(bool, Instant)>, since: Instant) -> One {
        One { departed: Vec::new(), since, said }
    }

    #[test]
    fn what_changes_is_said_and_what_was_lost_is_said_again() {
        let now = crate::clock::now();
        let [soon, late] = [SAYING / 2, SAYING].map(|age| now + age);
        // What was said; in flight, and whether that is stored; when; whether it is to be said.
        let cases = [
            (None, (0, false), now, false),
            (None, (3, false), now, true),
            // Of a session before, or of a connection that was lost.
            (None, (0, true), now, true),
            (Some(true), (3, false), soon, false),
            (Some(true), (3, false), late, true),
            (Some(true), (1, true), late, false),
            // It ends before the watch tells that it began.
            (Some(true), (0, false), soon, true),
            (Some(true), (0, true), soon, true),
            (Some(false), (0, true), soon, false),
            (Some(false), (0, true), late, true),
            (Some(false), (0, false), late, false),
        ];
        for (said, (here, is_stored), at, wanted) in cases {
            let one = one(said.map(|said| (said, now)), now);
            assert_eq!(one.is_to_say(here, is_stored, at), wanted, "{said:?} {here} {is_stored} {:?}", at - now);
        }
    }
}
