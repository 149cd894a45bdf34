//! Another place to which clients are sent: which one it is for a request, and that it is not the one that was asked for.

use std::fmt;

use http::StatusCode;

use super::{Host, PathPrefix, Pattern, Rewrite, Scheme, host};

/// Where clients are sent, as a static route says it. What it does not name stays as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The scheme of the place.
    pub scheme: Option<Scheme>,
    /// Its host.
    pub host: Option<Host>,
    /// Its port.
    pub port: Option<u16>,
    /// What becomes of the path.
    pub path: Rewrite,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'r> {
    /// By which scheme.
    pub scheme: Scheme,
    /// Host and port, as it was sent.
    pub authority: &'r str,
    /// Path and query, as they were sent.
    pub target: &'r str,
}

/// Why there is no place to send a client to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// It would be the same, or the client was sent there already.
    #[error("the redirect of the route leads back to what was asked for")]
    Same,
    /// Nobody names its host.
    #[error("the redirect of the route needs a Host")]
    NoHost,
}

impl Redirect {
    /// Where nothing else is said: the client repeats its request with method and body, and asks here again next time.
    pub const STATUS: StatusCode = StatusCode::TEMPORARY_REDIRECT;

    /// The url of the place. A port that is not named is the asked one where scheme and host are kept, and the scheme's own
    /// otherwise.
    ///
    /// # Errors
    /// There is none.
    pub fn place(&self, asked: Asked<'_>) -> Result<String, NoPlace> {
        let asked_host = host::normalize(asked.authority);
        let host = self.host.as_ref().map_or(&*asked_host, Host::as_str);
        if host.is_empty() {
            return Err(NoPlace::NoHost);
        }
        let scheme = self.scheme.unwrap_or(asked.scheme);
        let asked_port = host::port(asked.authority);
        let kept_port = asked_port.filter(|_| self.scheme.is_none() && self.host.is_none());
        let port = self.port.or(kept_port).unwrap_or(own_port(scheme));
        let target = self.path.target(asked.target);
        let is_same_origin =
            (scheme, host, port) == (asked.scheme, &*asked_host, asked_port.unwrap_or(own_port(asked.scheme)));
        if is_same_origin && (target == asked.target || self.has_been_at(asked.target)) {
            return Err(NoPlace::Same);
        }
        let port = if port == own_port(scheme) { String::new() } else { format!(":{port}") };
        Ok(format!("{}://{host}{port}{target}", scheme.as_str()))
    }

    /// Whether the path begins with what is put before it: the client follows this redirect a second time, and each time the
    /// path would grow.
    fn has_been_at(&self, target: &str) -> bool {
        self.path.add.as_ref().is_some_and(|add| add.strip(target).is_some())
    }

    /// Whether it leads every request of a route with this host and pattern back to itself.
    pub fn is_loop(&self, own: Option<&Host>, pattern: &Pattern) -> bool {
        let keeps_origin = self.scheme.is_none() && self.port.is_none();
        let keeps_host = self.host.is_none() || self.host.as_ref() == own;
        let keeps_path = match (&self.path.strip, &self.path.add) {
            (_, Some(add)) => add.begins(pattern),
            (Some(_), None) => false,
            (None, None) => true,
        };
        keeps_origin && keeps_host && keeps_path
    }

    /// Whether it says where to.
    pub fn names_place(&self) -> bool {
        self.scheme.is_some() || self.host.is_some() || self.port.is_some() || self.path.check().is_ok()
    }
}

/// In words, for operators.
impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = |prefix: &Option<PathPrefix>, does: &str| prefix.as_ref().map(|prefix| format!("{does} {prefix}"));
        let parts = [
            self.scheme.map(|scheme| format!("scheme {}", scheme.as_str())),
            self.host.as_ref().map(|host| format!("host {host}")),
            self.port.map(|port| format!("port {port}")),
            prefix(&self.path.strip, "strips"),
            prefix(&self.path.add, "adds"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        write!(f, "{}: {}", self.status.as_u16(), parts.join(", "))
    }
}

/// The port that a scheme means.
fn own_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From words such as `scheme=https host=b.example port=1 strip=/a add=/b`.
    fn redirect(words: &str) -> Redirect {
        let said = |name: &str| words.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let prefix = |name| said(name).map(|text| PathPrefix::try_new(text).unwrap());
        Redirect {
            scheme: said("scheme").map(|text| if text == "https" { Scheme::Https } else { Scheme::Http }),
            host: said("host").map(|text| Host::try_new(text).unwrap()),
            port: said("port").map(|text| text.parse().unwrap()),
            path: Rewrite { strip: prefix("strip"), add: prefix("add"), redirects: true },
            status: Redirect::STATUS,
        }
    }

    /// Where a client is sent that asks for this url.
    fn place(words: &str, url: &str) -> Result<String, NoPlace> {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, target) = rest.split_at(rest.find('/').unwrap());
        let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
        redirect(words).place(Asked { scheme, authority, target })
    }

    /// The table of docs/routes.md, and more.
    #[test]
    fn a_place_is_what_is_named_and_otherwise_what_was_asked_for() {
        for (words, asked, expected) in [
            ("scheme=https", "http://a.example/x?y", "https://a.example/x?y"),
            ("scheme=https", "http://a.example:8080/x", "https://a.example/x"),
            ("scheme=https port=8443", "http://a.example:8080/x", "https://a.example:8443/x"),
            ("scheme=https port=443", "http://a.example:8080/x", "https://a.example/x"),
            ("scheme=http", "https://a.example:8443/x", "http://a.example/x"),
            ("host=b.example", "http://a.example:8080/x", "http://b.example/x"),
            ("host=b.example", "https://a.example:8443/x", "https://b.example/x"),
            ("host=b.example port=8443", "https://a.example/x", "https://b.example:8443/x"),
            ("host=a.example", "http://a.example:8080/x", "http://a.example/x"),
            ("port=8443", "https://a.example/x", "https://a.example:8443/x"),
            ("port=80", "https://a.example/x", "https://a.example:80/x"),
            ("strip=/old add=/new", "https://a.example:8443/old/x?y=/old", "https://a.example:8443/new/x?y=/old"),
            ("strip=/old", "http://a.example/old", "http://a.example/"),
            ("strip=/old", "http://a.example/%6fld/%78?y", "http://a.example/%78?y"),
            ("add=/v2", "http://a.example/", "http://a.example/v2/"),
            ("add=/v2", "http://a.example/v2x", "http://a.example/v2/v2x"),
            ("add=/v2 host=b.example", "http://a.example/v2/x", "http://b.example/v2/v2/x"),
            ("scheme=https", "http://[::1]:8080/x", "https://[::1]/x"),
            ("strip=/old", "http://[::1]:8080/old/x", "http://[::1]:8080/x"),
            ("strip=/old", "http://A.Example.:80/old/x", "http://a.example/x"),
            ("host=b.example", "http:///x", "http://b.example/x"),
        ] {
            assert_eq!(place(words, asked).as_deref(), Ok(expected), "{words} {asked}");
        }
        for (words, asked) in [
            ("scheme=https", "https://a.example/x"),
            ("scheme=https", "https://a.example:443/x"),
            ("scheme=https", "https://A.example./x"),
            ("host=b.example", "http://b.example/x"),
            ("host=b.example", "http://b.example:80/x"),
            ("port=8443", "https://a.example:8443/x"),
            ("add=/v2", "http://a.example/v2"),
            ("add=/v2", "http://a.example/v2/x"),
            ("add=/v2", "http://a.example/v2?x"),
            ("strip=/old add=/old/new", "http://a.example/old/new/x"),
        ] {
            assert_eq!(place(words, asked), Err(NoPlace::Same), "{words} {asked}");
        }
        assert_eq!(place("scheme=https", "http:///x"), Err(NoPlace::NoHost));
    }

    /// A client that follows what it is told is at an end soon, whatever it asked for and whatever is configured.
    #[test]
    fn nobody_goes_round_and_every_place_is_a_whole_url() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut one_of = |all: &[&'static str]| all[random.usize(..all.len())];
        let mut moved = 0;
        for _ in 0..20_000 {
            let words = [
                one_of(&["", "scheme=https", "scheme=http"]),
                one_of(&["", "host=a.example", "host=b.example"]),
                one_of(&["", "port=80", "port=443", "port=8443"]),
                one_of(&["", "strip=/a", "strip=/a/b"]),
                one_of(&["", "add=/a", "add=/b", "add=/a/b"]),
            ]
            .join(" ");
            let redirect = redirect(&words);
            let strip = redirect.path.strip.clone();
            let mut url = format!(
                "{}://{}{}",
                one_of(&["http", "https"]),
                one_of(&["a.example", "b.example:80", "a.example:8443", "[::1]:443"]),
                one_of(&["/", "/a", "/a/b", "/a/b/a/b", "/b/x?y", "/a?//evil.example", "/c"])
            );
            let is_taken = |url: &str| {
                let path = &url[url.find("://").unwrap() + 3..];
                let path = &path[path.find('/').unwrap()..];
                strip.as_ref().is_none_or(|strip| strip.strip(path).is_some())
            };
            let mut steps = 0;
            while is_taken(&url)
                && let Ok(next) = place(&words, &url)
            {
                let (scheme, rest) = next.split_once("://").unwrap();
                assert!(["http", "https"].contains(&scheme) && !rest.starts_with('/'), "{next}");
                assert!(!rest[rest.find('/').unwrap()..].starts_with("//"), "{next}");
                assert_ne!(next, url, "{words}");
                url = next;
                steps += 1;
                assert!(steps < 8, "{words}: {url}");
            }
            moved += usize::from(steps > 0);
        }
        assert!(moved > 5_000, "{moved} of them led somewhere");
    }

    #[test]
    fn what_always_leads_back_is_known_from_the_route_alone() {
        for (words, own, pattern, expected) in [
            ("host=a.example", "a.example", "/*", true),
            ("host=A.Example.", "a.example", "/*", true),
            ("host=a.example", "b.example", "/*", false),
            ("host=a.example", "", "/*", false),
            ("host=a.example scheme=https", "a.example", "/*", false),
            ("host=a.example port=8443", "a.example", "/*", false),
            ("host=a.example strip=/x", "a.example", "/x/*", false),
            ("host=a.example strip=/x add=/x", "a.example", "/x/*", true),
            ("strip=/x add=/x", "", "/x/*", true),
            ("strip=/x add=/x/y", "", "/x/*", false),
            ("strip=/x add=/x/y", "", "/x/y/*", true),
            ("add=/x", "", "/x/*", true),
            ("add=/x", "", "/*", false),
            ("strip=/x", "", "/x/*", false),
        ] {
            let own = (!own.is_empty()).then(|| Host::try_new(own).unwrap());
            let pattern = Pattern::try_new(pattern).unwrap();
            assert_eq!(redirect(words).is_loop(own.as_ref(), &pattern), expected, "{words} {own:?} {pattern}");
        }
    }
}
