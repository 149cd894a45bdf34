//! The gateways that share the registry, as clients are told of them: this one, and those that a shared store knows.
//!
//! `app` makes the list with this node alone. A store that several gateways share sets the others. `api` reads it.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::config::InternalConfig;
use crate::telemetry::VERSION;
use furt_core::model::{Scheme, UpstreamHost, UpstreamUrl};

/// Where Linux says what a machine is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// New at each start.
    pub id: Uuid,
    /// What people call it: its machine and the port of its internal listener.
    pub name: String,
    /// The version of its furt.
    pub version: String,
    /// Its internal listener as clients reach it; `None`: it does not tell.
    pub internal: Option<UpstreamUrl>,
}

impl Node {
    /// This process; `listeners` are the real addresses of its internal listener.
    pub fn this(config: &InternalConfig, listeners: &[SocketAddr]) -> Self {
        // What others reach is under TLS where anything is.
        let scheme = if config.tls_cert.is_some() { Scheme::Https } else { Scheme::Http };
        let found = || listeners.iter().find_map(|address| reachable(*address, scheme));
        let internal = config.advertise.clone().or_else(found);
        Self { id: Uuid::new_v4(), name: own_name(listeners), version: VERSION.to_owned(), internal }
    }
}

/// What clients on other machines reach a listener by; `None`: its address alone does not say.
fn reachable(listener: SocketAddr, scheme: Scheme) -> Option<UpstreamUrl> {
    let address = listener.ip().to_canonical();
    let is_specific = !address.is_unspecified() && !address.is_loopback();
    is_specific.then(|| UpstreamUrl { scheme, host: UpstreamHost::Address(address), port: listener.port() })
}

/// What the machine is called; empty where nobody says.
pub fn machine() -> String {
    std::fs::read_to_string(HOST_NAME).unwrap_or_default().trim().to_owned()
}

/// The port tells two furts of one machine apart.
fn own_name(listeners: &[SocketAddr]) -> String {
    named(&machine(), listeners.first().map_or(0, SocketAddr::port))
}

/// At most 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `:`, `-`.
fn named(host: &str, port: u16) -> String {
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(57).collect();
    let host = if host.is_empty() { "furt" } else { &host };
    format!("{host}:{port}")
}

/// All of them, this one first. Cheap to clone; every clone sees the same.
#[derive(Clone)]
pub struct Nodes(Arc<ArcSwap<Vec<Node>>>);

impl Nodes {
    /// This node, with no other.
    pub fn alone(this: Node) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(vec![this])))
    }

    /// From now on these are the others.
    pub fn set_others(&self, others: impl IntoIterator<Item = Node>) {
        let this = self.list().first().cloned();
        self.0.store(Arc::new(this.into_iter().chain(others).collect()));
    }

    /// All of them, this one first.
    pub fn list(&self) -> Arc<Vec<Node>> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(listeners: &[&str], advertise: Option<&str>) -> Option<String> {
        let listeners: Vec<_> = listeners.iter().map(|text| text.parse().unwrap()).collect();
        let advertise = advertise.map(|text| UpstreamUrl::try_new(text).unwrap());
        let config = InternalConfig { advertise, ..crate::config::Config::default().internal };
        Node::this(&config, &listeners).internal.map(|url| url.to_string())
    }

    #[test]
    fn clients_are_told_what_is_configured_or_else_an_address_that_others_reach() {
        assert_eq!(told(&["127.0.0.1:8081"], None), None);
        assert_eq!(told(&["0.0.0.0:8081", "[::]:8081", "[::1]:8081", "[::ffff:127.0.0.1]:8081"], None), None);
        assert_eq!(
            told(&["127.0.0.1:8081", "10.0.0.7:8081", "10.0.0.8:1"], None).as_deref(),
            Some("http://10.0.0.7:8081")
        );
        assert_eq!(told(&["[fd00::1]:4001"], None).as_deref(), Some("http://[fd00::1]:4001"));
        let set = Some("https://furt-1.example:8443");
        assert_eq!(told(&["10.0.0.7:8081"], set).as_deref(), set);
    }

    #[test]
    fn a_node_is_named_after_its_machine_and_port() {
        for (host, name) in [
            ("web-1", "web-1:8081".to_owned()),
            ("", "furt:8081".to_owned()),
            ("a b\u{e9}", "ab:8081".to_owned()),
            (&"x".repeat(64), format!("{}:8081", "x".repeat(57))),
        ] {
            assert_eq!(named(host, 8081), name);
        }
    }

    #[test]
    fn this_node_stays_the_first_whatever_the_others_are() {
        let of =
            |port| Node::this(&crate::config::Config::default().internal, &[SocketAddr::from(([10, 0, 0, 1], port))]);
        let (this, one, two) = (of(1), of(2), of(3));
        let nodes = Nodes::alone(this.clone());
        let reader = nodes.clone();
        nodes.set_others([one, two.clone()]);
        nodes.set_others([two.clone()]);
        assert_eq!(*reader.list(), [this, two]);
    }
}
