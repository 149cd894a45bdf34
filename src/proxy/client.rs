//! Who a request is from: its peer, or whom trusted proxies name; and the id it goes by.

use std::net::IpAddr;

use http::HeaderMap;

use crate::model::CidrSet;

/// The longest request id that is taken over from a client.
const MAX_REQUEST_ID: usize = 64;

/// The client's address: the peer's, unless the peer is a trusted proxy; then the last address in `X-Forwarded-For`
/// that is not one. What cannot be read as an address ends the search: nothing before it can be trusted.
pub(super) fn address(peer: IpAddr, headers: &HeaderMap, trusted: &CidrSet) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    let texts: Vec<_> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    for hop in texts.iter().rev().flat_map(|text| text.rsplit(',')) {
        let Some(address) = parse_hop(hop.trim()) else { break };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// An address, also with a port, as some proxies write it.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    hop.parse().ok().or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

/// The client's own id for its request if it is short and plain, a new one otherwise.
pub(super) fn request_id(headers: &HeaderMap) -> Box<str> {
    let plain = |id: &&str| {
        (1..=MAX_REQUEST_ID).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match headers.get("x-request-id").and_then(|value| value.to_str().ok()).filter(plain) {
        Some(id) => id.into(),
        None => format!("{:032x}", fastrand::u128(..)).into(),
    }
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
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        let long = "a".repeat(65);
        for (sent, kept) in [("abc-1._Z", true), ("", false), ("a b", false), ("a\"b", false), (long.as_str(), false)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", sent.parse().unwrap());
            let id = request_id(&headers);
            assert_eq!(&*id == sent, kept, "{sent}");
            assert!(!id.is_empty());
        }
    }
}
