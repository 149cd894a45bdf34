//! What to do next: which name gets an order, by which challenge, when the authority is asked when to renew, and when nothing is
//! due. Pure: times are in Unix seconds and handed in, and so are random numbers.
//!
//! One order is under way at a time. Names of the configuration and renewals go first; new certificates for routes have budgets
//! that a service cannot exceed by any means ([`ledger`]). A name that fails waits longer each time and holds up no other.

mod ledger;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use ledger::{Challenge, Ledger, Tries};
use ledger::{Ordered, WEEK};
pub(super) use timing::{DAY, HOUR, Life, Window};
use timing::{back_off, renew_at};

use crate::clock;

/// Orders within an hour, in all.
pub(super) const HOURLY: usize = 10;
/// Of these, new ones for routes: the others are left to renewals and the configuration's names.
const HOURLY_NEW: usize = 5;
/// New names for routes within a week.
const WEEKLY_NEW: usize = 20;
/// Certificates for the routes of one service.
const OF_SERVICE: usize = 5;
/// How long a route must stand before it causes an order.
const STANDING: i64 = 60;
/// Between two questions when to renew (RFC 9773 §4.3.2 lets the authority say so; Let's Encrypt says 6 h).
const ASK_EVERY: i64 = 6 * HOUR;
/// How long a new certificate is kept at least, if its life is long enough: an authority may always say that it be renewed now.
const KEEP_FOR: i64 = 6 * HOUR;
/// The longest pause that an authority may ask for.
const LONGEST_PAUSE: i64 = 7 * DAY;
/// Looked at again at least so often: clocks are set.
const LONGEST_WAIT: i64 = HOUR;

/// A name that is to have a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The service whose routes are bound to it; `None`: the configuration names it.
    pub(super) service: Option<String>,
    /// Since when its route has stood without a break; `None`: it does not stand now.
    pub(super) standing_since: Option<i64>,
}

/// A certificate that there is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) life: Life,
    /// For whom it was got.
    pub(super) service: Option<String>,
    /// When the authority wants it to be renewed.
    pub(super) window: Option<Window>,
    /// Whether it is of another authority than is configured: then it is renewed at once.
    pub(super) is_foreign: bool,
    /// Where within the window: from 0 to 1, the same for one certificate after each start.
    pub(super) fraction: f64,
    /// When the authority is asked next.
    pub(super) ask_at: i64,
}

impl Held {
    fn renew_at(&self) -> i64 {
        if self.is_foreign { i64::MIN } else { renew_at(&self.life, self.window, self.fraction) }
    }
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Order a certificate.
    Order { name: String, challenge: Challenge, kind: Kind },
    /// Ask the authority when it wants this one to be renewed.
    Ask { name: String },
    /// Nothing before then.
    Wait { until: i64 },
}

/// What an order is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name of the configuration, or a certificate that there is already.
    Own,
    /// The first one for a route of this service: whether the name leads here is looked at first.
    New { service: String },
}

/// Why an order came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) why: String,
    pub(super) kind: FailureKind,
    /// How long the authority wants to be left alone.
    pub(super) retry_after: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The authority did not find the answer, or does not offer this challenge: the other one may do.
    Challenge,
    RateLimited,
    Unreachable,
    Other,
}

/// How a name is, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) next: Option<i64>,
    pub(super) last_error: Option<String>,
}

/// Names, certificates, and what was tried.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The challenge that a name begins with.
    pub(super) first_challenge: Challenge,
    ledger: Ledger,
    wanted: BTreeMap<String, Wanted>,
    held: BTreeMap<String, Held>,
    /// An operator asked for these.
    asked: BTreeSet<String>,
}

impl Plan {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// What must outlive the process.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(super) fn set_wanted(&mut self, wanted: BTreeMap<String, Wanted>) {
        self.wanted = wanted;
        let Self { wanted, held, asked, .. } = self;
        asked.retain(|name| wanted.contains_key(name));
        self.ledger.keep_tries(|name| wanted.contains_key(name) || held.contains_key(name));
    }

    pub(super) fn wanted(&self) -> &BTreeMap<String, Wanted> {
        &self.wanted
    }

    /// A certificate that was kept.
    pub(super) fn hold(&mut self, name: &str, held: Held) {
        self.held.insert(name.to_owned(), held);
    }

    /// The same, unless it is known: what the authority said of it, and when, is kept. One that was of another authority is not.
    pub(super) fn hold_as(&mut self, name: &str, held: Held) {
        match self.held.get(name) {
            Some(known) if known.life == held.life && known.is_foreign == held.is_foreign => {}
            _ => self.hold(name, held),
        }
    }

    /// What another process has ordered meanwhile.
    pub(super) fn set_ledger(&mut self, ledger: Ledger) {
        self.ledger = ledger;
    }

    pub(super) fn let_go(&mut self, name: &str) {
        self.held.remove(name);
    }

    /// An operator wants another certificate for it now.
    pub(super) fn ask(&mut self, name: &str) {
        if self.wanted.contains_key(name) {
            self.asked.insert(name.to_owned());
        }
    }

    /// What to do at `now`.
    pub(super) fn next(&mut self, now: i64) -> Step {
        self.ledger.settle(now);
        let mut until = now + LONGEST_WAIT;
        let mut due: Vec<(bool, i64, &str, Kind)> = Vec::new();
        for (name, wanted) in &self.wanted {
            let kind = self.kind(name, wanted);
            if self.refusal(name, &kind, now).is_some() {
                continue;
            }
            match self.due_at(name, wanted, &kind, now) {
                Some(at) if at <= now => due.push((kind != Kind::Own, at, name, kind)),
                Some(at) => until = until.min(at),
                None => {}
            }
        }
        due.sort_by(|one, other| (one.0, one.1, one.2).cmp(&(other.0, other.1, other.2)));
        for (is_new, _, name, kind) in due {
            let free_at = self.free_at(is_new, now);
            if free_at <= now {
                let challenge = self.ledger.tries(name).map_or(self.first_challenge, |tries| tries.challenge);
                return Step::Order { name: name.to_owned(), challenge, kind };
            }
            until = until.min(free_at);
        }
        for (name, held) in self.held.iter().filter(|(name, _)| self.wanted.contains_key(*name)) {
            // A clock that was set back far must not end the questions.
            if held.ask_at <= now || held.ask_at > now + 2 * DAY {
                return Step::Ask { name: name.clone() };
            }
            until = until.min(held.ask_at);
        }
        Step::Wait { until }
    }

    /// An order begins; it counts from now on, whatever becomes of it. What the ledger says must be kept before the authority is
    /// asked: a furt that is started again and again must not order again and again.
    pub(super) fn begin(&mut self, name: &str, kind: &Kind, now: i64) {
        let service = match kind {
            Kind::Own => None,
            Kind::New { service } => Some(service.clone()),
        };
        self.ledger.add(Ordered { at: now, name: name.to_owned(), service });
        self.asked.remove(name);
        // Until it is known what became of it: furt may end before.
        let tries = self.ledger.tries_mut(name, self.first_challenge);
        tries.retry_at = tries.retry_at.max(now + back_off(tries.failures + 1, 0.5));
    }

    /// An order was under way when furt was told to end. It counts, and the process that comes next may begin it again at once; after a
    /// crash it waits, since furt may have ended for it.
    pub(super) fn cut(&mut self, name: &str, now: i64) {
        self.ledger.tries_mut(name, self.first_challenge).retry_at = now;
    }

    /// There is a certificate.
    pub(super) fn issued(&mut self, name: &str, held: Held, now: i64, random: f64) {
        let at = held.renew_at();
        let keep_for = (held.life.length() / 3).min(KEEP_FOR);
        self.held.insert(name.to_owned(), held);
        let tries = self.ledger.tries_mut(name, self.first_challenge);
        if at > now {
            *tries = Tries { challenge: tries.challenge, retry_at: now + keep_for, ..Tries::default() };
            return;
        }
        tries.failures += 1;
        tries.retry_at = now + back_off(tries.failures, random);
        tries.error = Some(format!(
            "the authority's new certificate is to be renewed at {}, which has passed; is this machine's clock right?",
            clock::rfc3339(at.saturating_mul(1000))
        ));
    }

    /// An order came to nothing.
    pub(super) fn failed(&mut self, name: &str, failure: Failure, now: i64, random: f64) {
        let first = self.first_challenge;
        let tries = self.ledger.tries_mut(name, first);
        tries.failures += 1;
        let mut wait = back_off(tries.failures, random);
        if failure.kind == FailureKind::Challenge {
            tries.challenge = tries.challenge.other();
            // The other one is worth a try at once, and once.
            if tries.failures == 1 {
                wait = 1;
            }
        }
        let pause = failure.retry_after.unwrap_or(0).clamp(0, LONGEST_PAUSE);
        tries.retry_at = now + wait.max(pause);
        tries.error = Some(failure.why);
    }

    /// The name does not lead here: nothing was ordered.
    pub(super) fn unreached(&mut self, name: &str, why: String, now: i64, random: f64) {
        let tries = self.ledger.tries_mut(name, self.first_challenge);
        tries.failures += 1;
        tries.retry_at = now + back_off(tries.failures, random);
        tries.error = Some(why);
    }

    /// The authority was asked when to renew; `None`: it does not say. `retry_after` is when it wants to be asked again.
    pub(super) fn answered(&mut self, name: &str, window: Option<Window>, retry_after: Option<i64>, now: i64) {
        if let Some(held) = self.held.get_mut(name) {
            held.window = window.or(held.window);
            held.ask_at = now + retry_after.unwrap_or(0).clamp(ASK_EVERY, DAY);
        }
    }

    /// The authority could not be asked: it is left alone for a while, with every certificate.
    pub(super) fn unanswered(&mut self, now: i64) {
        for held in self.held.values_mut() {
            held.ask_at = held.ask_at.max(now + HOUR);
        }
    }

    /// How a name is at `now`.
    pub(super) fn view(&self, name: &str, now: i64) -> View {
        let tries = self.ledger.tries(name);
        let last_error = tries.and_then(|tries| tries.error.clone());
        let Some(wanted) = self.wanted.get(name) else { return View { next: None, last_error } };
        let kind = self.kind(name, wanted);
        if let Some(why) = self.refusal(name, &kind, now) {
            return View { next: None, last_error: Some(why) };
        }
        let is_new = kind != Kind::Own;
        let next = self.due_at(name, wanted, &kind, now).map(|at| at.max(now).max(self.free_at(is_new, now)));
        View { next, last_error }
    }

    /// Whether the authority has said when to renew it.
    pub(super) fn has_window(&self, name: &str) -> bool {
        self.held.get(name).is_some_and(|held| held.window.is_some())
    }

    /// Whether the last order for it failed.
    pub(super) fn has_failed(&self, name: &str) -> bool {
        self.ledger.tries(name).is_some_and(|tries| tries.failures > 0)
    }

    fn kind(&self, name: &str, wanted: &Wanted) -> Kind {
        match &wanted.service {
            Some(service) if !self.held.contains_key(name) => Kind::New { service: service.clone() },
            _ => Kind::Own,
        }
    }

    /// When the name is due; `None`: its route must stand first.
    fn due_at(&self, name: &str, wanted: &Wanted, kind: &Kind, now: i64) -> Option<i64> {
        if self.asked.contains(name) {
            return Some(now);
        }
        let tries = self.ledger.tries(name);
        // What another authority gave need not be kept.
        let must_wait = |tries: &&Tries| tries.failures > 0 || self.held.get(name).is_none_or(|held| !held.is_foreign);
        let retry_at = tries.filter(must_wait).map_or(i64::MIN, |tries| tries.retry_at);
        let due = match (self.held.get(name), kind) {
            (Some(held), _) => held.renew_at(),
            (None, Kind::Own) => i64::MIN,
            (None, Kind::New { .. }) => wanted.standing_since? + STANDING,
        };
        Some(due.max(retry_at))
    }

    /// When the next order may begin.
    fn free_at(&self, is_new: bool, now: i64) -> i64 {
        let of_all = self.ledger.free_at(HOURLY, HOUR, now, |_| true);
        if !is_new {
            return of_all;
        }
        of_all.max(self.ledger.free_at(HOURLY_NEW, HOUR, now, |one| one.service.is_some()))
    }

    /// Why a name gets no order, whatever the time.
    fn refusal(&self, name: &str, kind: &Kind, now: i64) -> Option<String> {
        let Kind::New { service } = kind else { return None };
        let held = self.held.values().filter(|held| held.service.as_ref() == Some(service));
        // What was ordered and is not there yet may be there soon.
        let pending = self.ledger.names_since(now - WEEK, |one| one.service.as_ref() == Some(service));
        let pending = pending.iter().filter(|other| **other != name && !self.held.contains_key(**other)).count();
        if held.count() + pending >= OF_SERVICE {
            return Some(format!(
                "the service {service} has {OF_SERVICE} certificates already, the most that one gets"
            ));
        }
        let new = self.ledger.names_since(now - WEEK, |one| one.service.is_some());
        if new.len() >= WEEKLY_NEW && !new.contains(name) {
            return Some(format!(
                "there were {WEEKLY_NEW} new certificates for routes within a week, the most there are"
            ));
        }
        None
    }
}
