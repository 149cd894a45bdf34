//! Exchange, queues and bindings of a node.

use crate::message::LONGEST_NAME;

/// A queue that all nodes share: durable, kept by a majority of the brokers, and read by one node at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedQueue {
    /// Such as `node.crypt`.
    pub name: String,
    /// Keys that lead to it.
    pub bindings: Vec<String>,
}

/// What a node declares at each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// A durable exchange of topics, such as `node`.
    pub exchange: String,
    /// The node's own queue, such as `node.edge_1.4711`. No other connection reads from it, and it ends with this one's.
    pub queue: String,
    /// Keys that lead to the node's own queue: words between dots, `*` for one word, `#` for any number.
    pub bindings: Vec<String>,
    /// The shared queues that this node takes part in.
    pub shared: Vec<SharedQueue>,
    /// Logs that all nodes append to and read, by their names: durable, kept by a majority of the brokers, in one order for
    /// everybody. What has a log's name as its key is appended to it. See [`crate::Bus::append`].
    pub logs: Vec<String>,
}

/// What a log holds before any of its entries goes, in bytes of the broker.
pub const LOG_BYTES: u64 = 64 << 20;
/// What goes at once, some such pieces where entries are large.
pub const LOG_SEGMENT_BYTES: u64 = 8 << 20;

/// The name of the log that nodes of an exchange have in common.
pub fn log_of(exchange: &str) -> String {
    format!("{exchange}.control")
}

/// What cannot be declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A name without a character.
    #[error("{0} has no name")]
    Empty(&'static str),
    /// A name or key.
    #[error("\"{0}\" is too long: a name has at most {LONGEST_NAME} bytes")]
    TooLong(String),
    /// Names that the broker keeps for itself.
    #[error("\"{0}\" begins with \"amq.\", which the broker keeps for itself")]
    Reserved(String),
    /// A queue with two meanings.
    #[error("two queues are called \"{0}\"")]
    Twice(String),
}

impl Topology {
    /// # Errors
    /// A name is none that a broker takes.
    pub fn check(&self) -> Result<(), TopologyError> {
        let shared = || self.shared.iter().map(|shared| &shared.name);
        let logs = self.logs.iter().map(|name| ("a log", name));
        let named = [("the exchange", &self.exchange), ("the node's queue", &self.queue)];
        for (what, name) in named.into_iter().chain(shared().map(|name| ("a shared queue", name))).chain(logs) {
            if name.is_empty() {
                return Err(TopologyError::Empty(what));
            }
            if name.starts_with("amq.") {
                return Err(TopologyError::Reserved(name.clone()));
            }
        }
        let keys = self.bindings.iter().chain(self.shared.iter().flat_map(|shared| &shared.bindings));
        let names = [&self.exchange, &self.queue].into_iter().chain(shared()).chain(&self.logs).chain(keys);
        if let Some(name) = names.into_iter().find(|name| name.len() > LONGEST_NAME) {
            return Err(TopologyError::TooLong(name.clone()));
        }
        let queues: Vec<_> = shared().chain(&self.logs).chain([&self.queue]).collect();
        let twice = queues.iter().enumerate().find(|(at, name)| queues[..*at].contains(name));
        twice.map_or(Ok(()), |(_, name)| Err(TopologyError::Twice((*name).clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_broker_takes_are_errors() {
        let good = Topology {
            exchange: "node".into(),
            queue: "node.a".into(),
            bindings: vec!["node.a".into()],
            shared: vec![SharedQueue { name: "node.crypt".into(), bindings: vec!["crypt.#".into()] }],
            logs: vec!["node.log".into()],
        };
        assert_eq!(good.check(), Ok(()));
        let bent = |bend: fn(&mut Topology)| {
            let mut bent = good.clone();
            bend(&mut bent);
            bent.check().unwrap_err().to_string()
        };
        assert_eq!(bent(|it| it.exchange.clear()), "the exchange has no name");
        assert_eq!(bent(|it| it.queue.clear()), "the node's queue has no name");
        assert_eq!(bent(|it| it.shared[0].name.clear()), "a shared queue has no name");
        assert!(bent(|it| it.queue = "amq.a".into()).contains("keeps for itself"));
        assert!(bent(|it| it.bindings[0] = "k".repeat(256)).contains("too long"));
        assert_eq!(bent(|it| it.shared[0].name = "node.a".into()), "two queues are called \"node.a\"");
        assert_eq!(bent(|it| it.logs[0].clear()), "a log has no name");
        assert!(bent(|it| it.logs[0] = "l".repeat(256)).contains("too long"));
        assert_eq!(bent(|it| it.logs[0] = "node.crypt".into()), "two queues are called \"node.crypt\"");
    }
}
