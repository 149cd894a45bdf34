//! What time does to keys: they expire, and what a rotation replaced ends.
//!
//! By the time of day, since an end is written as one and must hold over restarts. It may jump, and nothing tells of that;
//! so it is looked at again within a minute. Requests look at the ends themselves, to the millisecond.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::lapsing::spread;
use super::super::leases::REMOVAL_RETRY;
use super::super::now::Now;
use super::super::settings::Sharing;
use super::state::{KeyParts, KeyState, Keys};
use crate::model::{KeyName, RuntimeKey};

/// How long at most until the time of day is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Keys that end in one tick, and in one write; those beyond wait a millisecond, and other events come first.
const BATCH: usize = 1_000;
/// The most that the removal of an expired key from a shared store is delayed.
const REMOVAL_SPREAD_MS: u64 = 60_000;

impl Keys {
    /// When [`handle_deadline`](Self::handle_deadline) is due.
    pub(in crate::registry) fn next_deadline(&self) -> Option<Instant> {
        self.due_at
    }

    /// Time passed.
    pub(in crate::registry) fn handle_deadline(&mut self, now: Now, parts: &mut KeyParts<'_>) {
        if self.due_at.is_some_and(|at| at <= now.at) {
            self.end_due(now, parts);
        }
    }

    /// Has the store told of a key's end after `delay`, or with others that wait for it.
    pub(super) fn retry_removal(&mut self, name: KeyName, delay: Duration, now: Now) {
        let at = now.at + delay;
        let before = self.retry_at.filter(|_| !self.retry.is_empty());
        self.retry_at = Some(before.map_or(at, |before| before.min(at)));
        self.retry.insert(name);
    }

    /// The same of a key that is out of the table; one of that name that came meanwhile is another.
    pub(super) fn retry_ended(&mut self, name: &KeyName, now: Now) {
        if self.runtime.get(name).is_some_and(|entry| entry.state != KeyState::Stays) {
            self.retry_removal(name.clone(), REMOVAL_RETRY, now);
        }
    }

    /// Sets the deadline to the next thing that is due.
    pub(super) fn arm(&mut self, now: Now) {
        let retry = self.retry_at.filter(|_| !self.retry.is_empty());
        let end = self.ends.first().map(|(end_ms, _)| {
            let wait = u64::try_from(end_ms.saturating_sub(now.unix_ms)).unwrap_or(0);
            now.at + Duration::from_millis(wait).clamp(Duration::from_millis(1), LOOK_AGAIN)
        });
        self.due_at = retry.into_iter().chain(end).min();
    }

    /// Ends what is over, and tells the store again of ends that it could not take.
    pub(super) fn end_due(&mut self, now: Now, parts: &mut KeyParts<'_>) {
        let mut ended_names = Vec::new();
        if parts.store.unreachable.is_some() {
            // It is told once it is back.
            self.retry_at = self.retry_at.map(|at| at.max(now.at + REMOVAL_RETRY));
        }
        if self.retry_at.is_some_and(|at| at <= now.at) {
            let ready = self.retry.iter().filter(|name| !self.outbox.is_writing(name));
            ended_names.extend(ready.take(BATCH).cloned());
            let is_more = ended_names.len() == BATCH;
            self.retry_at = Some(now.at + if is_more { Duration::from_millis(1) } else { REMOVAL_RETRY });
        }
        for _ in ended_names.len()..BATCH {
            let Some((_, name)) = self.ends.first().filter(|(end_ms, _)| *end_ms <= now.unix_ms).cloned() else {
                break;
            };
            let Some(entry) = self.runtime.get_mut(&name) else { break };
            if !entry.key.is_over(now.unix_ms) {
                // The store goes on having them: they are as dead there, and go with its next change.
                let (good, ended) = entry.key.old.iter().partition(|old| old.until_ms > now.unix_ms);
                entry.key = Arc::new(RuntimeKey { old: good, ..RuntimeKey::clone(&entry.key) });
                let ended: Vec<_> = ended;
                for old in ended {
                    self.digests.remove(&old.sha256);
                    if parts.store.sharing.is_shared() {
                        self.ended_digests.insert(old.sha256, name.clone());
                    }
                }
                self.publish(&name, parts);
                continue;
            }
            self.take_out(&name, KeyState::Expired, parts);
            match parts.store.sharing {
                Sharing::Exclusive if !self.outbox.is_writing(&name) => ended_names.push(name),
                Sharing::Exclusive => self.retry_removal(name, REMOVAL_RETRY, now),
                // Any of the gateways may remove it: the first one that comes does.
                Sharing::Shared { salt, .. } => {
                    let delay = spread(salt, name.as_str(), REMOVAL_SPREAD_MS);
                    self.retry_removal(name, delay, now);
                }
            }
        }
        if !ended_names.is_empty() {
            self.begin_removal(ended_names, None, now, parts);
        }
        self.arm(now);
    }
}
