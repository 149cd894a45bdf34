//! What becomes of a request's path and host on its way to the service, and of the place that its answer names, where `rewrite`
//! is in force for the route.
//!
//! Whole segments of the path as it was sent are taken off. Nothing else can be meant by it: empty segments, dot segments and
//! encoded slashes were refused before.

use http::header::{HOST, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::context::Context;
use super::cors;
use furt_core::model::{AskedHost, PathPrefix, Rewrite, is_of_host};
use furt_core::routing::RouteRules;

const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// The same, as it is written.
const SET_PREFIX: &str = "X-Forwarded-Prefix";

/// Edits the request that goes to the service, once what a stranger says of a prefix is removed.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn for_service(request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let Some(rules) = ctx.target.rules() else { return Ok(()) };
    if let Some(rewrite) = &rules.rewrite {
        let Ok(sent) = std::str::from_utf8(request.raw_path()) else {
            return Error::e_explain(ErrorType::InternalError, "a target beyond ASCII was let in");
        };
        let target = rewrite.target(sent);
        request.set_raw_path(target.as_bytes())?;
        if let Some(strip) = &rewrite.strip {
            let prefix = format!("{}{strip}", told_prefix(request));
            request.insert_header(SET_PREFIX, prefix)?;
        }
    }
    match asked_host(rules, ctx) {
        Some(host) => request.insert_header(HOST, host),
        None => Ok(()),
    }
}

/// Edits the place that an answer names.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn for_client(session: &Session, response: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    let Some(rules) = ctx.target.rules() else { return Ok(()) };
    let rewrite = rules.rewrite.as_deref();
    let is_left = rewrite.is_some_and(|rewrite| !rewrite.redirects) || rewrite.is_none() && rules.asked_host.is_none();
    let names_place = response.status == StatusCode::CREATED || response.status.is_redirection();
    let mut said = response.headers.get_all(LOCATION).iter();
    let (Some(place), None) = (said.next().filter(|_| names_place && !is_left), said.next()) else { return Ok(()) };
    let request = session.req_header();
    let asked = asked_host(rules, ctx);
    let hosts = Hosts { own: cors::authority(request, &ctx.client), asked: asked.as_deref() };
    let outer = if ctx.client.is_peer_trusted { told_prefix(request) } else { "" };
    let place = std::str::from_utf8(place.as_bytes()).ok().and_then(|said| location(said, hosts, outer, rewrite));
    match place.map(|place| HeaderValue::from_bytes(place.as_bytes())) {
        Some(Ok(place)) => response.insert_header(LOCATION, place),
        Some(Err(_)) | None => Ok(()),
    }
}

/// What a proxy before furt took off, without a slash at its end. What is there twice could be read in two ways.
fn told_prefix(request: &RequestHeader) -> &str {
    let mut all = request.headers.get_all(&FORWARDED_PREFIX).iter();
    let told = all.next().filter(|_| all.next().is_none()).and_then(|value| value.to_str().ok());
    told.unwrap_or_default().trim_end_matches('/')
}

/// The host that the service was asked for, where that is not the client's.
fn asked_host(rules: &RouteRules, ctx: &Context) -> Option<String> {
    match rules.asked_host.as_ref()? {
        AskedHost::Instance => ctx.attempts.instance().map(|one| one.spec.url.authority()),
        AskedHost::Named(host) => Some(host.to_string()),
    }
}

/// The hosts that a service may name.
#[derive(Clone, Copy)]
struct Hosts<'a> {
    /// The one that the client asked for.
    own: &'a str,
    /// The one that the service was asked for instead.
    asked: Option<&'a str>,
}

/// The place as the client must ask for it; `None`: as it is said. `outer`: what a proxy before furt took off the path.
fn location(said: &str, hosts: Hosts<'_>, outer: &str, rewrite: Option<&Rewrite>) -> Option<String> {
    let is_whole = |strip: &PathPrefix, path: &str| {
        let rest = path.strip_prefix(outer).filter(|_| !outer.is_empty()).and_then(|rest| strip.strip(rest));
        rest.is_some()
    };
    let put_back = |path: &str| {
        let rewrite = rewrite?;
        // The service has read what it was told.
        let knows = rewrite.strip.as_ref().is_some_and(|strip| is_whole(strip, path));
        if knows { None } else { rewrite.location(path) }
    };
    // Two slashes, or what browsers take for them, would lead to another host.
    let safe = |path: String| match path.as_bytes() {
        [b'/', b'/' | b'\\', ..] => format!("//{}{path}", hosts.own),
        _ => path,
    };
    if said.starts_with('/') && !said.starts_with("//") {
        return put_back(said).map(safe);
    }
    let (scheme, rest) = said.split_once("://")?;
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let is_host = |host: &str| is_of_host(&format!("{}://{authority}", scheme.to_ascii_lowercase()), host);
    if hosts.asked.is_some_and(is_host) {
        // The client knows no such host: the same place, at the host that it asked for.
        return Some(safe(put_back(&path).unwrap_or(path)));
    }
    let path = put_back(&path).filter(|_| is_host(hosts.own))?;
    Some(format!("{scheme}://{authority}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_at_the_host_itself_is_put_back_and_any_other_left() {
        let strip = Some(PathPrefix::try_new("/api").unwrap());
        let rewrite = Some(&Rewrite { strip, add: None, redirects: true });
        let client = Hosts { own: "a.example", asked: None };
        let instance = Hosts { asked: Some("10.0.0.1:7812"), ..client };
        for (said, expected) in [
            ("/login?x=1#y", Some("/api/login?x=1#y")),
            ("/api/login", None),
            ("//evil.example/login", None),
            ("login", None),
            ("?x=1", None),
            ("", None),
            ("http://a.example/login", Some("http://a.example/api/login")),
            ("https://A.example:443/login", Some("https://A.example:443/api/login")),
            ("http://a.example", Some("http://a.example/api/")),
            ("http://a.example?x", Some("http://a.example/api/?x")),
            ("http://a.example/api/login", None),
            ("http://b.example/login", None),
            ("http://a.example:8080/login", None),
            ("http://u@a.example/login", None),
            ("mailto:a@a.example", None),
        ] {
            assert_eq!(location(said, client, "", rewrite).as_deref(), expected, "{said}");
        }
        for (said, expected) in [
            ("http://10.0.0.1:7812/login", Some("/api/login")),
            ("http://10.0.0.1:7812", Some("/api/")),
            ("http://10.0.0.1:7812/api/login", Some("/api/login")),
            ("http://10.0.0.1/login", None),
            ("/login", Some("/api/login")),
        ] {
            assert_eq!(location(said, instance, "", rewrite).as_deref(), expected, "{said}");
        }
        for (said, expected) in
            [("http://10.0.0.1:7812/login", Some("/login")), ("/login", None), ("http://a.example/", None)]
        {
            assert_eq!(location(said, instance, "", None).as_deref(), expected, "{said}");
        }
        for (said, expected) in
            [("/outer/api/login", None), ("/login", Some("/api/login")), ("/outer", Some("/api/outer"))]
        {
            assert_eq!(location(said, client, "/outer", rewrite).as_deref(), expected, "{said}");
        }
        let added = PathPrefix::try_new("/v2").unwrap();
        let rewrite = Rewrite { strip: None, add: Some(added), redirects: true };
        let there = location("/v2//evil.example", client, "", Some(&rewrite));
        assert_eq!(there.as_deref(), Some("//a.example//evil.example"));
    }
}
