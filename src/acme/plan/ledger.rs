//! What was ordered, and what came of it for each name: kept on disk, so that restarts neither forget a budget nor a wait.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::timing::DAY;

/// How long an order is remembered.
pub(super) const WEEK: i64 = 7 * DAY;
/// Orders that are remembered. 10 an hour are 1,680 a week.
const MOST_ORDERS: usize = 2_000;

/// How furt shows that a name leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::acme) enum Challenge {
    /// On port 443 (RFC 8737).
    TlsAlpn01,
    /// On port 80 (RFC 8555 §8.3).
    #[default]
    Http01,
}

impl Challenge {
    pub(super) fn other(self) -> Self {
        match self {
            Self::TlsAlpn01 => Self::Http01,
            Self::Http01 => Self::TlsAlpn01,
        }
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ordered {
    pub(super) at: i64,
    pub(super) name: String,
    /// The service, where it was the first one for a route of it.
    pub(super) service: Option<String>,
}

/// What came of a name's orders.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::acme) struct Tries {
    /// Since the last certificate.
    pub(super) failures: u32,
    pub(super) retry_at: i64,
    /// The challenge that is used next.
    pub(super) challenge: Challenge,
    pub(super) error: Option<String>,
}

/// All of it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::acme) struct Ledger {
    /// The oldest first.
    orders: Vec<Ordered>,
    tries: BTreeMap<String, Tries>,
}

impl Ledger {
    /// Forgets what is too old. A clock that was ahead leaves times of the future behind: they count as of now, so that they pass.
    pub(super) fn settle(&mut self, now: i64) {
        for one in &mut self.orders {
            one.at = one.at.min(now);
        }
        let excess = self.orders.len().saturating_sub(MOST_ORDERS);
        self.orders.drain(..excess);
        self.orders.retain(|one| one.at > now - WEEK);
        for tries in self.tries.values_mut() {
            // No wait is longer.
            if tries.retry_at > now + WEEK {
                tries.retry_at = now;
            }
        }
    }

    pub(super) fn add(&mut self, order: Ordered) {
        self.orders.push(order);
    }

    pub(super) fn keep_tries(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.tries.retain(|name, _| is_kept(name));
    }

    pub(super) fn tries(&self, name: &str) -> Option<&Tries> {
        self.tries.get(name)
    }

    pub(super) fn tries_mut(&mut self, name: &str, first: Challenge) -> &mut Tries {
        self.tries.entry(name.to_owned()).or_insert_with(|| Tries { challenge: first, ..Tries::default() })
    }

    /// When fewer than `most` of those that count have begun within `span` seconds.
    pub(super) fn free_at(&self, most: usize, span: i64, now: i64, counts: impl Fn(&Ordered) -> bool) -> i64 {
        let recent: Vec<_> = self.orders.iter().filter(|one| one.at > now - span && counts(one)).collect();
        match recent.len().checked_sub(most) {
            None => now,
            Some(over) => recent[over].at + span,
        }
    }

    /// The names of those that count, each once.
    pub(super) fn names_since(&self, since: i64, counts: impl Fn(&Ordered) -> bool) -> BTreeSet<&str> {
        let recent = self.orders.iter().filter(|one| one.at > since && counts(one));
        recent.map(|one| one.name.as_str()).collect()
    }
}
