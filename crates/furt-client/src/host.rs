//! A gateway's internal listener as it is named: a host and a port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// furt's internal listener, where nothing else is said.
pub(crate) const DEFAULT_PORT: u16 = 8081;

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A host and a port. The name is in lower case, an IPv6 address without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

impl Host {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or("the \"]\" is missing")?;
                address.parse::<Ipv6Addr>().map_err(|_| format!("\"{address}\" is no IPv6 address"))?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or("a port follows the \"]\" with a colon")?),
                };
                (address, port)
            }
            None if text.parse::<Ipv6Addr>().is_ok() => return Err(format!("an IPv6 address has brackets: [{text}]")),
            None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
        };
        if !text.starts_with('[') {
            check_name(name)?;
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => {
                let number = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
                number.filter(|port| *port > 0).ok_or(format!("\"{port}\" is no port: a port is 1 to 65535"))?
            }
        };
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the host is missing".to_owned());
    }
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if let Some(c) = name.chars().find(|c| !is_good(*c)) {
        return Err(format!("a host has no {c:?} in it"));
    }
    // A typing error in an address is told here, and not by a resolver later.
    let is_numeric = name.chars().all(|c| c.is_ascii_digit() || c == '.');
    if name.len() > 253 || name.starts_with(['.', '-']) || is_numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err("it is neither a name nor an address".to_owned());
    }
    Ok(())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_an_optional_port() {
        for (text, expected) in [
            ("a", "a:8081"),
            ("Furt-1.Example:80", "furt-1.example:80"),
            ("10.0.0.7:65535", "10.0.0.7:65535"),
            ("[::1]", "[::1]:8081"),
            ("[2001:db8::1]:9000", "[2001:db8::1]:9000"),
        ] {
            assert_eq!(Host::parse(text).unwrap().to_string(), expected);
        }
        for (text, expected) in [
            ("", "the host is missing"),
            (":80", "the host is missing"),
            ("a:", "\"\" is no port"),
            ("a:0", "\"0\" is no port"),
            ("a:+80", "\"+80\" is no port"),
            ("a:65536", "\"65536\" is no port"),
            ("::1", "an IPv6 address has brackets: [::1]"),
            ("[::1", "the \"]\" is missing"),
            ("[::1]80", "with a colon"),
            ("[x]", "\"x\" is no IPv6 address"),
            ("a b", "a host has no ' ' in it"),
            ("10.0.0", "neither a name nor an address"),
            ("10.0.0.256", "neither a name nor an address"),
        ] {
            let said = Host::parse(text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
