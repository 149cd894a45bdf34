//! Messages that the broker has not answered for. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Outcome, Ticket};

/// A broker that says nothing of a message for so long, while it lives, is short of memory or disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// The same for an entry of a log, whose leader may have died with it.
pub(super) const ENTRY_PATIENCE: Duration = Duration::from_secs(4);

struct InFlight {
    ticket: Ticket,
    key: String,
    body: Vec<u8>,
    is_returned: bool,
    kind: Kind,
    until: Instant,
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    /// For a log.
    Entry,
}

/// Those of one channel. The broker numbers them from 1.
#[derive(Default)]
pub(super) struct Confirms {
    last: u64,
    in_flight: BTreeMap<u64, InFlight>,
}

type Outcomes = Vec<(Ticket, Outcome)>;

impl Confirms {
    pub(super) fn sent(&mut self, ticket: Ticket, kind: Kind, key: String, body: Vec<u8>, now: Instant) {
        self.last += 1;
        let patience = if kind == Kind::Entry { ENTRY_PATIENCE } else { PATIENCE };
        let until = now + patience;
        self.in_flight.insert(self.last, InFlight { ticket, key, body, is_returned: false, kind, until });
    }

    /// The broker names no number here. It returns in the order of publishing, and before it confirms.
    pub(super) fn returned(&mut self, key: &str, body: &[u8]) {
        let is_it = |one: &&mut InFlight| !one.is_returned && one.key == key && one.body == body;
        if let Some(one) = self.in_flight.values_mut().find(is_it) {
            one.is_returned = true;
        }
    }

    pub(super) fn acked(&mut self, tag: u64, is_multiple: bool) -> Outcomes {
        let outcome = |one: &InFlight| if one.is_returned { Outcome::Unroutable } else { Outcome::Taken };
        self.answered(tag, is_multiple, outcome)
    }

    pub(super) fn nacked(&mut self, tag: u64, is_multiple: bool) -> Outcomes {
        self.answered(tag, is_multiple, |_| Outcome::Refused("a queue is full, or the broker lost it".to_owned()))
    }

    fn answered(&mut self, tag: u64, is_multiple: bool, outcome: impl Fn(&InFlight) -> Outcome) -> Outcomes {
        let first = if is_multiple { 0 } else { tag };
        let tags: Vec<u64> =
            if first > tag { Vec::new() } else { self.in_flight.range(first..=tag).map(|(tag, _)| *tag).collect() };
        let answered = tags.into_iter().filter_map(|tag| self.in_flight.remove(&tag));
        answered.map(|one| (one.ticket, outcome(&one))).collect()
    }

    /// The broker closed the channel over a message: it names the key, and has looked at nothing after it.
    pub(super) fn refused(&mut self, text: &str) -> Outcomes {
        let named = |one: &InFlight| !one.key.is_empty() && text.contains(&format!("'{}'", one.key));
        let in_flight = std::mem::take(self).in_flight.into_values().collect::<Vec<_>>();
        let only = (in_flight.len() == 1).then_some(0);
        let refused = in_flight.iter().position(named).or(only);
        let outcome = |at: usize| match refused {
            Some(refused) if at == refused => Outcome::Refused(text.to_owned()),
            Some(refused) if at > refused => Outcome::NotSent,
            Some(_) | None => Outcome::Unknown,
        };
        in_flight.iter().enumerate().map(|(at, one)| (one.ticket, outcome(at))).collect()
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) -> Outcomes {
        let lost = std::mem::take(self).in_flight.into_values();
        lost.map(|one| (one.ticket, if one.is_returned { Outcome::Unroutable } else { Outcome::Unknown })).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// When the first has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.in_flight.values().map(|one| one.until).min()
    }

    /// Whether an entry of a log has waited too long.
    pub(super) fn has_overdue_entry(&self, now: Instant) -> bool {
        self.in_flight.values().any(|one| one.kind == Kind::Entry && one.until <= now)
    }

    pub(super) fn overdue(&mut self, now: Instant) -> Outcomes {
        let overdue = self.in_flight.extract_if(.., |_, one| one.until <= now);
        overdue.map(|(_, one)| (one.ticket, Outcome::Unknown)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// Four, of which the second and the fourth are the same.
    fn four() -> Confirms {
        let mut confirms = Confirms::default();
        for (ticket, key) in [(1, "a"), (2, "b"), (3, "c"), (4, "b")] {
            confirms.sent(Ticket(ticket), Kind::Message, key.into(), b"body".into(), clock::now());
        }
        confirms
    }

    fn taken(tickets: &[u64]) -> Outcomes {
        tickets.iter().map(|ticket| (Ticket(*ticket), Outcome::Taken)).collect()
    }

    #[test]
    fn each_is_answered_once_alone_or_with_those_before() {
        let mut confirms = four();
        assert_eq!(confirms.acked(2, false), taken(&[2]));
        assert_eq!(confirms.acked(2, false), []);
        assert_eq!(confirms.acked(3, true), taken(&[1, 3]));
        assert!(matches!(&confirms.nacked(4, false)[..], [(Ticket(4), Outcome::Refused(_))]));
        assert!(confirms.is_empty() && confirms.acked(9, true).is_empty() && confirms.acked(0, false).is_empty());
    }

    #[test]
    fn a_returned_one_is_unroutable_when_it_is_answered() {
        let mut confirms = four();
        confirms.returned("b", b"other");
        confirms.returned("b", b"body");
        let outcomes = confirms.acked(4, true);
        assert_eq!(
            outcomes.iter().map(|(_, outcome)| outcome == &Outcome::Unroutable).collect::<Vec<_>>(),
            [false, true, false, false]
        );
    }

    #[test]
    fn what_came_after_a_refused_one_was_not_looked_at() {
        let outcomes = four().refused("ACCESS_REFUSED - access to topic 'c' in exchange 'node' refused");
        let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
        assert!(matches!(&outcomes[..], [Outcome::Unknown, Outcome::Unknown, Outcome::Refused(_), Outcome::NotSent]));
        assert!(four().refused("no key").iter().all(|(_, outcome)| outcome == &Outcome::Unknown));
        let mut one = Confirms::default();
        one.sent(Ticket(1), Kind::Message, "a".into(), Vec::new(), clock::now());
        assert!(matches!(one.refused("NOT_FOUND")[..], [(Ticket(1), Outcome::Refused(_))]));
        one.sent(Ticket(2), Kind::Message, "a".into(), Vec::new(), clock::now());
        assert_eq!(one.acked(1, false), taken(&[2]), "a new channel counts from 1");
    }

    #[test]
    fn nobody_knows_what_became_of_those_of_a_lost_connection_or_of_a_silent_broker() {
        let mut confirms = four();
        confirms.returned("a", b"body");
        let outcomes: Vec<_> = confirms.lost().into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(outcomes, [Outcome::Unroutable, Outcome::Unknown, Outcome::Unknown, Outcome::Unknown]);
        let mut confirms = four();
        let deadline = confirms.deadline().unwrap();
        assert_eq!(confirms.overdue(deadline - Duration::from_secs(1)), []);
        assert_eq!(confirms.overdue(deadline + Duration::from_secs(1)).len(), 4);
        assert_eq!((confirms.deadline(), confirms.acked(4, true)), (None, vec![]));
    }

    #[test]
    fn an_entry_of_a_log_is_waited_for_less_long() {
        let (mut confirms, now) = (four(), clock::now());
        confirms.sent(Ticket(5), Kind::Entry, "log".into(), Vec::new(), now);
        let due = now + ENTRY_PATIENCE;
        assert_eq!((confirms.deadline(), confirms.has_overdue_entry(now)), (Some(due), false));
        assert!(confirms.has_overdue_entry(due));
        assert_eq!(confirms.overdue(due), [(Ticket(5), Outcome::Unknown)]);
        assert!(!confirms.has_overdue_entry(due) && confirms.deadline() > Some(due));
    }
}
