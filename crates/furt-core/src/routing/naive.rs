//! Paths, patterns and the choice of a route, written a second time from the rules in words and in the plainest form.
//!
//! Texts and lists alone: nothing of `model::path`, `Pattern::matches` or the table is used, so that a mistake there is not
//! made here, too. Read by the tests of `routing`, and by the fuzz target `routes`, which has this file as a module of its own.

use std::cmp::Ordering;
use std::sync::Arc;

use http::Method;

use furt_core::model::MethodRule;
use furt_core::routing::{Owner, Route};

/// What a path is matched as; `None`: it is refused.
pub fn normalized(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let is_plain = |byte: &u8| matches!(byte, b'!'..=b'~') && !b"#\\".contains(byte);
    if bytes.first() != Some(&b'/') || !bytes.iter().all(is_plain) {
        return None;
    }
    let mut matched = String::new();
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            matched.push(char::from(*byte));
            continue;
        }
        let escape = std::str::from_utf8(rest.get(..2)?).ok().filter(|two| !two.contains('+'))?;
        match u8::from_str_radix(escape, 16).ok()? {
            0..=0x1f | 0x7f | b'/' | b'\\' => return None,
            unreserved @ (b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => {
                matched.push(char::from(unreserved));
            }
            _ => matched.extend(['%'].into_iter().chain(escape.to_ascii_uppercase().chars())),
        }
        rest = &rest[2..];
    }
    let segments: Vec<_> = matched[1..].split('/').collect();
    let is_refused = |(at, segment): (usize, &&str)| {
        let name = segment.replace("%3B", ";");
        let name = name.split(';').next().unwrap_or_default().to_owned();
        let is_trailing_slash = segment.is_empty() && at == segments.len() - 1;
        name == "." || name == ".." || (name.is_empty() && !is_trailing_slash)
    };
    if segments.iter().enumerate().any(is_refused) { None } else { Some(matched) }
}

/// What a pattern is kept as; `None`: it is refused.
pub fn pattern(text: &str) -> Option<String> {
    let kept = normalized(text)?;
    let segments: Vec<_> = kept[1..].split('/').collect();
    let middle_stars = segments[..segments.len() - 1].iter().filter(|segment| **segment == "*").count();
    let fits = text.len() <= 1024
        && !kept.contains('?')
        && segments.len() <= 16
        && middle_stars <= 4
        && segments.iter().all(|segment| !segment.contains('*') || *segment == "*");
    fits.then_some(kept)
}

/// Whether a pattern, as it is kept, matches a path, as it is matched.
pub fn matches(pattern: &str, path: &str) -> bool {
    segments_match(&pattern.split('/').skip(1).collect::<Vec<_>>(), &path.split('/').skip(1).collect::<Vec<_>>())
}

fn segments_match(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["*"], [first, ..]) => !first.is_empty(),
        ([own, pattern @ ..], [given, path @ ..]) => {
            (own == given || (*own == "*" && !given.is_empty())) && segments_match(pattern, path)
        }
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

/// A path that two patterns both match if there is one at all: each segment is what one of them asks for.
pub fn meeting(one: &str, other: &str) -> String {
    let (one, other): (Vec<_>, Vec<_>) = (one.split('/').skip(1).collect(), other.split('/').skip(1).collect());
    let named = |texts: &[&str], at: usize| texts.get(at).copied().filter(|text| *text != "*").map(str::to_owned);
    let segment = |at| named(&one, at).or_else(|| named(&other, at)).unwrap_or_else(|| "x".to_owned());
    (0..one.len().max(other.len())).map(|at| format!("/{}", segment(at))).collect()
}

/// Paths that a pattern matches, among them one that another pattern does not match unless it matches all of them.
pub fn examples(pattern: &str) -> Vec<String> {
    /// A text that stands in no other pattern: what matches it is a `*`.
    const FRESH: &str = "/fresh-and-in-no-other-pattern";
    let closed = pattern.strip_suffix("/*").unwrap_or(pattern);
    let stem: String =
        closed.split('/').skip(1).map(|text| if text == "*" { FRESH.to_owned() } else { format!("/{text}") }).collect();
    if closed.len() == pattern.len() {
        return vec![stem];
    }
    // Beyond 16 segments no pattern without a last `*` follows.
    let tails = [1, 2, 17].map(|count| FRESH.repeat(count));
    tails.iter().flat_map(|tail| [format!("{stem}{tail}"), format!("{stem}{tail}/")]).collect()
}

/// Routes in a list.
#[derive(Clone, Default)]
pub struct Routes(pub Vec<Arc<Route>>);

impl Routes {
    /// Replaces one of the same host, pattern and method if there is one.
    pub fn insert(&mut self, route: Arc<Route>) -> Option<Arc<Route>> {
        let replaced = self.remove(&route);
        self.0.push(route);
        replaced
    }

    /// The route of this host, pattern and method, taken out.
    pub fn remove(&mut self, route: &Route) -> Option<Arc<Route>> {
        let key = |route: &Route| (route.host.clone(), route.method.clone(), route.pattern.as_str().to_owned());
        let at = self.0.iter().position(|other| key(other) == key(route))?;
        Some(self.0.swap_remove(at))
    }

    /// Every route whose host and pattern match, the best first; of one pattern by method, `*` last.
    pub fn matches(&self, host: &str, path: &str) -> Vec<&Arc<Route>> {
        let bound = |route: &Route| route.host.as_ref().is_none_or(|own| own.as_str() == host);
        let matching = |route: &&Arc<Route>| bound(route) && matches(route.pattern.as_str(), path);
        let mut routes: Vec<_> = self.0.iter().filter(matching).collect();
        routes.sort_by(|one, other| {
            let method = |route: &Route| (route.method == MethodRule::Any, route.method.to_string());
            precedence(one, other).then_with(|| method(one).cmp(&method(other)))
        });
        routes
    }

    /// What is found, as [`shown`] shows routes: one to take, one that is `unusable`, the methods that could be used
    /// instead (`only GET, HEAD`), or `nothing`.
    pub fn find(&self, host: &str, path: &str, method: &Method, usable: impl Fn(&Route) -> bool) -> String {
        let matching = self.matches(host, path);
        let mut candidates: Vec<_> =
            matching.iter().filter_map(|route| Some((rank(&route.method, method)?, *route))).collect();
        candidates.sort_by(|(rank, one), (other_rank, other)| precedence(one, other).then(rank.cmp(other_rank)));
        let Some((_, best)) = candidates.first() else {
            let mut methods: Vec<_> = matching.iter().map(|route| route.method.to_string()).collect();
            if methods.contains(&"GET".to_owned()) {
                methods.push("HEAD".to_owned());
            }
            methods.sort();
            methods.dedup();
            return if methods.is_empty() { "nothing".to_owned() } else { format!("only {}", methods.join(", ")) };
        };
        let stands_in = |route: &Route| matches!(route.owner, Owner::Static(_)) && usable(route);
        match candidates.iter().find(|(_, route)| usable(best) || stands_in(route)) {
            Some((_, route)) => shown(route),
            None => format!("unusable {}", shown(best)),
        }
    }
}

/// A route as one line: `static GET shop/a/*`.
pub fn shown(route: &Route) -> String {
    let owner = if matches!(route.owner, Owner::Static(_)) { "static " } else { "" };
    let host = route.host.as_ref().map_or("", |host| host.as_str());
    format!("{owner}{} {host}{}", route.method, route.pattern)
}

fn rank(rule: &MethodRule, method: &Method) -> Option<u8> {
    match rule {
        MethodRule::Only(own) if own == method => Some(0),
        MethodRule::Only(own) if own == Method::GET && method == Method::HEAD => Some(1),
        MethodRule::Any => Some(2),
        MethodRule::Only(_) => None,
    }
}

/// The better first, of two routes that match one path: bound to the host, then segment by segment from the left a text
/// before `*` before a last `*`.
fn precedence(one: &Route, other: &Route) -> Ordering {
    let specificity = |route: &Route| {
        let texts: Vec<_> = route.pattern.as_str().split('/').skip(1).map(str::to_owned).collect();
        let last = texts.len() - 1;
        texts.iter().enumerate().map(|(at, text)| (text == "*", text == "*" && at == last)).collect::<Vec<_>>()
    };
    (one.host.is_none().cmp(&other.host.is_none())).then_with(|| specificity(one).cmp(&specificity(other)))
}
