//! Why there is no connection.

use std::time::Duration;

/// The reason, in words for an operator. None has a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Name, network, TLS or the first words.
    #[error("the broker cannot be reached: {0}")]
    Unreachable(String),
    /// A file that the connection needs.
    #[error("{0}")]
    Unusable(String),
    /// User, password or virtual host.
    #[error("the broker does not let this user in: {0}")]
    NotLetIn(String),
    /// An exchange, a queue or a binding.
    #[error("the broker does not allow {what}: {text}")]
    Denied {
        /// What was asked for.
        what: String,
        /// The broker's words.
        text: String,
    },
    /// The queue of the node's own name has another owner, maybe one that is dead and that the broker has not noticed yet.
    #[error("the queue \"{queue}\" is locked by an earlier connection; the broker gives it up within {}", seconds(.within))]
    Locked {
        /// The node's own.
        queue: String,
        /// Three heartbeats.
        within: Duration,
    },
    /// The same for longer than a broker holds the queue of a dead owner. Brokers of a cluster hold the queues of one that hangs, or
    /// is cut off, for as long as they take it for a living one: about a minute.
    #[error(
        "the queue \"{queue}\" belongs to another connection: two nodes have one name, or the broker of an earlier connection is gone \
         and the others of its cluster do not know that yet"
    )]
    NameTaken {
        /// The node's own.
        queue: String,
    },
    /// It was there.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

fn seconds(duration: &Duration) -> String {
    format!("{} s", duration.as_secs())
}
