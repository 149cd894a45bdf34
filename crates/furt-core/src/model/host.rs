//! A host name as routes are bound to it and requests carry it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::Invalid;

/// A host: lower case, without port and trailing dot; an IPv6 address keeps its brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Arc<str>);

impl Host {
    /// From a name or address without a port.
    ///
    /// # Errors
    /// An empty text, one over 253 bytes, or a character that no host name or address has.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let host = normalize(text);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let fits = match inner {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                (1..=253).contains(&host.len())
                    && host.bytes().all(plain)
                    && host.split('.').all(|label| !label.is_empty() && label.len() <= 63)
            }
        };
        if fits && port_at(text).is_none() {
            Ok(Self(host.into()))
        } else {
            Err(Invalid::new("must be a host name without a port, such as \"shop.example\""))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a request's `Host` or authority is matched as: lower case, without port and trailing dot.
///
/// Takes any text and never fails: what is no host name simply matches no route. Borrows when nothing changes.
pub fn normalize(authority: &str) -> Cow<'_, str> {
    let host = port_at(authority).map_or(authority, |colon| &authority[..colon]);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// The port of a request's `Host` or authority; `None`: it has none, or one that is no number.
pub fn port(authority: &str) -> Option<u16> {
    authority[port_at(authority)? + 1..].parse().ok()
}

/// Where the colon before a port is: the last one, with digits or nothing after it, and not inside an IPv6 literal's brackets.
fn port_at(authority: &str) -> Option<usize> {
    let bytes = authority.as_bytes();
    let digits = bytes.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (host, rest) = bytes.split_at_checked(bytes.len().checked_sub(digits + 1)?)?;
    let is_port = rest.first() == Some(&b':') && (host.first() != Some(&b'[') || host.last() == Some(&b']'));
    is_port.then_some(host.len())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::borrow::Borrow<str> for Host {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_host_loses_case_port_and_trailing_dot() {
        for (authority, host) in [
            ("Shop.Example", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example.:80", "shop.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("shop:", "shop"),
            ("", ""),
        ] {
            assert_eq!(normalize(authority), host, "{authority}");
        }
    }

    #[test]
    fn a_port_is_what_follows_the_host() {
        for (authority, expected) in [
            ("shop.example:8080", Some(8080)),
            ("[::1]:80", Some(80)),
            ("[::1]", None),
            ("shop.example", None),
            ("shop:", None),
            ("shop:65536", None),
            ("", None),
        ] {
            assert_eq!(port(authority), expected, "{authority}");
        }
    }

    #[test]
    fn a_bound_host_is_a_name_without_a_port() {
        assert_eq!(Host::try_new("Shop.Example.").unwrap().as_str(), "shop.example");
        assert!(Host::try_new("[::1]").is_ok());
        for bad in ["", "a b", "a/b", "shop.example:80", "*.example", "a..b", "[zz]"] {
            assert!(Host::try_new(bad).is_err(), "{bad}");
        }
    }
}
