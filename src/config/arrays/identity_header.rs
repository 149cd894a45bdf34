//! Headers by which issuers and auth servers may tell services who a caller is. furt removes them from what clients send, on every
//! route.

use http::HeaderName;

use crate::header_name::{Folding, begins_as, reads_as};
use furt_core::model::{Invalid, Message};

/// What oauth2-proxy's headers begin with. Others that begin with `x-auth-` are furt's own.
const OF_OAUTH2_PROXY: &str = "x-auth-request-";
/// What clients of other routes send, so that it cannot be removed from every request.
const OF_CLIENTS: [&str; 12] = [
    "accept",
    "authorization",
    "cookie",
    "expect",
    "http2-settings",
    "origin",
    "proxy-authorization",
    "range",
    "referer",
    "te",
    "upgrade",
    "user-agent",
];
/// The beginnings of further ones.
const OF_CLIENTS_ANY: [&str; 3] = ["accept-", "content-", "if-"];

/// Reads the name of one.
///
/// # Errors
/// It is no name of a header, it is furt's own, or clients of other routes need it.
pub(super) fn identity_header(text: &str) -> Result<HeaderName, Invalid> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Invalid::new("must be the name of a header, such as \"Remote-Groups\""))?;
    if name.as_str().starts_with(OF_OAUTH2_PROXY) {
        return Ok(name);
    }
    if !name.as_str().starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(Invalid::new("must begin with a letter or a digit"));
    }
    let is = |own: &str| reads_as(own, name.as_str(), Folding::EverySign);
    if is("set-cookie") {
        return Err(Invalid::new("is for the client, which gets it anyway; must be another header"));
    }
    let begins_so = |own: &&str| begins_as(name.as_str(), own, Folding::EverySign);
    if OF_CLIENTS.iter().any(|own| is(own)) || OF_CLIENTS_ANY.iter().any(begins_so) {
        return Err(Invalid::new(
            "would be removed from the requests of all clients, so that no service gets it; must be another header",
        ));
    }
    Message::Request.try_header(text)
}
