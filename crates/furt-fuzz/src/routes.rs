//! The target `routes`: paths, patterns and the table against [`naive`](super::naive), and paths against a url parser.
//!
//! An input is lines: `GET shop/a/*` puts in a route of a service, `+GET /a` a static one, `-GET /a` takes one out,
//! `=05` names the services that are usable from there on (the bits of a hexadecimal number), `?GET shop/a/b` asks. Texts
//! that are no pattern, path or method are checked to be refused rightly, and change nothing.

use std::sync::Arc;

use http::Method;

use super::{lines, naive};
use furt_core::model::{Host, MethodRule, Pattern, host, path};
use furt_core::routing::{Found, Owner, Route, ServiceIndex, Table};

/// So many patterns are held against each other; all pairs of more would take longer than all else.
const COMPARED: usize = 8;

/// Asserts that the table finds what the plain rules find, and that paths have one reading.
pub fn routes(data: &[u8]) {
    let (mut table, mut plain) = (Table::default(), naive::Routes::default());
    let mut usable = u64::MAX;
    let mut earlier = Vec::new();
    let mut patterns: Vec<Pattern> = Vec::new();
    for (number, line) in lines(data).enumerate() {
        if let Some(bits) = line.strip_prefix('=') {
            usable = u64::from_str_radix(bits, 16).unwrap_or(u64::MAX);
        } else if let Some(question) = line.strip_prefix('?') {
            ask(&table, &plain, question, usable);
        } else if let Some(route) = read_route(line, number) {
            patterns.push(route.pattern.clone());
            if line.starts_with('-') {
                let gone = table.remove(route.host.as_ref(), &route.method, &route.pattern);
                assert_eq!(gone, plain.remove(&route), "{line}");
                // What was there before the removal is not what a later insertion can be undone to.
                earlier.clear();
            } else {
                let before = table.clone();
                table.insert(Arc::clone(&route));
                if plain.insert(Arc::clone(&route)).is_none() {
                    earlier.push((before, route));
                } else {
                    earlier.clear();
                }
            }
            check_contents(&table, &plain);
        }
    }
    // Each removal gives back the table before: also the clone of then, which shared its nodes with all that came after.
    for (before, route) in earlier.into_iter().rev() {
        assert_eq!(table.remove(route.host.as_ref(), &route.method, &route.pattern), Some(route));
        assert!(table.iter().eq(before.iter()) && table.len() == before.len(), "{table:?} is not {before:?}");
    }
    patterns.truncate(COMPARED);
    for one in &patterns {
        patterns.iter().for_each(|other| check_pair(one, other));
    }
}

fn read_route(line: &str, number: usize) -> Option<Arc<Route>> {
    let index = ServiceIndex(u32::try_from(number % 8).ok()?);
    let owner = if line.starts_with('+') { Owner::Static(index) } else { Owner::Service(index) };
    let (method, host, path) = split(line.trim_start_matches(['+', '-']))?;
    let pattern = read_pattern(path)?;
    let host = if host.is_empty() { None } else { Some(Host::try_new(host).ok()?) };
    let method = MethodRule::try_new(method).ok()?;
    Some(Arc::new(Route { host, method, pattern, permission: None, owner, rules: None, counter: Default::default() }))
}

/// Method, host and path of `GET shop/a`.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (method, target) = text.split_once(' ')?;
    let (host, path) = target.split_at(target.find('/')?);
    Some((method, host, path))
}

fn read_pattern(text: &str) -> Option<Pattern> {
    read_path(text);
    let read = Pattern::try_new(text).ok();
    assert_eq!(read.as_ref().map(Pattern::as_str), naive::pattern(text).as_deref(), "{text}");
    if let Some(pattern) = &read {
        assert_eq!(Pattern::try_new(pattern.as_str()).as_ref(), Ok(pattern), "{text}: kept, it is read as it was");
        assert_eq!(pattern.is_open(), naive::examples(pattern.as_str()).len() > 1, "{text}");
    }
    read
}

/// A path as it is matched, after it has been read by others, too.
fn read_path(text: &str) -> Option<String> {
    let read = path::normalize(text).map(|path| path.into_owned()).ok();
    assert_eq!(read, naive::normalized(text), "{text}");
    let matched = read?;
    assert_eq!(path::normalize(&matched).as_deref(), Ok(matched.as_str()), "{text}: it is read as it was");
    let segments = |path: &str| path.split('/').map(decoded).collect::<Vec<_>>();
    assert_eq!(segments(text), segments(&matched), "{text}: decoded, it is the same");
    for segment in segments(text) {
        let is_two_ways = segment.iter().any(|byte| b"/\\".contains(byte) || byte.is_ascii_control());
        assert!(!is_two_ways && segment != b"." && segment != b"..", "{text}: services read it in two ways");
    }
    // As browsers and many services read it (WHATWG): it repairs dot segments and backslashes, here with nothing to do.
    if !text.contains('?') {
        let url = url::Url::parse(&format!("http://h{text}")).map(|url| segments(url.path()));
        assert_eq!(url, Ok(segments(text)), "{text}: a url parser reads it another way");
    }
    Some(matched)
}

/// Every escape decoded, as services do it.
fn decoded(segment: &str) -> Vec<u8> {
    let bytes = segment.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| segment.get(at + 1..at + 3)).flatten();
        match escape.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(escaped) => {
                out.push(escaped);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn ask(table: &Table, plain: &naive::Routes, question: &str, usable: u64) {
    let Some((method, host, path)) = split(question) else { return };
    let (Some(path), Ok(method)) = (read_path(path), Method::from_bytes(method.as_bytes())) else { return };
    let host = host::normalize(host);
    let usable = |route: &Route| usable >> route.owner.index().0 & 1 == 1;
    let found = match table.find(&host, &path, &method, usable) {
        Found::Route(route) => naive::shown(route),
        Found::Unusable(route) => format!("unusable {}", naive::shown(route)),
        Found::WrongMethod(methods) => format!("only {methods}"),
        Found::Nothing => "nothing".to_owned(),
    };
    assert_eq!(found, plain.find(&host, &path, &method, usable), "{question}");
    assert_eq!(table.matches(&host, &path), plain.matches(&host, &path), "{question}");
    for route in table.iter() {
        let matches = naive::matches(route.pattern.as_str(), &path);
        assert_eq!(route.pattern.matches(&path), matches, "{} {path}", route.pattern);
    }
}

/// The same routes; their order in the table does not depend on how they came there.
fn check_contents(table: &Table, plain: &naive::Routes) {
    let mut again = Table::default();
    plain.0.iter().for_each(|route| again.insert(Arc::clone(route)));
    assert_eq!((table.len(), table.is_empty()), (plain.0.len(), plain.0.is_empty()));
    assert!(table.iter().eq(again.iter()), "{table:?} is not {again:?}");
    assert!(table.iter().all(|route| plain.0.contains(route)), "{table:?} is not {:?}", plain.0);
}

/// What patterns say of one another, by the paths that they match.
fn check_pair(one: &Pattern, other: &Pattern) {
    let meeting = naive::meeting(one.as_str(), other.as_str());
    let meets = naive::matches(one.as_str(), &meeting) && naive::matches(other.as_str(), &meeting);
    assert_eq!(one.overlaps(other), meets, "{one} overlaps {other}");
    let covers = naive::examples(other.as_str()).iter().all(|path| naive::matches(one.as_str(), path));
    assert_eq!(one.covers(other), covers, "{one} covers {other}");
}
