//! The arbiter of generations: a log of the broker that every node reads in the same order.
//!
//! A bid is appended; then the log is read up to it. It is granted if no valid bid before it was for its generation or for a greater
//! one of the same series. Nobody decides for another node.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use furt_bus::{Bus, Entry, Outcome, Outgoing, Properties, ReadingEnd, Ticket};
use furt_cluster::model::{ClusterId, Fingerprint, Scope};
use furt_cluster::{AskId, Bid, Ruling};
use furt_seal::{Seal, SignedBid, read_bid};

/// For an answer of the broker and the reading of the whole log.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until a bid that the log does not have is appended again. A broker can answer for one and lose it with the log's leader.
const AGAIN: Duration = Duration::from_secs(3);
/// Readings of a bid's that may fail. A broker that has just come back may have no part of the log for a moment.
const MOST_FAILURES: u8 = 2;
/// Winners that are remembered of a series, the latest ones.
const MOST_WINNERS: usize = 64;
/// Series that are remembered: the secret's, the cluster's and those of as many nodes as there can be.
const MOST_SERIES: usize = 300;

/// A question, with its answer.
pub(super) type Answered = (AskId, Ruling);

/// Which generations are given, as far as the log was read.
#[derive(Debug, Default)]
struct Ledger {
    next: u64,
    /// The first bid of each generation that was greater than all before. `None`: the secret's series.
    winners: BTreeMap<Option<Scope>, BTreeMap<u64, SignedBid>>,
}

impl Ledger {
    fn take(&mut self, offset: u64, bid: Option<SignedBid>) {
        self.next = self.next.max(offset.saturating_add(1));
        let Some(bid) = bid else { return };
        let (series, generation) = place(&bid.bid);
        if !self.winners.contains_key(&series) && self.winners.len() >= MOST_SERIES {
            return;
        }
        let winners = self.winners.entry(series).or_default();
        if winners.last_key_value().is_none_or(|(greatest, _)| *greatest < generation) {
            winners.insert(generation, bid);
            if winners.len() > MOST_WINNERS {
                winners.pop_first();
            }
        }
    }

    /// What becomes of a bid that was read.
    fn ruling(&self, bid: &SignedBid) -> Ruling {
        let (series, generation) = place(&bid.bid);
        let winners = self.winners.get(&series);
        let has_won = winners.and_then(|winners| winners.get(&generation)) == Some(bid);
        let greatest = winners.and_then(|winners| winners.last_key_value()).map_or(0, |(greatest, _)| *greatest);
        if has_won { Ruling::Granted } else { Ruling::Taken(greatest) }
    }
}

fn place(bid: &Bid) -> (Option<Scope>, u64) {
    match bid {
        Bid::Secret(id) => (None, id.generation),
        Bid::Settings(scope, id) => (Some(*scope), id.generation),
    }
}

/// How far the bid that is under way has come.
#[derive(Debug, PartialEq)]
enum Phase {
    Appending(Ticket),
    /// Until then without an entry.
    Reading(Instant),
}

#[derive(Debug)]
struct Asking {
    ask: AskId,
    bid: SignedBid,
    entry: Outgoing,
    until: Instant,
    phase: Phase,
    failures: u8,
}

/// Whoever asked waits no longer than for one that is under way.
#[derive(Debug)]
struct Waiting {
    ask: AskId,
    cluster: ClusterId,
    bid: Bid,
    until: Instant,
}

/// One bid is under way at a time; the others wait.
#[derive(Debug)]
pub(super) struct Arbiter {
    log: String,
    ledger: Ledger,
    waiting: VecDeque<Waiting>,
    asking: Option<Asking>,
    /// Why there is no log.
    trouble: Option<String>,
}

impl Arbiter {
    pub(super) fn new(log: String) -> Self {
        let (ledger, waiting) = (Ledger::default(), VecDeque::new());
        Self { log, ledger, waiting, asking: None, trouble: None }
    }

    /// When [`Self::pass_deadline`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asking.as_ref().map(|asking| match asking.phase {
            Phase::Reading(again) => again.min(asking.until),
            Phase::Appending(_) => asking.until,
        })
    }

    /// Asks for a generation.
    pub(super) fn ask(&mut self, ask: AskId, cluster: ClusterId, bid: Bid, now: Instant) {
        self.waiting.push_back(Waiting { ask, cluster, bid, until: now + PATIENCE });
    }

    /// Begins with the next bid where none is under way. The answers of those that cannot be begun.
    pub(super) fn advance<B: Bus>(&mut self, seal: &Seal, bus: &mut B, now: Instant) -> Vec<Answered> {
        let mut answered = Vec::new();
        while self.asking.is_none() {
            let Some(Waiting { ask, cluster, bid, until }) = self.waiting.pop_front() else { break };
            if until <= now {
                answered.push((ask, late()));
                continue;
            }
            if let Some(why) = &self.trouble {
                answered.push((ask, unreachable(why.clone())));
                continue;
            }
            let entry = Outgoing {
                properties: Properties { content_type: Some("application/json".to_owned()), ..Properties::default() },
                body: seal.bid(cluster, &bid),
                ..Outgoing::default()
            };
            let by = seal.fingerprint();
            match bus.append(&self.log, entry.clone()) {
                Err(why) => answered.push((ask, unreachable(why.to_string()))),
                Ok(ticket) => {
                    let (bid, phase) = (SignedBid { cluster, bid, by }, Phase::Appending(ticket));
                    self.asking = Some(Asking { ask, bid, entry, until, phase, failures: 0 });
                }
            }
        }
        answered
    }

    /// Whether there is a log.
    pub(super) fn found(&mut self, log: &str, result: Result<(), String>) {
        if log == self.log {
            self.trouble = result.err().map(|why| format!("the broker has no log {log}: {why}"));
        }
    }

    /// What became of a message that was published.
    pub(super) fn published<B: Bus>(
        &mut self,
        ticket: Ticket,
        outcome: &Outcome,
        bus: &mut B,
        now: Instant,
    ) -> Option<Answered> {
        let asking = self.asking.as_mut().filter(|asking| asking.phase == Phase::Appending(ticket))?;
        match outcome {
            // The log alone says whether it is there.
            Outcome::Taken | Outcome::Unknown => {
                asking.phase = Phase::Reading(now + AGAIN);
                bus.read_log(&self.log, self.ledger.next);
                None
            }
            Outcome::Unroutable => self.end(unreachable("the log does not take the bid".to_owned())),
            Outcome::Refused(why) => self.end(unreachable(why.clone())),
            Outcome::NotSent => self.end(unreachable("the bid was not sent".to_owned())),
        }
    }

    /// The next entry. `may_bid` says whose bids count.
    pub(super) fn read<B: Bus>(
        &mut self,
        entry: &Entry,
        may_bid: impl Fn(&Fingerprint) -> bool,
        bus: &mut B,
        now: Instant,
    ) -> Option<Answered> {
        if entry.log != self.log {
            return None;
        }
        let cluster = self.asking.as_ref().map(|asking| asking.bid.cluster);
        let bid = entry.message.as_ref().ok().and_then(|message| read_bid(&message.body));
        let bid = bid.filter(|bid| Some(bid.cluster) == cluster && may_bid(&bid.by));
        self.ledger.take(entry.offset, bid);
        let asking = self.asking.as_mut()?;
        let Phase::Reading(again) = &mut asking.phase else { return None };
        if bid != Some(asking.bid) {
            *again = now + AGAIN;
            return None;
        }
        let ruling = self.ledger.ruling(&asking.bid);
        bus.stop_log(&self.log);
        self.end(ruling)
    }

    /// A reading is over by itself.
    pub(super) fn reading_ended(&mut self, log: &str, why: &ReadingEnd) -> Option<Answered> {
        let asking =
            self.asking.as_mut().filter(|asking| log == self.log && matches!(asking.phase, Phase::Reading(_)))?;
        match why {
            ReadingEnd::Failed(_) if asking.failures < MOST_FAILURES => {
                asking.failures += 1;
                None
            }
            ReadingEnd::Failed(_) | ReadingEnd::Trimmed { .. } => self.end(unreachable(why.to_string())),
        }
    }

    /// The broker is gone: nobody knows whether the bid is in the log. Asked for again it is the same bid.
    pub(super) fn lost(&mut self) -> Option<Answered> {
        self.end(unreachable("the connection to the broker was lost".to_owned()))
    }

    /// Appends a bid again that the log does not have, or ends it.
    pub(super) fn pass_deadline<B: Bus>(&mut self, now: Instant, bus: &mut B) -> Option<Answered> {
        let asking = self.asking.as_mut()?;
        if asking.until > now {
            if let Phase::Reading(again) = &mut asking.phase
                && *again <= now
            {
                *again = now + AGAIN;
                // The first of its bids counts. Where none can be sent there is no connection, and all of this ends.
                _ = bus.append(&self.log, asking.entry.clone());
                bus.read_log(&self.log, self.ledger.next);
            }
            return None;
        }
        bus.stop_log(&self.log);
        // The log may have been made anew, and shorter.
        self.ledger = Ledger::default();
        self.end(late())
    }

    fn end(&mut self, ruling: Ruling) -> Option<Answered> {
        self.asking.take().map(|asking| (asking.ask, ruling))
    }
}

fn late() -> Ruling {
    unreachable(format!("the broker's log did not have the bid within {} s", PATIENCE.as_secs()))
}

fn unreachable(why: String) -> Ruling {
    Ruling::Unreachable(why.into())
}

#[cfg(test)]
mod tests {
    use furt_bus::{Event, PublishError, Receipt};
    use furt_cluster::model::{CheckValue, SecretId};

    use super::*;

    /// A bus on which nothing happens by itself: what is appended, and from where the log is read.
    #[derive(Default)]
    struct Silent {
        appended: Vec<Outgoing>,
        readings: Vec<u64>,
    }

    impl Bus for Silent {
        fn publish(&mut self, message: Outgoing) -> Result<Ticket, PublishError> {
            self.appended.push(message);
            Ok(Ticket(self.appended.len() as u64))
        }

        fn read_log(&mut self, _: &str, from: u64) {
            self.readings.push(from);
        }

        fn stop_log(&mut self, _: &str) {}

        fn ack(&mut self, _: Receipt) {}

        fn bind(&mut self, _: &str) {}

        fn unbind(&mut self, _: &str) {}

        fn is_up(&self) -> bool {
            true
        }

        async fn event(&mut self) -> Event {
            std::future::pending().await
        }

        async fn close(self) {}
    }

    /// One whose first append was answered, or not.
    fn reading(outcome: &Outcome, bus: &mut Silent, now: Instant) -> Arbiter {
        let mut arbiter = Arbiter::new("log".to_owned());
        let entry = Outgoing { body: b"bid".to_vec(), ..Outgoing::default() };
        let ticket = bus.append("log", entry.clone()).unwrap();
        let phase = Phase::Appending(ticket);
        let (ask, until) = (AskId(1), now + PATIENCE);
        arbiter.asking = Some(Asking { ask, bid: bid(2, 1, 1), entry, until, phase, failures: 0 });
        assert_eq!(arbiter.published(ticket, outcome, bus, now), None);
        arbiter
    }

    #[test]
    fn a_bid_that_the_log_does_not_have_is_appended_again_and_ends_at_last() {
        for outcome in [Outcome::Taken, Outcome::Unknown] {
            let (mut bus, now) = (Silent::default(), crate::clock::now());
            let mut arbiter = reading(&outcome, &mut bus, now);
            for tries in 1..=3 {
                let due = now + AGAIN * tries;
                assert_eq!(arbiter.deadline(), Some(due));
                assert_eq!(arbiter.pass_deadline(due, &mut bus), None);
            }
            assert_eq!((bus.appended.len(), &bus.readings[..]), (4, &[0; 4][..]));
            assert!(bus.appended.iter().all(|entry| entry == &bus.appended[0]));
            let ended = arbiter.pass_deadline(now + PATIENCE, &mut bus);
            assert!(matches!(ended, Some((AskId(1), Ruling::Unreachable(_)))), "{ended:?}");
            assert_eq!(arbiter.deadline(), None);
        }
    }

    #[test]
    fn who_waits_for_others_waits_no_longer_than_they_do() {
        let (mut bus, now) = (Silent::default(), crate::clock::now());
        let mut arbiter = Arbiter::new("log".to_owned());
        let seal = Seal::new(furt_seal::NodeKey::generate().unwrap());
        let SignedBid { cluster, bid, .. } = bid(2, 1, 1);
        for number in 1..=3 {
            arbiter.ask(AskId(number), cluster, bid, now);
        }
        assert_eq!(arbiter.advance(&seal, &mut bus, now), []);
        let later = now + PATIENCE;
        assert!(matches!(arbiter.pass_deadline(later, &mut bus), Some((AskId(1), Ruling::Unreachable(_)))));
        let ended: Vec<_> = arbiter.advance(&seal, &mut bus, later).into_iter().map(|(ask, _)| ask).collect();
        assert_eq!((ended, bus.appended.len(), arbiter.deadline()), (vec![AskId(2), AskId(3)], 1, None));
        arbiter.ask(AskId(4), cluster, bid, later);
        assert_eq!((arbiter.advance(&seal, &mut bus, later), bus.appended.len()), (vec![], 2));
    }

    #[test]
    fn a_reading_that_fails_is_begun_again_and_one_of_a_trimmed_log_is_not() {
        let failed = ReadingEnd::Failed("no replica".to_owned());
        let (mut bus, now) = (Silent::default(), crate::clock::now());
        let mut arbiter = reading(&Outcome::Taken, &mut bus, now);
        for _ in 0..MOST_FAILURES {
            assert_eq!(arbiter.reading_ended("log", &failed), None);
            let due = arbiter.deadline().unwrap();
            assert_eq!(arbiter.pass_deadline(due, &mut bus), None);
        }
        assert_eq!(bus.readings.len(), 1 + usize::from(MOST_FAILURES));
        let ended = arbiter.reading_ended("log", &failed);
        assert!(matches!(ended, Some((_, Ruling::Unreachable(why))) if why.contains("no replica")));
        let mut trimmed = reading(&Outcome::Taken, &mut bus, now);
        assert!(trimmed.reading_ended("log", &ReadingEnd::Trimmed { first: 9 }).is_some());
    }

    fn bid(generation: u64, check: u8, by: u8) -> SignedBid {
        let bid = Bid::Secret(SecretId { generation, check: CheckValue::new([check; 8]) });
        SignedBid { cluster: ClusterId(uuid::Uuid::nil()), bid, by: Fingerprint::new([by; 32]) }
    }

    #[test]
    fn the_first_bid_of_the_greatest_generation_wins() {
        let mut ledger = Ledger::default();
        let all = [bid(2, 1, 1), bid(2, 2, 2), bid(4, 3, 1), bid(3, 4, 2), bid(2, 1, 1), bid(5, 5, 2)];
        for (offset, bid) in (0..).zip(all) {
            ledger.take(offset, Some(bid));
        }
        ledger.take(9, None);
        assert_eq!(ledger.next, 10);
        let rulings: Vec<_> = all.iter().map(|bid| ledger.ruling(bid)).collect();
        use Ruling::{Granted, Taken};
        assert_eq!(rulings, [Granted, Taken(5), Granted, Taken(5), Granted, Granted]);
        // The same generation for the same content by another node is another bid.
        assert_eq!(ledger.ruling(&bid(2, 1, 2)), Taken(5));
        let settings = SignedBid {
            bid: Bid::Settings(
                Scope::Cluster,
                furt_cluster::model::SettingsId { generation: 1, digest: furt_cluster::model::Digest::new([0; 32]) },
            ),
            ..bid(1, 1, 1)
        };
        assert_eq!(ledger.ruling(&settings), Taken(0));
        ledger.take(10, Some(settings));
        assert_eq!(ledger.ruling(&settings), Granted, "each series has its own generations");
    }

    #[test]
    fn a_flood_of_series_and_generations_is_bounded() {
        let mut ledger = Ledger::default();
        for generation in 1..=1000 {
            ledger.take(generation, Some(bid(generation, 1, 1)));
        }
        assert_eq!(ledger.winners[&None].len(), MOST_WINNERS);
        assert_eq!(ledger.ruling(&bid(1000, 1, 1)), Ruling::Granted);
        assert_eq!(ledger.ruling(&bid(1, 1, 1)), Ruling::Taken(1000));
    }
}
