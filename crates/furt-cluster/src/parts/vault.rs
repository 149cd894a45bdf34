//! When this node asks for a token of a Vault, whom it asked, and whom it made one for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{Fingerprint, Now};

/// For an answer: who is asked speaks to a Vault first. Its answer is taken so long, and nobody else is asked: each question makes
/// a token.
pub(crate) const ANSWER: Duration = Duration::from_secs(20);
/// The longest wait between two looks for somebody to ask.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Between two tokens that are made for one node.
pub(crate) const MAKE_GAP: Duration = Duration::from_secs(15);
/// Tokens that are made at a time, for all nodes.
const MAX_MAKING: usize = 16;

/// Tokens of a Vault, without their bytes.
#[derive(Debug, Default)]
pub(crate) struct VaultTokens {
    next_ask: Option<Instant>,
    tries: u32,
    turn: usize,
    asked: Option<(Fingerprint, Instant)>,
    /// When one was begun for a node.
    begun: BTreeMap<Fingerprint, Instant>,
    making: BTreeMap<Fingerprint, Instant>,
}

impl VaultTokens {
    /// This node wants one, from now on.
    pub(crate) fn want(&mut self, now: Now) {
        if self.next_ask.is_none() {
            (self.tries, self.next_ask) = (0, Some(now.at));
        }
    }

    /// It has one, or no Vault.
    pub(crate) fn rest(&mut self) {
        (self.next_ask, self.asked) = (None, None);
    }

    pub(crate) fn next_ask(&self) -> Option<Instant> {
        self.next_ask
    }

    /// Nobody could be asked.
    pub(crate) fn wait(&mut self, now: Now) {
        let wait = Duration::from_secs(1 << self.tries.min(5)).min(LONGEST_WAIT);
        self.tries = self.tries.saturating_add(1);
        self.next_ask = Some(now.at + wait);
    }

    /// Whose turn it is among those that may be asked.
    pub(crate) fn turn(&mut self) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn
    }

    /// This one was asked.
    pub(crate) fn note_asked(&mut self, whom: Fingerprint, now: Now) {
        self.asked = Some((whom, now.at + ANSWER));
        self.next_ask = Some(now.at + ANSWER);
    }

    /// Whether this is the one answer that is waited for. Where it turns out to be worth nothing, this node still wants one and asks
    /// again when the time is up.
    pub(crate) fn take_answer(&mut self, from: &Fingerprint, now: Now) -> bool {
        self.asked.take_if(|(whom, until)| whom == from && now.at <= *until).is_some()
    }

    /// Whether one is begun for this node now.
    pub(crate) fn begin(&mut self, to: Fingerprint, now: Now) -> bool {
        let is_recent = |at: &Instant| now.at.saturating_duration_since(*at) < MAKE_GAP;
        self.begun.retain(|_, at| is_recent(at));
        self.making.retain(|_, at| now.at.saturating_duration_since(*at) < 2 * ANSWER);
        let may = !self.begun.contains_key(&to) && !self.making.contains_key(&to) && self.making.len() < MAX_MAKING;
        if may {
            self.begun.insert(to, now.at);
            self.making.insert(to, now.at);
        }
        may
    }

    /// Whether one was begun for this node, and is still of use: it was asked for no longer ago than answers are taken.
    pub(crate) fn end(&mut self, to: &Fingerprint, now: Now) -> bool {
        self.making.remove(to).is_some_and(|at| now.at.saturating_duration_since(at) < ANSWER)
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn is_bounded(&self) -> bool {
        self.making.len() <= MAX_MAKING
    }
}
