//! What a server is sent: always a GET without a body, with furt's own headers and those of the client that the entry names.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use pingora::http::RequestHeader;
use url::{Position, Url};

use crate::telemetry::{TRACEPARENT, VERSION};
use furt_core::model::Scheme;

const FORWARDED_METHOD: &str = "X-Forwarded-Method";
const FORWARDED_PROTO: &str = "X-Forwarded-Proto";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
const FORWARDED_URI: &str = "X-Forwarded-Uri";
const FORWARDED_FOR: &str = "X-Forwarded-For";

/// What is asked about: a request, as the client sent it.
#[derive(Debug)]
pub struct Question<'a> {
    /// Its method.
    pub method: &'a Method,
    /// How the client came.
    pub scheme: Scheme,
    /// The host that it asks for, with its port; empty: it names none.
    pub host: &'a str,
    /// Its target, as [`forwarded_uri`](super::forwarded_uri) writes it.
    pub uri: String,
    /// The addresses of the client and of the proxies that are believed, as in `X-Forwarded-For`.
    pub forwarded_for: &'a str,
    /// Its headers, with the client's own values. Those alone are sent on that the entry names.
    pub headers: &'a HeaderMap,
    /// What it is told of the trace that the request is part of; `None`: nothing.
    pub traceparent: Option<HeaderValue>,
    /// Whose questions are counted together; `None`: this one is counted only among all.
    pub address: Option<IpAddr>,
}

/// What is the same in each question; `None`: the url cannot be asked for.
pub(super) fn template(url: &Url) -> Option<RequestHeader> {
    let mut request =
        RequestHeader::build(Method::GET, url[Position::BeforePath..Position::AfterQuery].as_bytes(), Some(16)).ok()?;
    request.insert_header(header::HOST, &url[Position::BeforeHost..Position::AfterPort]).ok()?;
    request.insert_header(header::USER_AGENT, format!("furt/{VERSION} (forward-auth)")).ok()?;
    Some(request)
}

/// The whole of a question; `None`: a value of it cannot be one of a header.
pub(super) fn request(template: &RequestHeader, named: &[HeaderName], question: Question<'_>) -> Option<RequestHeader> {
    let Question { method, scheme, host, uri, forwarded_for, headers, traceparent, address: _ } = question;
    let mut request = template.clone();
    for name in named {
        // A header of furt's own that the operator names is the client's.
        if headers.contains_key(name) {
            request.remove_header(name);
        }
        for value in values(headers, name) {
            request.append_header(name.clone(), value).ok()?;
        }
    }
    request.insert_header(FORWARDED_METHOD, method.as_str()).ok()?;
    request.insert_header(FORWARDED_PROTO, scheme.as_str()).ok()?;
    if !host.is_empty() {
        request.insert_header(FORWARDED_HOST, host).ok()?;
    }
    request.insert_header(FORWARDED_URI, uri).ok()?;
    request.insert_header(FORWARDED_FOR, forwarded_for).ok()?;
    if let Some(traceparent) = traceparent {
        request.insert_header(TRACEPARENT, traceparent).ok()?;
    }
    Some(request)
}

/// All values of a header. Over HTTP/2 a client may send its cookies in pieces, over HTTP/1.1 they are one (RFC 9113 §8.2.3).
fn values(headers: &HeaderMap, name: &HeaderName) -> Vec<HeaderValue> {
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    if *name != header::COOKIE || values.len() < 2 {
        return values;
    }
    let pieces: Vec<&[u8]> = values.iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&pieces.join(&b"; "[..])).map_or(values, |joined| vec![joined])
}
