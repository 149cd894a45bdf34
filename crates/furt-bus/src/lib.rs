//! What the nodes of a cluster speak over: messages with a routing key, to queues that are bound to such keys.
//!
//! A node has a queue of its own, which nobody else may read from, and takes part in queues that all share, of which the broker
//! gives each message to one node. A log keeps what is appended to it, in one order for everybody. [`Bus`] is what a node sees of it. [`AmqpBus`] is a connection to RabbitMQ, [`Broker`] one in
//! memory for tests and demonstrations. Both pass one suite, `tests/conformance`.
//!
//! Nothing here knows what a message means, who may send it, or a secret of the cluster: bodies are bytes. Everything that arrives
//! is a stranger's: anybody who may publish at the broker reaches every queue of a node.

mod amqp;
mod bus;
mod clock;
mod inbox;
mod kept_log;
mod memory;
mod message;
mod topic;
mod topology;
mod trouble;

#[doc(hidden)]
pub use amqp::conversation;
pub use amqp::{AmqpBus, BusUrl, Options, OptionsError, Password, UrlError};
pub use bus::{Bus, Event};
pub use memory::{Broker, MemoryBus};
pub use message::{
    Delivery, Discard, Entry, LARGEST_BODY, LARGEST_HEADERS, LONGEST_NAME, MOST_HEADERS, MOST_IN_FLIGHT, Outcome,
    Outgoing, Properties, PublishError, ReadingEnd, Receipt, Ticket, Value,
};
pub use topology::{LOG_BYTES, LOG_SEGMENT_BYTES, SharedQueue, Topology, TopologyError, log_of};
pub use trouble::Trouble;
