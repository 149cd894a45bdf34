//! Routing keys: to which queues a message goes. The receiver is a part of what is signed, so that a key is an address and no more.

use furt_cluster::model::{Fingerprint, NodeName};
use furt_cluster::{Body, Outgoing, To};

/// Beats, as lex-node has it.
const BEATS: &str = "status";
/// All else that is for every node.
const ALL: &str = "node.all";

/// The keys that a node's own queue is bound to: its name and its fingerprint, each after `node.`, then what is for every node.
///
/// lex-node's `node` and `node.crypt.#` are not among them. What arrives there is never signed, so it would be refused to the last
/// message; a lex-node on the same exchange shows itself by its beats.
pub fn bindings(name: &NodeName, fingerprint: &Fingerprint) -> Vec<String> {
    vec![format!("node.{name}"), of_node(fingerprint), ALL.to_owned(), BEATS.to_owned()]
}

/// The key of one node.
pub(crate) fn of_node(fingerprint: &Fingerprint) -> String {
    format!("node.{fingerprint}")
}

/// The key that a message is sent with.
pub(crate) fn of(message: &Outgoing) -> String {
    match (message.to, &message.body) {
        (To::Node(node), _) => of_node(&node),
        (To::All, Body::Beat(_)) => BEATS.to_owned(),
        (To::All, _) => ALL.to_owned(),
    }
}
