//! Who a request is from: its peer, or whom trusted proxies name.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::geo::ClientLocation;
use crate::tls::Secured;
use furt_core::model::{CidrSet, Scheme};

/// By what scheme a client came, where a proxy says so.
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client of one request.
pub(super) struct Client {
    /// Of its connection.
    pub(super) scheme: Scheme,
    /// Who is connected, unmapped.
    pub(super) peer: Option<IpAddr>,
    /// Whether the peer is a trusted proxy.
    pub(super) is_peer_trusted: bool,
    /// Whose request it is, by trusted proxies' word.
    pub(super) address: Option<IpAddr>,
    /// What it has shown under TLS, where it was asked to.
    pub(super) secured: Option<Arc<Secured>>,
    /// Where the client is, once somebody wanted to know.
    pub(super) location: Option<ClientLocation>,
}

impl Default for Client {
    fn default() -> Self {
        Self { scheme: Scheme::Http, peer: None, is_peer_trusted: false, address: None, secured: None, location: None }
    }
}

impl Client {
    /// Takes in who is connected, and whom that peer speaks for if it is `trusted`.
    pub(super) fn identify(&mut self, peer: Option<IpAddr>, headers: &HeaderMap, trusted: &CidrSet) {
        self.peer = peer;
        self.is_peer_trusted = peer.is_some_and(|peer| trusted.contains(peer));
        self.address = match peer {
            Some(peer) if self.is_peer_trusted => Some(address(peer, headers, trusted)),
            peer => peer,
        };
    }
}

/// The client's address: the peer's, unless the peer is a trusted proxy; then the last address in `X-Forwarded-For`
/// that is not one. What cannot be read as an address ends the search: nothing before it can be trusted.
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &CidrSet) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    // Bytes, since a value that is no text as a whole has hops to its right that are: a client may send anything, and
    // the proxy appends to it.
    let values = headers.get_all("x-forwarded-for").iter().rev().map(HeaderValue::as_bytes);
    for hop in values.flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        let Some(address) = parse_hop(hop.trim_ascii()) else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// An address, also with a port, as some proxies write it.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?;
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = CidrSet::try_new(&["10.0.0.0/8"]).unwrap();
        for (peer, forwarded, client) in [
            ("192.0.2.1", &["198.51.100.7"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, nonsense, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            assert_eq!(address(peer.parse().unwrap(), &headers, &trusted).to_string(), client, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn what_a_client_sends_does_not_hide_what_a_proxy_adds() {
        let trusted = CidrSet::try_new(&["10.0.0.0/8"]).unwrap();
        for (forwarded, client) in [
            (&[b"198.51.100.7, \xff, 192.0.2.9".as_slice()][..], "192.0.2.9"),
            (&[b"\xc3\xa9,192.0.2.9, 10.0.0.2"], "192.0.2.9"),
            (&[b"198.51.100.7", b"\xff"], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
            }
            assert_eq!(address([10, 0, 0, 1].into(), &headers, &trusted).to_string(), client, "{forwarded:?}");
        }
    }
}
