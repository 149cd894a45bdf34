//! The scheme of a client's connection, as it is and not as the client says.

use pingora::protocols::http::ServerSession;

use furt_core::model::Scheme;

/// `Https` where the connection to furt is under TLS.
pub fn scheme(session: &ServerSession) -> Scheme {
    match session.digest() {
        Some(digest) if digest.ssl_digest.is_some() => Scheme::Https,
        _ => Scheme::Http,
    }
}
