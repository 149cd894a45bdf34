//! Requests for answers to challenges that are not furt's: static routes answer them, and registered services only where they are
//! granted that, since who answers gets a certificate for the host.

use http::Method;

use crate::published::Published;
use furt_core::routing::{Found, Owner, Route};

/// Where authorities of certificates look for an answer, over plain HTTP (RFC 8555 §8.3).
pub(super) const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// Whether an authority may be asking so: for one token, and nothing below it.
pub(super) fn is_question(path: &str, method: &Method) -> bool {
    let token = path.strip_prefix(CHALLENGES).filter(|_| matches!(*method, Method::GET | Method::HEAD));
    token.is_some_and(|token| !token.is_empty() && !token.contains('/'))
}

/// The route of a request. Where it asks for the answer to a challenge that is not furt's, a registered service is asked only
/// where its grant says so.
pub(super) fn find<'a>(
    snapshot: &'a Published,
    (host, path): (&str, &str),
    method: &Method,
    is_challenge: bool,
) -> Found<'a> {
    if !is_challenge {
        return snapshot.find(host, path, method);
    }
    let is_usable = |route: &Route| may_answer(snapshot, route) && snapshot.is_usable(route);
    snapshot.table.find(host, path, method, is_usable)
}

/// Whether a route may be asked for the answer to a challenge that is not furt's: who answers it gets a certificate for the host. With
/// `[acme]` a registered service may where its grant names such paths literally; a pattern that happens to cover them is not enough.
pub(super) fn may_answer(published: &Published, route: &Route) -> bool {
    let Owner::Service(index) = route.owner else { return true };
    let config = &published.config;
    if !config.acme.is_on() {
        return true;
    }
    let Some(service) = published.service(index) else { return false };
    let granted = published.grants.get(&service.definition.service);
    granted.into_iter().flat_map(|grant| &grant.paths).any(|path| path.as_str().starts_with(CHALLENGES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_asks_for_one_token() {
        for (path, method, is_it) in [
            ("/.well-known/acme-challenge/a", Method::GET, true),
            ("/.well-known/acme-challenge/a", Method::HEAD, true),
            ("/.well-known/acme-challenge/a", Method::POST, false),
            ("/.well-known/acme-challenge/", Method::GET, false),
            ("/.well-known/acme-challenge/a/b", Method::GET, false),
            ("/.well-known/acme-challenge", Method::GET, false),
            ("/a", Method::GET, false),
        ] {
            assert_eq!(is_question(path, &method), is_it, "{method} {path}");
        }
    }
}
