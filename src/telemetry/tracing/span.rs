//! What is recorded of a request: a span of furt's own, and one of each question that it asked for it.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use http::Method;

use super::context::{SpanId, TraceId};

/// A request that was answered.
#[derive(Debug)]
pub struct ServerSpan<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// The span of who sent it; `None`: the trace begins here.
    pub parent: Option<SpanId>,
    /// Its own span.
    pub span: SpanId,
    /// What the headers said beside that.
    pub state: Option<&'a str>,
    /// From its header to the answer's end.
    pub time: (SystemTime, SystemTime),
    /// As sent.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The host, as matched.
    pub host: &'a str,
    /// The path, as sent, without the query.
    pub path: &'a str,
    /// `1.0`, `1.1` or `2`.
    pub protocol: &'static str,
    /// By the word of trusted proxies.
    pub client: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<Cow<'a, str>>,
    /// The pattern of the route.
    pub route: Option<&'a str>,
    /// The answer's status; 0: none was sent.
    pub status: u16,
    /// How furt ended it, as the access log's flag says it.
    pub flag: Option<&'static str>,
    /// The service.
    pub service: Option<&'a str>,
    /// The instance that answered, or was tried last.
    pub instance: Option<&'a str>,
    /// The key's name.
    pub key: Option<&'a str>,
    /// As in `X-Request-Id`.
    pub request_id: &'a str,
    /// What was asked for it, in order.
    pub asked: &'a [ClientSpan],
}

/// A question for a request: an attempt at an instance, or one to a server that judges requests.
#[derive(Debug)]
pub struct ClientSpan {
    /// Its own span.
    pub span: SpanId,
    /// From its beginning to its end.
    pub time: (SystemTime, SystemTime),
    /// Its method.
    pub method: Method,
    /// Where it went, without the query.
    pub url: String,
    /// The name or address in it, and the port.
    pub server: (String, u16),
    /// Where that is.
    pub peer: Option<SocketAddr>,
    /// How many attempts there were before it.
    pub resent: u32,
    /// The answer's status; `None`: there was none.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<&'static str>,
}
