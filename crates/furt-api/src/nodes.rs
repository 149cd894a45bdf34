//! The gateways that share a registry.

use serde::{Deserialize, Serialize};

/// The answer to `GET /internal/nodes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// The node that answers, then the others.
    pub nodes: Vec<Node>,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// A UUID, new at each start of the node.
    pub id: String,
    /// Its machine and the port of its internal listener.
    pub name: String,
    /// The version of its furt.
    pub version: String,
    /// Where services and operators reach it, as `http://host:port` or `https://host:port`; `null`: it does not tell.
    pub internal: Option<String>,
    /// Whether it is the node that answers.
    pub this: bool,
}
