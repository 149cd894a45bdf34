//! Which secrets this node has, by their names, and when it asks for what it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::model::{Now, SecretId};

/// How long a secret opens messages after another one became active, or lost to another one of its generation.
pub(crate) const OVERLAP: Duration = Duration::from_secs(600);
/// The longest wait between two requests: they double from 1 s on and never end.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The secrets of this node.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    /// With their ends, in ms since the Unix epoch, where they are not needed any more.
    held: BTreeMap<SecretId, Option<i64>>,
    active: Option<SecretId>,
    /// Made by this node and not announced.
    made: Option<SecretId>,
    wanted: BTreeSet<SecretId>,
    tries: u32,
    next_ask: Option<Instant>,
    /// The last that was asked was this one among those that have it.
    turn: usize,
}

impl Secrets {
    pub(crate) fn new(held: BTreeMap<SecretId, Option<i64>>, active: Option<SecretId>, made: Option<SecretId>) -> Self {
        let active = active.filter(|id| held.contains_key(id));
        let made = made.filter(|id| held.contains_key(id));
        Self { held, active, made, ..Self::default() }
    }

    pub(crate) fn has(&self, id: &SecretId) -> bool {
        self.held.contains_key(id)
    }

    /// All that this node can open messages by.
    pub(crate) fn held(&self) -> impl Iterator<Item = SecretId> {
        self.held.keys().copied()
    }

    pub(crate) fn active(&self) -> Option<SecretId> {
        self.active
    }

    pub(crate) fn made(&self) -> Option<SecretId> {
        self.made
    }

    pub(crate) fn set_made(&mut self, made: Option<SecretId>) {
        self.made = made;
    }

    pub(crate) fn hold(&mut self, id: SecretId) {
        self.held.insert(id, None);
        self.wanted.remove(&id);
        if self.wanted.is_empty() {
            self.next_ask = None;
        }
    }

    pub(crate) fn drop(&mut self, id: &SecretId) {
        self.held.remove(id);
    }

    pub(crate) fn activate(&mut self, id: SecretId) {
        self.active = Some(id);
    }

    /// Sets or takes the end of a secret; says whether that is a change.
    pub(crate) fn set_end(&mut self, id: &SecretId, until_ms: Option<i64>) -> bool {
        let Some(end) = self.held.get_mut(id) else { return false };
        let is_change = end.is_some() != until_ms.is_some();
        if is_change {
            *end = until_ms;
        }
        is_change
    }

    /// Secrets whose end has come.
    pub(crate) fn ended(&self, now: Now) -> Vec<SecretId> {
        let is_over = |until: &Option<i64>| until.is_some_and(|until| until <= now.unix_ms);
        self.held.iter().filter(|(_, until)| is_over(until)).map(|(id, _)| *id).collect()
    }

    /// What this node should have and does not. What is new is asked for at once.
    pub(crate) fn want(&mut self, ids: BTreeSet<SecretId>, now: Now) {
        let ids: BTreeSet<_> = ids.into_iter().filter(|id| !self.has(id)).collect();
        if ids.difference(&self.wanted).next().is_some() {
            (self.tries, self.next_ask) = (0, Some(now.at));
        }
        if ids.is_empty() {
            self.next_ask = None;
        }
        self.wanted = ids;
    }

    pub(crate) fn wanted(&self) -> impl Iterator<Item = SecretId> {
        self.wanted.iter().copied()
    }

    pub(crate) fn wants(&self, id: &SecretId) -> bool {
        self.wanted.contains(id)
    }

    pub(crate) fn next_ask(&self) -> Option<Instant> {
        self.next_ask
    }

    /// Counts a request by the clock; gives whose turn it is.
    pub(crate) fn ask(&mut self, now: Now) -> usize {
        let wait = Duration::from_secs(1 << self.tries.min(5)).min(LONGEST_WAIT);
        self.tries = self.tries.saturating_add(1);
        self.next_ask = Some(now.at + wait);
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use super::Secrets;
    use crate::model::{CheckValue, Now, SecretId};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start; from there on time is given")]
    fn what_is_wanted_is_asked_for_at_once_and_then_ever_more_rarely() {
        let id = SecretId { generation: 1, check: CheckValue::new([1; 8]) };
        let mut now = Now { at: Instant::now(), unix_ms: 0 };
        let mut secrets = Secrets::new(BTreeMap::new(), Some(id), Some(id));
        assert_eq!((secrets.active(), secrets.made()), (None, None), "nothing is had whose bytes are gone");
        secrets.want([id].into(), now);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let at = secrets.next_ask().unwrap();
            waits.push((at - now.at).as_secs());
            now.at = at;
            secrets.ask(now);
            secrets.want([id].into(), now);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 30, 30]);
        secrets.hold(id);
        assert_eq!(secrets.next_ask(), None, "nothing is left to ask for");
        secrets.want([id].into(), now + Duration::ZERO);
        assert_eq!(secrets.next_ask(), None);
    }

    impl std::ops::Add<Duration> for Now {
        type Output = Self;

        fn add(self, time: Duration) -> Self {
            Self { at: self.at + time, unix_ms: self.unix_ms + i64::try_from(time.as_millis()).unwrap() }
        }
    }
}
