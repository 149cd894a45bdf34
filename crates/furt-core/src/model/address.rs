//! Where instances are, and which addresses may do what.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use super::{Host, Invalid};

/// A set of addresses as networks; IPv4 addresses written as IPv6 are unmapped before they are looked up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CidrSet(Vec<IpNet>);

impl CidrSet {
    /// From networks such as `10.0.0.0/8` or single addresses.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn try_new<T: AsRef<str>>(texts: &[T]) -> Result<Self, Invalid> {
        texts.iter().map(|text| parse_network(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` lies in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The networks, as given.
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }

    /// How many networks there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no network at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse_network(text: &str) -> Result<IpNet, Invalid> {
    let text = text.trim();
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| Invalid::new(format!("\"{text}\" is not an address or network such as \"10.0.0.0/8\"")))
}

impl fmt::Display for CidrSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(IpNet::to_string).collect();
        f.write_str(&texts.join(", "))
    }
}

/// Whose requests are counted as one: an IPv4 address, or an IPv6 network of 64 bits, all of which its owner can send from.
///
/// Gives the first address of the network.
pub fn counted_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Whether no instance may ever have this address, whatever the configuration says: unspecified, multicast, broadcast,
/// link-local (where clouds serve metadata: 169.254.169.254), and the metadata addresses outside link-local
/// (fd00:ec2::254 of AWS, 100.100.100.200 of Alibaba, 192.0.0.192 of Oracle).
pub fn is_never_upstream(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_link_local()
                || [[100, 100, 100, 200], [192, 0, 0, 192]].contains(&v4.octets())
        }
        IpAddr::V6(v6) => {
            v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
        }
    }
}

/// How an instance is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS, always verified.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The host of an instance's url.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum UpstreamHost {
    /// An address, unmapped.
    Address(IpAddr),
    /// A name, lower case, to be resolved.
    Name(Box<str>),
}

/// An instance's url: scheme, host and port, nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// http or https.
    pub scheme: Scheme,
    /// Name or address.
    pub host: UpstreamHost,
    /// 1 to 65535; 80 or 443 where the text names none.
    pub port: u16,
}

impl UpstreamUrl {
    /// From `http://host:port` or `https://host:port`; the port may be left out, a single `/` may follow.
    ///
    /// # Errors
    /// Another scheme, a path, query, fragment or userinfo, no host, port 0.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let refused = |why: &'static str| Err(Invalid::new(why));
        let Ok(url) = url::Url::parse(text) else {
            return refused("must be a url such as \"http://10.0.0.5:8080\"");
        };
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return refused("must begin with http:// or https://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refused("must not carry a user or password");
        }
        // The parser repairs what it can ("http:\\\\host"); what was written must already be plain.
        let rest = text.get(scheme.as_str().len()..).unwrap_or_default();
        let plain = rest.strip_prefix("://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let is_beyond = |c: char| "/\\?#@%".contains(c) || c.is_control() || c.is_whitespace();
        if url.path() != "/" || plain.is_none_or(|rest| rest.is_empty() || rest.contains(is_beyond)) {
            return refused("must be scheme, host and port only, without path, query and fragment");
        }
        let host = match url.host() {
            Some(url::Host::Ipv4(v4)) => UpstreamHost::Address(v4.into()),
            Some(url::Host::Ipv6(v6)) => UpstreamHost::Address(IpAddr::from(v6).to_canonical()),
            Some(url::Host::Domain(name)) if Host::try_new(name).is_ok() => UpstreamHost::Name(name.into()),
            _ => return refused("must name a host"),
        };
        match url.port_or_known_default() {
            Some(port) if port > 0 => Ok(Self { scheme, host, port }),
            _ => refused("must have a port from 1 to 65535"),
        }
    }

    /// The socket address, where the host is an address.
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match &self.host {
            UpstreamHost::Address(address) => Some(SocketAddr::new(*address, self.port)),
            UpstreamHost::Name(_) => None,
        }
    }

    /// The authority for a `Host` header: host and port, IPv6 in brackets, the scheme's own port left out.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            UpstreamHost::Address(IpAddr::V6(v6)) => format!("[{v6}]"),
            UpstreamHost::Address(IpAddr::V4(v4)) => v4.to_string(),
            UpstreamHost::Name(name) => name.to_string(),
        };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

/// An address as text. As its `Display`, which costs ten times as much for IPv4: each request has its client's.
pub fn address_text(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else { return address.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        let digit = |number: u8| char::from(b'0' + number % 10);
        if octet >= 100 {
            text.push(digit(octet / 100));
        }
        if octet >= 10 {
            text.push(digit(octet / 10));
        }
        text.push(digit(octet));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for number in 0..=255 {
            let address = IpAddr::from([number, 255 - number, number / 7, 0]);
            assert_eq!(address_text(address), address.to_string());
        }
        assert_eq!(address_text("2001:db8::1".parse().unwrap()), "2001:db8::1");
    }

    #[test]
    fn urls_are_scheme_host_and_port() {
        for (text, shown) in [
            ("http://127.0.0.1:7812", "http://127.0.0.1:7812"),
            ("http://127.0.0.1:7812/", "http://127.0.0.1:7812"),
            ("https://shop.example", "https://shop.example"),
            ("http://Shop.example:80", "http://shop.example"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::ffff:127.0.0.1]:8080", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(UpstreamUrl::try_new(text).map(|url| url.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for bad in [
            "",
            "127.0.0.1:80",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a//",
            "http://a?b",
            "http://a/#b",
            "http://u:p@a",
            "http://@a",
            "http://a:0",
            "http://a:65536",
            "http:\\\\a",
            "http:a",
            "file:///etc/passwd",
            "http://a b",
            "http://a\tb",
            "http://a ",
            "http://a\n",
            "http://a%60",
            "http://a`b",
            "http://a..b",
        ] {
            assert!(UpstreamUrl::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mapped_addresses_count_as_what_they_are() {
        let set = CidrSet::try_new(&["127.0.0.0/8", "10.1.2.3", "fc00::/7"]).unwrap();
        for (address, inside) in [
            ("127.0.0.9", true),
            ("::ffff:127.0.0.9", true),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("fd00::1", true),
        ] {
            assert_eq!(set.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(CidrSet::try_new(&["10.0.0.0/33"]).is_err());
        assert!(CidrSet::try_new(&["localhost"]).is_err());
    }

    #[test]
    fn metadata_and_link_local_addresses_are_never_upstreams() {
        for address in
            ["169.254.169.254", "::ffff:169.254.1.1", "fe80::1", "fd00:ec2::254", "0.0.0.0", "::", "224.0.0.1"]
        {
            assert!(is_never_upstream(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "::1", "fd00::1"] {
            assert!(!is_never_upstream(address.parse().unwrap()), "{address}");
        }
    }
}
