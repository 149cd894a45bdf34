//! The gateways that share a registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cluster::Cluster;

/// The answer to `GET /internal/nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Nodes {
    /// The node that answers, then the others.
    pub nodes: Vec<Node>,
    /// What the node that answers knows of its cluster; for operators alone. Absent where `cluster.url` is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// Why there is no `cluster`, though there should be one; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_error: Option<String>,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
