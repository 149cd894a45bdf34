//! What waits for a node: its events, and how many messages of its own are under way.
//!
//! Bounded without a limit that could lose something: outcomes by the tickets that are given, deliveries by what the broker sends
//! ahead, and the rest is told once where it is the same.

use std::collections::{BTreeMap, VecDeque};
use std::mem::discriminant;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::bus::Event;
use crate::message::{Discard, Entry, MOST_IN_FLIGHT, Outcome, PublishError, ReadingEnd, Ticket};
use crate::trouble::Trouble;

/// Changes between up and down that wait. An older pair of them says nothing that the newer ones do not.
const MOST_CHANGES: usize = 16;

/// Names a reading of a log, so that nothing of one that was stopped is taken for the next one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading(u64);

#[derive(Debug, Default)]
struct Readings {
    last: u64,
    /// By the logs. Those that are not over.
    current: BTreeMap<String, Reading>,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    events: Mutex<VecDeque<Event>>,
    /// Taken before `events`, where both are.
    readings: Mutex<Readings>,
    arrived: Notify,
    is_up: AtomicBool,
    /// Tickets without an outcome that was taken.
    in_flight: AtomicUsize,
    last_ticket: AtomicU64,
}

impl Inbox {
    pub(crate) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    /// # Errors
    /// Nothing can be sent now.
    pub(crate) fn ticket(&self) -> Result<Ticket, PublishError> {
        if !self.is_up() {
            return Err(PublishError::Down);
        }
        let one_more = |count| (count < MOST_IN_FLIGHT).then_some(count + 1);
        self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).map_err(|_| PublishError::Full)?;
        Ok(Ticket(self.last_ticket.fetch_add(1, Ordering::Relaxed) + 1))
    }

    pub(crate) fn published(&self, ticket: Ticket, outcome: Outcome) {
        self.push(Event::Published { ticket, outcome });
    }

    pub(crate) fn up(&self) {
        self.is_up.store(true, Ordering::Release);
        self.changed(Event::Up);
    }

    /// The connection is over. What was delivered and not taken yet comes again, or is gone with its queue; readings are over.
    pub(crate) fn cut(&self) {
        self.is_up.store(false, Ordering::Release);
        self.events().retain(|event| !matches!(event, Event::Delivered(_)));
        let current: Vec<_> = self.readings().current.iter().map(|(log, reading)| (log.clone(), *reading)).collect();
        for (log, reading) in current {
            self.end_reading(&log, reading, ReadingEnd::Failed("the connection was lost".to_owned()));
        }
    }

    /// Begins one in place of the one before; without a connection it is over at once.
    pub(crate) fn begin_reading(&self, log: &str) -> Reading {
        let mut readings = self.readings();
        readings.last += 1;
        let reading = Reading(readings.last);
        readings.current.insert(log.to_owned(), reading);
        self.forget_entries(log);
        drop(readings);
        // After it was put down: a connection that is lost now ends it by itself.
        if !self.is_up() {
            self.end_reading(log, reading, ReadingEnd::Failed("there is no connection to the broker".to_owned()));
        }
        reading
    }

    pub(crate) fn stop_reading(&self, log: &str) {
        let mut readings = self.readings();
        readings.current.remove(log);
        self.forget_entries(log);
    }

    fn forget_entries(&self, log: &str) {
        self.events().retain(|event| !matches!(event, Event::Logged(entry) if entry.log == log));
    }

    pub(crate) fn is_current(&self, log: &str, reading: Reading) -> bool {
        self.readings().current.get(log) == Some(&reading)
    }

    /// An entry for a reading; for one that is over it is nobody's.
    pub(crate) fn logged(&self, reading: Reading, entry: Entry) {
        let readings = self.readings();
        if readings.current.get(&entry.log) == Some(&reading) {
            self.push(Event::Logged(Box::new(entry)));
        }
    }

    pub(crate) fn end_reading(&self, log: &str, reading: Reading, why: ReadingEnd) {
        let mut readings = self.readings();
        if readings.current.get(log) == Some(&reading) {
            readings.current.remove(log);
            self.push(Event::ReadingEnded { log: log.to_owned(), why });
        }
    }

    pub(crate) fn down(&self, trouble: Trouble) {
        self.cut();
        self.changed(Event::Down(trouble));
    }

    fn changed(&self, event: Event) {
        let mut events = self.events();
        let is_change = |event: &Event| matches!(event, Event::Up | Event::Down(_));
        if events.iter().filter(|event| is_change(event)).count() == MOST_CHANGES
            && let Some(oldest) = events.iter().position(is_change)
        {
            events.remove(oldest);
        }
        events.push_back(event);
        drop(events);
        self.arrived.notify_one();
    }

    pub(crate) fn discarded(&self, queue: &str, why: Discard) {
        let mut events = self.events();
        for event in &mut *events {
            if let Event::Discarded { queue: same, why: first, count } = event
                && same == queue
                && discriminant(first) == discriminant(&why)
            {
                *count += 1;
                return;
            }
        }
        events.push_back(Event::Discarded { queue: queue.to_owned(), why, count: 1 });
        drop(events);
        self.arrived.notify_one();
    }

    pub(crate) fn push(&self, event: Event) {
        self.events().push_back(event);
        self.arrived.notify_one();
    }

    pub(crate) async fn next(&self) -> Event {
        loop {
            if let Some(event) = self.pop() {
                return event;
            }
            self.arrived.notified().await;
        }
    }

    fn pop(&self) -> Option<Event> {
        let event = self.events().pop_front()?;
        if matches!(event, Event::Published { .. }) {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
        }
        Some(event)
    }

    /// As [`Self::events`].
    fn readings(&self) -> MutexGuard<'_, Readings> {
        self.readings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing panics while it is held; were it so, the events would still be whole.
    fn events(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Receipt;

    #[test]
    fn a_place_is_free_again_when_an_outcome_is_taken() {
        let inbox = Inbox::default();
        assert_eq!(inbox.ticket(), Err(PublishError::Down));
        inbox.up();
        let tickets: Vec<_> = (0..MOST_IN_FLIGHT).map(|_| inbox.ticket().unwrap()).collect();
        assert_eq!(inbox.ticket(), Err(PublishError::Full));
        inbox.published(tickets[0], Outcome::Taken);
        assert_eq!(inbox.ticket(), Err(PublishError::Full), "nobody took it yet");
        assert_eq!(inbox.pop(), Some(Event::Up));
        assert_eq!(inbox.pop(), Some(Event::Published { ticket: tickets[0], outcome: Outcome::Taken }));
        assert!(inbox.ticket().is_ok());
    }

    #[test]
    fn nothing_of_a_reading_follows_its_end() {
        let entry = |offset| {
            let receipt = Receipt { session: 1, channel: 1, tag: offset };
            Entry { log: "l".into(), offset, message: Err(Discard::Unreadable("x")), receipt }
        };
        let inbox = Inbox::default();
        let ended = |inbox: &Inbox| matches!(inbox.pop(), Some(Event::ReadingEnded { .. }));
        inbox.begin_reading("l");
        assert!(ended(&inbox), "there is no connection");
        inbox.up();
        assert_eq!(inbox.pop(), Some(Event::Up));
        let first = inbox.begin_reading("l");
        inbox.logged(first, entry(0));
        let second = inbox.begin_reading("l");
        inbox.logged(first, entry(1));
        assert!(inbox.pop().is_none() && !inbox.is_current("l", first) && inbox.is_current("l", second));
        inbox.logged(second, entry(0));
        assert_eq!(inbox.pop(), Some(Event::Logged(Box::new(entry(0)))));
        inbox.logged(second, entry(1));
        inbox.stop_reading("l");
        inbox.end_reading("l", second, ReadingEnd::Trimmed { first: 9 });
        assert_eq!(inbox.pop(), None);
        let third = inbox.begin_reading("l");
        inbox.logged(third, entry(0));
        inbox.cut();
        inbox.end_reading("l", third, ReadingEnd::Trimmed { first: 9 });
        assert!(matches!(inbox.pop(), Some(Event::Logged(_))) && ended(&inbox) && inbox.pop().is_none());
    }

    #[test]
    fn what_nobody_takes_does_not_grow() {
        let inbox = Inbox::default();
        for _ in 0..1000 {
            inbox.up();
            inbox.down(Trouble::Lost("x".into()));
            inbox.discarded("q", Discard::TooLarge(1 << 20));
            inbox.discarded("q", Discard::Unreadable("y"));
            inbox.discarded("r", Discard::TooLarge(1 << 20));
        }
        let events: Vec<_> = std::iter::from_fn(|| inbox.pop()).collect();
        assert_eq!(events.len(), MOST_CHANGES + 3);
        let counts = events.iter().filter_map(|event| match event {
            Event::Discarded { count, .. } => Some(*count),
            _ => None,
        });
        assert_eq!(counts.collect::<Vec<_>>(), [1000; 3]);
        assert!(matches!(events.last(), Some(Event::Down(_))));
    }
}
