//! Origins as browsers send them (RFC 6454 §6.2), and which of them somebody means.

use std::borrow::Cow;
use std::fmt;

use super::{Host, Invalid, host};

/// The most origins of a list: a request is compared with each of them.
pub const MAX_ORIGINS: usize = 64;

/// Which origins are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origins {
    /// Every one.
    Any,
    /// Those that one of these matches; none: no origin.
    Listed(Box<[OriginPattern]>),
}

/// One origin such as `https://app.example.org`, or with `*.` at the beginning of its host every one whose host has more
/// labels before the rest: `https://*.example.org` matches `https://a.b.example.org`, and not `https://example.org`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OriginPattern {
    /// As a browser would write it: lower case, without the port that is its scheme's own.
    text: Box<str>,
    /// How many bytes of the text are before the `*`, if there is one.
    star: Option<usize>,
}

/// None.
impl Default for Origins {
    fn default() -> Self {
        Self::Listed(Box::default())
    }
}

impl Origins {
    /// From `["*"]`, or up to 64 origins.
    ///
    /// # Errors
    /// No text at all, more than 64, `*` beside others, and what is no origin ([`OriginPattern::try_new`]).
    pub fn try_new(texts: &[impl AsRef<str>]) -> Result<Self, Invalid> {
        if texts.is_empty() || texts.len() > MAX_ORIGINS {
            return Err(Invalid::new(format!("must be 1 to {MAX_ORIGINS} origins, or \"*\" alone")));
        }
        if texts.iter().any(|text| text.as_ref() == "*") {
            let is_alone = texts.len() == 1;
            return if is_alone { Ok(Self::Any) } else { Err(Invalid::new("must have \"*\" alone, or not at all")) };
        }
        let listed: Result<_, _> = texts.iter().map(|text| OriginPattern::try_new(text.as_ref())).collect();
        listed.map(Self::Listed)
    }

    /// Those that are meant, as [`try_new`](Self::try_new) takes them.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Any => vec!["*"],
            Self::Listed(listed) => listed.iter().map(OriginPattern::as_str).collect(),
        }
    }

    /// Whether an origin is meant, as a request has it: compared byte for byte, since browsers write it in one way.
    pub fn contain(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|pattern| pattern.matches(origin)),
        }
    }

    /// Those of `others` that mean an origin which is not meant here, as they are written.
    pub fn beyond<'o>(&self, others: &'o Self) -> Vec<&'o str> {
        match (self, others) {
            (Self::Any, _) => Vec::new(),
            (Self::Listed(_), Self::Any) => vec!["*"],
            (Self::Listed(own), Self::Listed(others)) => {
                let is_beyond = |other: &&OriginPattern| !own.iter().any(|pattern| pattern.covers(other));
                others.iter().filter(is_beyond).map(OriginPattern::as_str).collect()
            }
        }
    }
}

impl OriginPattern {
    /// From `scheme://host` or `scheme://host:port`, whose host may begin with `*.`.
    ///
    /// # Errors
    /// `null`, a path or a slash at the end, a user, another `*`, and what has no scheme or no host.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        const RIGHT: &str =
            "must be SCHEME://HOST or SCHEME://HOST:PORT without a path, such as \"https://app.example.org\"";
        let refused = || Invalid::new(RIGHT);
        let (scheme, authority) = text.split_once("://").ok_or_else(refused)?;
        let scheme = scheme.to_ascii_lowercase();
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (star, rest) = match authority.strip_prefix("*.") {
            Some(rest) => ("*.", rest),
            None => ("", authority),
        };
        let (host, port) = split_port(rest);
        let host = Host::try_new(host).map_err(|_| refused())?;
        let is_address = host.as_str().starts_with('[') || host.as_str().parse::<std::net::Ipv4Addr>().is_ok();
        if !is_scheme || (is_address && !star.is_empty()) {
            return Err(refused());
        }
        let port = match port.map(|port| port.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(refused)) {
            Some(port) => Some(port?).filter(|port| own_port(&scheme) != Some(*port)),
            None => None,
        };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let before_star = (!star.is_empty()).then_some(scheme.len() + "://".len());
        Ok(Self { text: format!("{scheme}://{star}{host}{port}").into(), star: before_star })
    }

    /// The text, normalized.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches an origin, as a browser writes it.
    pub fn matches(&self, origin: &str) -> bool {
        let Some((before, after)) = self.around_star() else { return *origin == *self.text };
        let labels = origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        labels.is_some_and(|labels| labels.split('.').all(is_label))
    }

    /// Whether it matches every origin that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.around_star(), other.around_star()) {
            (_, None) => self.matches(&other.text),
            (None, Some(_)) => false,
            (Some((before, after)), Some((their_before, their_after))) => {
                before == their_before && their_after.ends_with(after)
            }
        }
    }

    /// What is before a `*` and what is after it, from the dot on.
    fn around_star(&self) -> Option<(&str, &str)> {
        let star = self.star?;
        Some((&self.text[..star], &self.text[star + 1..]))
    }
}

/// Whether a page of that origin is of the host that a request is sent to, by host and port. Schemes are not compared: who ends TLS
/// before furt changes that of the request.
pub fn is_of_host(origin: &str, authority: &str) -> bool {
    let Some((scheme, theirs)) = origin.split_once("://") else { return false };
    let default = match scheme {
        "https" => "443",
        "http" => "80",
        _ => return false,
    };
    let (theirs, own) = (host_and_port(theirs, default), host_and_port(authority, default));
    theirs == own && !own.0.is_empty()
}

/// The host as it is matched, and the port where it is not `default`.
fn host_and_port<'a>(authority: &'a str, default: &str) -> (Cow<'a, str>, &'a str) {
    let (_, port) = split_port(authority);
    (host::normalize(authority), port.filter(|port| *port != default).unwrap_or_default())
}

/// Host and port; brackets stay about an address of IPv6.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> OriginPattern {
        OriginPattern::try_new(text).unwrap()
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, normal) in [
            ("https://app.example.org", "https://app.example.org"),
            ("HTTPS://App.Example.Org:443", "https://app.example.org"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:08080", "http://localhost:8080"),
            ("http://localhost:443", "http://localhost:443"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("http://[::1]", "http://[::1]"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("https://*.Example.org:8443", "https://*.example.org:8443"),
            ("capacitor://localhost", "capacitor://localhost"),
            (
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
                "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            ),
        ] {
            assert_eq!(pattern(text).as_str(), normal, "{text}");
            assert_eq!(pattern(normal), pattern(text), "{text}");
        }
        for bad in [
            "",
            "*",
            "null",
            "app.example.org",
            "https://",
            "https:///",
            "https://a/",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u@a",
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a:b",
            "https://*",
            "https://*.",
            "https://a.*.org",
            "https://*a.org",
            "https://*.*.org",
            "https://*.127.0.0.1",
            "https://*.[::1]",
            "1http://a",
            "ht tp://a",
            "://a",
            "https://a b",
            "https://ä.example",
            "https://::1",
        ] {
            assert!(OriginPattern::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_star_is_one_label_or_more_and_never_part_of_one() {
        for (text, origin, expected) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "https://A.example", false),
            ("https://a.example", "https://a.example:443", false),
            ("https://a.example", "https://a.example.evil", false),
            ("https://a.example", "http://a.example", false),
            ("https://*.a.example", "https://x.a.example", true),
            ("https://*.a.example", "https://x.y.a.example", true),
            ("https://*.a.example", "https://a.example", false),
            ("https://*.a.example", "https://.a.example", false),
            ("https://*.a.example", "https://x..a.example", false),
            ("https://*.a.example", "https://evila.example", false),
            ("https://*.a.example", "https://evil/x.a.example", false),
            ("https://*.a.example", "https://u@x.a.example", false),
            ("https://*.a.example", "https://x:1.a.example", false),
            ("https://*.a.example", "https://x.a.example:1", false),
            ("https://*.a.example:1", "https://x.a.example:1", true),
            ("https://*.a.example", "null", false),
        ] {
            assert_eq!(pattern(text).matches(origin), expected, "{text} {origin}");
        }
    }

    #[test]
    fn a_list_is_within_another_where_each_of_it_is() {
        let list = |texts: &[&str]| Origins::try_new(texts).unwrap();
        let grant = list(&["https://*.a.example", "http://localhost:3000"]);
        for (asked, beyond) in [
            (&["https://x.a.example"][..], &[][..]),
            (&["https://*.x.a.example", "https://*.a.example"], &[]),
            (&["http://localhost:3000"], &[]),
            (&["https://a.example", "https://x.a.example"], &["https://a.example"]),
            (&["https://*.example"], &["https://*.example"]),
            (&["https://*.xa.example"], &["https://*.xa.example"]),
            (&["http://*.a.example"], &["http://*.a.example"]),
            (&["*"], &["*"]),
        ] {
            assert_eq!(grant.beyond(&list(asked)), beyond, "{asked:?}");
            assert!(Origins::Any.beyond(&list(asked)).is_empty());
        }
        assert_eq!(Origins::Listed(Box::default()).beyond(&list(&["https://a"])), ["https://a"]);
        assert!(Origins::try_new(&["*", "https://a"]).is_err());
        assert!(Origins::try_new(&[""; 0]).is_err());
        assert!(Origins::try_new(&vec!["https://a"; MAX_ORIGINS + 1]).is_err());
    }

    #[test]
    fn a_page_of_the_host_itself_is_told_by_host_and_port() {
        for (origin, own, expected) in [
            ("https://a.example", "a.example", true),
            ("https://a.example", "A.Example", true),
            ("https://a.example", "a.example:443", true),
            ("http://a.example", "a.example:80", true),
            ("http://a.example:80", "a.example", true),
            ("http://a.example:8080", "a.example:8080", true),
            ("http://[::1]:8080", "[::1]:8080", true),
            ("https://a.example", "a.example:80", false),
            ("https://a.example", "a.example:8443", false),
            ("http://a.example:8080", "a.example", false),
            ("http://[::1]:8080", "[::1]", false),
            ("https://b.example", "a.example", false),
            ("https://a.example.evil", "a.example", false),
            ("null", "null", false),
            ("ws://a.example", "a.example", false),
            ("https://", "", false),
        ] {
            assert_eq!(is_of_host(origin, own), expected, "{origin} {own}");
        }
    }

    /// Patterns and origins of a few labels against a twin that compares label by label.
    #[test]
    fn matching_and_covering_agree_with_a_naive_twin() {
        let mut random = fastrand::Rng::with_seed(17);
        let mut host = |least: usize| {
            let count = random.usize(least..4);
            (0..count).map(|_| ["a", "b", "ab"][random.usize(..3)]).collect::<Vec<_>>()
        };
        let naive = |pattern: &(bool, Vec<&str>), origin: &[&str]| match pattern.0 {
            true => origin.len() > pattern.1.len() && origin.ends_with(&pattern.1),
            false => origin == pattern.1,
        };
        let text = |(star, labels): &(bool, Vec<&str>)| {
            format!("https://{}{}", if *star { "*." } else { "" }, labels.join("."))
        };
        let patterns: Vec<_> = (0..60).map(|at| (at % 2 == 0, host(1))).collect();
        let origins: Vec<_> = (0..200).map(|_| host(1)).collect();
        for one in &patterns {
            let own = pattern(&text(one));
            for origin in &origins {
                let sent = format!("https://{}", origin.join("."));
                assert_eq!(own.matches(&sent), naive(one, origin), "{own} {sent}");
            }
            for other in &patterns {
                if own.covers(&pattern(&text(other))) {
                    let escaped = origins.iter().find(|origin| naive(other, origin) && !naive(one, origin));
                    assert_eq!(escaped, None, "{own} covers {}", text(other));
                }
            }
        }
    }
}
