//! What becomes of a request's path on its way to the service, and of the places that the service names.

use std::fmt;

use super::{Host, Invalid, MAX_SEGMENTS, Pattern, Segment, path};

/// Whole segments at the beginning of a path, such as `/api/v1`; never `/` alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPrefix(Box<str>);

impl PathPrefix {
    /// From a path without a slash at its end. Percent-encoded unreserved characters are decoded, as in requests.
    ///
    /// # Errors
    /// What is refused in a request's path, `/`, a slash at the end, `*`, a query, over 1,024 bytes, over 16 segments.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let refused = || {
            Invalid::new("must be whole segments of a path, such as \"/api/v1\", without \"*\" and a slash at the end")
        };
        let path = path::normalize(text).map_err(|_| refused())?;
        let fits = text.len() <= 1024 && path.len() > 1 && !path.ends_with('/') && !path.contains(['*', '?'])
            // What `http` does not take cannot be sent.
            && http::uri::PathAndQuery::try_from(&*path).is_ok();
        let prefix = Self(path.into());
        if fits && prefix.count() <= MAX_SEGMENTS { Ok(prefix) } else { Err(refused()) }
    }

    /// The text, normalized.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many segments it has, at least one.
    pub fn count(&self) -> usize {
        self.segments().count()
    }

    fn segments(&self) -> impl Iterator<Item = &str> {
        self.0[1..].split('/')
    }

    /// Whether every path of the pattern begins with it.
    pub fn begins(&self, pattern: &Pattern) -> bool {
        let mut theirs = pattern.segments();
        self.segments().all(|own| theirs.next() == Some(Segment::Literal(own)))
    }

    /// What follows it in a path that begins with it: nothing, or from a slash on.
    pub fn strip<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(self.as_str()).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which host a service is asked for, where that is not the client's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AskedHost {
    /// The instance's own, as its url has it.
    Instance,
    /// This one.
    Named(Host),
}

impl AskedHost {
    /// From `client` (none), `instance` or a host.
    ///
    /// # Errors
    /// What is no host name or address without a port.
    pub fn try_new(text: &str) -> Result<Option<Self>, Invalid> {
        let named = |text: &str| Host::try_new(text).map(|host| Some(Self::Named(host)));
        match text {
            "client" => Ok(None),
            "instance" => Ok(Some(Self::Instance)),
            _ => {
                named(text).map_err(|_| Invalid::new("must be \"client\", \"instance\" or a host name without a port"))
            }
        }
    }
}

/// What a registration or a rule says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rewrite {
    /// What is taken off the beginning of the path.
    pub strip: Option<PathPrefix>,
    /// What is put before what is left.
    pub add: Option<PathPrefix>,
    /// Whether the same is done the other way round to a `Location` of the service.
    pub redirects: bool,
}

impl Default for Rewrite {
    fn default() -> Self {
        Self { strip: None, add: None, redirects: true }
    }
}

impl Rewrite {
    /// Whether it says anything.
    ///
    /// # Errors
    /// It strips nothing and adds nothing.
    pub fn check(&self) -> Result<(), Invalid> {
        match (&self.strip, &self.add) {
            (None, None) => Err(Invalid::new("must have \"strip\" or \"add\"")),
            _ => Ok(()),
        }
    }

    /// Whether every path of the pattern can be rewritten.
    pub fn fits(&self, pattern: &Pattern) -> bool {
        self.strip.as_ref().is_none_or(|strip| strip.begins(pattern))
    }

    /// The target for the service, of a target as it was sent: a path in origin form, whose path begins with what is stripped, by
    /// segments, in whatever spelling.
    pub fn target(&self, sent: &str) -> String {
        let end = sent.find('?').unwrap_or(sent.len());
        let (path, query) = sent.split_at(end);
        let mut rest = path;
        for _ in 0..self.strip.as_ref().map_or(0, PathPrefix::count) {
            rest = rest.get(1..).and_then(|rest| rest.find('/').map(|slash| &rest[slash..])).unwrap_or_default();
        }
        let added = self.add.as_ref().map_or("", PathPrefix::as_str);
        let root = if added.is_empty() && rest.is_empty() { "/" } else { "" };
        [added, rest, root, query].concat()
    }

    /// The path of a `Location` as the client must ask for it, of a path as the service says it; `None`: it is right as it stands.
    pub fn location(&self, said: &str) -> Option<String> {
        let rest = match &self.add {
            Some(add) => add.strip(said)?,
            None => said,
        };
        match &self.strip {
            // It knows where it is from the client's side.
            Some(strip) if self.add.is_none() && strip.strip(said).is_some() => None,
            Some(strip) if rest == "/" && self.add.is_none() => Some(format!("{strip}/")),
            Some(strip) => Some(format!("{strip}{rest}")),
            None if self.add.is_none() => None,
            None if rest.starts_with('/') => Some(rest.to_owned()),
            None => Some(format!("/{rest}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> PathPrefix {
        PathPrefix::try_new(text).unwrap()
    }

    fn rewrite(strip: &str, add: &str) -> Rewrite {
        let part = |text: &str| (!text.is_empty()).then(|| prefix(text));
        Rewrite { strip: part(strip), add: part(add), redirects: true }
    }

    #[test]
    fn a_prefix_is_whole_literal_segments() {
        assert_eq!(prefix("/%61pi/v1").as_str(), "/api/v1");
        for bad in ["", "/", "api", "/api/", "/a//b", "/a/*", "/a/../b", "/a%2fb", "/a?b", "/a b", "/ä", "/a<b", "/a>b"]
        {
            assert!(PathPrefix::try_new(bad).is_err(), "{bad}");
        }
        assert!(PathPrefix::try_new(&"/a".repeat(16)).is_ok() && PathPrefix::try_new(&"/a".repeat(17)).is_err());
        let pattern = |text: &str| Pattern::try_new(text).unwrap();
        for (text, begins) in [
            ("/api", true),
            ("/api/", true),
            ("/api/*", true),
            ("/api/x/*", true),
            ("/apix", false),
            ("/*", false),
            ("/*/api", false),
            ("/", false),
        ] {
            assert_eq!(prefix("/api").begins(&pattern(text)), begins, "{text}");
        }
    }

    #[test]
    fn whole_segments_are_taken_off_as_they_were_sent() {
        for (strip, add, sent, expected) in [
            ("/api", "", "/api/a", "/a"),
            ("/api", "", "/api", "/"),
            ("/api", "", "/api/", "/"),
            ("/api", "", "/api?x=/y", "/?x=/y"),
            ("/api", "", "/%61pi/%61?x", "/%61?x"),
            ("/api/v1", "", "/api/v1/a/b/", "/a/b/"),
            ("/api", "/v2", "/api/a?x", "/v2/a?x"),
            ("/api", "/v2", "/api", "/v2"),
            ("/api", "/v2", "/api/", "/v2/"),
            ("", "/v2", "/a", "/v2/a"),
            ("", "/v2", "/", "/v2/"),
            ("", "", "/a?b", "/a?b"),
        ] {
            assert_eq!(rewrite(strip, add).target(sent), expected, "{strip} {add} {sent}");
        }
    }

    #[test]
    fn a_location_is_put_back_unless_it_is_the_client_s_already() {
        for (strip, add, said, expected) in [
            ("/api", "", "/login", Some("/api/login")),
            ("/api", "", "/", Some("/api/")),
            ("/api", "", "/api/login", None),
            ("/api", "", "/api", None),
            ("/api", "", "/apix", Some("/api/apix")),
            ("/api", "", "/api?x", None),
            ("/api", "/v2", "/v2/login?x", Some("/api/login?x")),
            ("/api", "/v2", "/v2", Some("/api")),
            ("/api", "/v2", "/other", None),
            ("", "/v2", "/v2/a", Some("/a")),
            ("", "/v2", "/v2", Some("/")),
            ("", "/v2", "/v2?x", Some("/?x")),
            ("", "/v2", "/a", None),
            ("", "", "/a", None),
        ] {
            assert_eq!(rewrite(strip, add).location(said).as_deref(), expected, "{strip} {add} {said}");
        }
    }

    /// What the service is asked for leads back to what the client asked for.
    #[test]
    fn there_and_back_is_the_same_place() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut segments = |least: usize| -> String {
            let count = random.usize(least..4);
            (0..count).map(|_| ["/a", "/b", "/api", "/v2"][random.usize(..4)]).collect()
        };
        for _ in 0..2_000 {
            let (strip, add, rest) = (segments(0), segments(0), segments(0));
            let sent = match format!("{strip}{rest}") {
                sent if sent.is_empty() => "/".to_owned(),
                sent => sent,
            };
            let rewrite = rewrite(&strip, &add);
            let target = rewrite.target(&sent);
            assert!(path::normalize(&target).is_ok(), "{target}");
            let said = rewrite.location(&target).unwrap_or_else(|| target.clone());
            // A service below a prefix that names the prefix itself is believed to know it.
            let knows = add.is_empty() && !strip.is_empty() && prefix(&strip).strip(&target).is_some();
            if !knows {
                let same = |path: &str| path.trim_end_matches('/').to_owned();
                assert_eq!(same(&said), same(&sent), "{strip} {add}: {sent} -> {target}");
            }
        }
    }
}
