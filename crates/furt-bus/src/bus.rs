//! What a node sees of a bus.

use std::future::Future;

use crate::message::{Delivery, Discard, Entry, Outcome, Outgoing, PublishError, ReadingEnd, Receipt, Ticket};
use crate::trouble::Trouble;

/// What a bus tells, in the order in which it came about.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Queues and bindings are there, and messages to the node's own queue arrive. What was sent there meanwhile is lost.
    Up,
    /// There is no connection; once for each reason in a row. It is tried again for ever.
    Down(Trouble),
    /// Whether this node takes part in a shared queue; after each [`Self::Up`] once for each, and whenever it changes.
    Shared {
        /// Its name.
        queue: String,
        /// The broker's words, or that there are none: a queue that has lost the majority of its brokers is silent. It is tried again.
        result: Result<(), String>,
    },
    /// Whether a log is there; after each [`Self::Up`] once for each, and whenever it changes.
    Log {
        /// Its name.
        log: String,
        /// The broker's words, or that there are none. A broker without streams has no logs. It is tried again.
        result: Result<(), String>,
    },
    /// The next entry of a log that is read.
    Logged(Box<Entry>),
    /// A reading is over without [`Bus::stop_log`]; each at most once. It is not begun again by itself.
    ReadingEnded {
        /// The log.
        log: String,
        /// Why.
        why: ReadingEnd,
    },
    /// A message for this node. At most 64 of a queue are on their way to it.
    Delivered(Box<Delivery>),
    /// Messages for this node that were thrown away unread, and so many of that kind.
    Discarded {
        /// The queue that had them.
        queue: String,
        /// Of the first.
        why: Discard,
        /// Since the last such event was taken.
        count: u64,
    },
    /// What became of a message; one for each ticket.
    Published {
        /// The one that [`Bus::publish`] gave.
        ticket: Ticket,
        /// What is known of it.
        outcome: Outcome,
    },
    /// What became of a [`Bus::bind`], now or after a new connection.
    Bound {
        /// The key that the node's own queue was to be bound to.
        key: String,
        /// The broker's words where it did not allow it. The binding is then forgotten.
        result: Result<(), String>,
    },
}

/// A connection to the other nodes, which is made again by itself. It begins without one.
///
/// Nothing here blocks but [`Self::event`] and [`Self::close`].
pub trait Bus: Send {
    /// Gives a message to the broker; [`Event::Published`] tells what became of it.
    ///
    /// # Errors
    /// It is not sent: no event follows.
    fn publish(&mut self, message: Outgoing) -> Result<Ticket, PublishError>;

    /// Appends a message to a log: publishes it with the log's name as its key, mandatory, persistent and without an expiry. A log
    /// may have a message whose outcome is not [`Outcome::Taken`] all the same; who must know reads the log.
    ///
    /// # Errors
    /// It is not sent: no event follows.
    fn append(&mut self, log: &str, mut message: Outgoing) -> Result<Ticket, PublishError> {
        log.clone_into(&mut message.key);
        message.is_mandatory = true;
        (message.properties.is_persistent, message.properties.expires) = (true, None);
        self.publish(message)
    }

    /// Reads a log from the entry `from` on, 0 being the first: each entry that a majority of the brokers has is an
    /// [`Event::Logged`], also those that come later, until [`Self::stop_log`] or [`Event::ReadingEnded`]. Another reading of the
    /// same log takes the place of the one before. At most 64 entries are ahead of the node.
    ///
    /// The entries from `from` on are all there, or the reading ends. One of a log that was deleted and made anew waits for ever
    /// where `from` is beyond its end.
    fn read_log(&mut self, log: &str, from: u64);

    /// Ends the reading of a log: none of its entries follow.
    fn stop_log(&mut self, log: &str);

    /// The message is dealt with, however that went: its queue forgets it. One of a lost connection comes again, to somebody.
    fn ack(&mut self, receipt: Receipt);

    /// Binds the node's own queue to a further key, now and after each new connection. [`Event::Bound`] follows.
    fn bind(&mut self, key: &str);

    /// Undoes [`Self::bind`].
    fn unbind(&mut self, key: &str);

    /// Whether there is a connection.
    fn is_up(&self) -> bool;

    /// Waits for what happens next. Dropping the wait loses nothing.
    fn event(&mut self) -> impl Future<Output = Event> + Send;

    /// Leaves: waits a moment for the outcomes of what was published, then ends the connection, so that the node's own queue is
    /// gone and its name is free. Dropping a bus does the same later, and waits for nothing.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized;
}
