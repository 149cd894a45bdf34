//! The target `addresses`: who a request is from, and what names and urls mean.
//!
//! An input is lines. The first is the peer, the second the trusted proxies with commas between; each further one is, by
//! its first byte, a url (`u`), a host (`h`), or the value of one `X-Forwarded-For`.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderValue};

use furt::proxy::client_address;
use furt_core::model::{CidrSet, Host, UpstreamUrl, host, is_never_upstream};

/// More than any header has that furt lets in.
const MOST_LINES: usize = 64;

/// Asserts that only trusted proxies are believed, and that what is kept is read as it was.
pub fn addresses(data: &[u8]) {
    let mut lines = data.strip_suffix(b"\n").unwrap_or(data).split(|byte| *byte == b'\n').take(MOST_LINES);
    let text =
        |line: Option<&[u8]>| line.and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default().to_owned();
    let peer = text(lines.next()).parse::<IpAddr>().unwrap_or(IpAddr::from([10, 0, 0, 1]));
    let networks = text(lines.next());
    let networks: Vec<_> = networks.split(',').filter(|network| CidrSet::try_new(&[network]).is_ok()).collect();
    let trusted = CidrSet::try_new(&networks).unwrap_or_default();
    let mut forwarded = HeaderMap::new();
    for line in lines {
        match line.split_first().map(|(kind, rest)| (kind, std::str::from_utf8(rest))) {
            Some((b'u', Ok(url))) => check_url(url),
            Some((b'h', Ok(host))) => check_host(host),
            _ => {
                if let Ok(value) = HeaderValue::from_bytes(line) {
                    forwarded.append("x-forwarded-for", value);
                }
            }
        }
    }
    let client = client_address(peer, &forwarded, &trusted);
    assert_eq!(client, plain_client(peer, &forwarded, &trusted), "{peer} {forwarded:?} {networks:?}");
    assert_eq!(client, client.to_canonical());
}

/// The last one in the whole list whom nobody trusted speaks for; every byte of every value counts.
fn plain_client(peer: IpAddr, forwarded: &HeaderMap, trusted: &CidrSet) -> IpAddr {
    let values: Vec<_> = forwarded.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect();
    let list = values.join(&b',');
    let mut hops: Vec<_> = if values.is_empty() { Vec::new() } else { list.split(|byte| *byte == b',').collect() };
    let mut client = peer.to_canonical();
    while trusted.contains(client) {
        let Some(hop) =
            hops.pop().and_then(|hop| std::str::from_utf8(hop).ok()).map(|hop| hop.trim_matches([' ', '\t']))
        else {
            break;
        };
        let address = hop.parse::<IpAddr>().ok().or_else(|| hop.parse().ok().map(|hop: SocketAddr| hop.ip()));
        let Some(address) = address else { break };
        client = address.to_canonical();
    }
    client
}

fn check_url(text: &str) {
    let Ok(url) = UpstreamUrl::try_new(text) else { return };
    assert_eq!(UpstreamUrl::try_new(&url.to_string()).as_ref(), Ok(&url), "{text:?}: shown, it is the same");
    let rest = text.get(url.scheme.as_str().len() + 3..).unwrap_or_default();
    assert!(!rest.contains(|c: char| "/?#@\\".contains(c) && !rest.ends_with(c)), "{text:?} is more than a host");
    assert!(text.chars().all(|c| !c.is_control() && c != ' '), "{text:?} is not what a request would be sent to");
    assert!(http::uri::Authority::try_from(url.authority()).is_ok(), "{text:?} is no Host");
    if let Some(address) = url.socket_address() {
        assert_eq!(address.ip(), address.ip().to_canonical(), "{text:?}");
        let mapped = match address.ip() {
            IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
            v6 => v6,
        };
        assert_eq!(is_never_upstream(address.ip()), is_never_upstream(mapped), "{text:?}");
    }
}

fn check_host(text: &str) {
    let matched = host::normalize(text);
    assert!(!matched.bytes().any(|byte| byte.is_ascii_uppercase()), "{text:?}");
    let Ok(bound) = Host::try_new(text) else { return };
    assert_eq!(Host::try_new(bound.as_str()).as_ref(), Ok(&bound), "{text:?}: kept, it is the same");
    // Whatever a client makes of it: in another case, with a port, with a dot at the end.
    for sent in [text.to_ascii_uppercase(), format!("{bound}:8080"), format!("{bound}.")] {
        assert_eq!(host::normalize(&sent), bound.as_str(), "{text:?} is not found as {sent:?}");
    }
}
