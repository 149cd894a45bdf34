//! A line of the access log: one request as a JSON object.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use super::super::tracing::TraceId;
use super::super::{decimal, request_id};
use super::flag::ResponseFlag;
use crate::clock;
use furt_core::model::{InstanceId, KeyName, Pattern, ProviderName, ServiceName, address_text};

/// One answered request.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Unix ms; written as RFC 3339.
    pub time: i64,
    /// As in the answer's `X-Request-Id`.
    pub request_id: &'a http::HeaderValue,
    /// By the word of trusted proxies; `None`: not known.
    pub client_ip: Option<IpAddr>,
    /// As sent.
    pub method: &'a http::Method,
    /// `h1` or `h2`.
    pub protocol: &'static str,
    /// `http` or `https`: how the client came.
    pub scheme: &'static str,
    /// What the client calls itself; written where it says so.
    pub user_agent: Option<&'a http::HeaderValue>,
    /// The trace that it is part of; written where there is one.
    pub trace: Option<TraceId>,
    /// Of its connection; written where there is TLS.
    pub tls: Option<TlsOfEntry<'a>>,
    /// The host, as matched.
    pub host: Cow<'a, str>,
    /// The path without the query, as sent.
    pub path: &'a str,
    /// The pattern of the route; `None`: none matched.
    pub route: Option<&'a Pattern>,
    /// The service; `None`: a static route, or none.
    pub service: Option<&'a ServiceName>,
    /// The instance that answered, or was tried last.
    pub instance: Option<&'a InstanceId>,
    /// The version of that instance; written where it says one.
    pub version: Option<&'a str>,
    /// The answer's status; 0: none was sent.
    pub status: u16,
    /// How it ended; `None`: with the service's answer.
    pub flag: Option<ResponseFlag>,
    /// How a gRPC call ended; written where it is known.
    pub grpc_status: Option<u32>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's header to the answer's end; written in ms.
    pub duration: Duration,
    /// From the first attempt to the instance's header; written in ms.
    pub upstream: Option<Duration>,
    /// Attempts after the first.
    pub retries: u32,
    /// The key's name, never the key.
    pub key: Option<&'a KeyName>,
    /// Who vouches for the caller in the place of a key, and who it is by that word; written where somebody does.
    pub vouched: Option<(&'a ProviderName, Option<&'a http::HeaderValue>)>,
}

/// The TLS of a request's connection.
#[derive(Debug, Clone, Copy)]
pub struct TlsOfEntry<'a> {
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// The host that the client asked for in its handshake.
    pub sni: Option<&'a str>,
    /// Whether the handshake resumed a session.
    pub resumed: bool,
}

impl Entry<'_> {
    /// Appends the line. By hand: serializing by name and by type costs twice as much for each request.
    pub(super) fn append_to(&self, text: &mut Vec<u8>, times: &mut Times) {
        text.extend_from_slice(b"{\"time\":\"");
        times.append(self.time, text);
        text.extend_from_slice(b"\",\"request_id\":");
        quoted(text, request_id::text(self.request_id));
        text.extend_from_slice(b",\"client_ip\":");
        optional(text, self.client_ip.map(address_text).as_deref());
        text.extend_from_slice(b",\"method\":");
        quoted(text, self.method.as_str());
        text.extend_from_slice(b",\"protocol\":\"");
        text.extend_from_slice(self.protocol.as_bytes());
        text.extend_from_slice(b"\",\"scheme\":\"");
        text.extend_from_slice(self.scheme.as_bytes());
        text.push(b'"');
        if let Some(tls) = &self.tls {
            tls.append_to(text);
        }
        text.extend_from_slice(b",\"host\":");
        quoted(text, &self.host);
        text.extend_from_slice(b",\"path\":");
        quoted(text, self.path);
        text.extend_from_slice(b",\"route\":");
        optional(text, self.route.map(Pattern::as_str));
        text.extend_from_slice(b",\"service\":");
        optional(text, self.service.map(ServiceName::as_str));
        text.extend_from_slice(b",\"instance\":");
        optional(text, self.instance.map(InstanceId::as_str));
        if let Some(version) = self.version {
            text.extend_from_slice(b",\"version\":");
            quoted(text, version);
        }
        text.extend_from_slice(b",\"status\":");
        decimal::append(text, self.status.into());
        text.extend_from_slice(b",\"flag\":");
        optional(text, self.flag.map(ResponseFlag::as_str));
        if let Some(status) = self.grpc_status {
            text.extend_from_slice(b",\"grpc_status\":");
            decimal::append(text, status.into());
        }
        text.extend_from_slice(b",\"bytes_in\":");
        decimal::append(text, self.bytes_in);
        text.extend_from_slice(b",\"bytes_out\":");
        decimal::append(text, self.bytes_out);
        text.extend_from_slice(b",\"duration_ms\":");
        decimal::append_ms(text, self.duration);
        text.extend_from_slice(b",\"upstream_ms\":");
        match self.upstream {
            Some(time) => decimal::append_ms(text, time),
            None => text.extend_from_slice(b"null"),
        }
        text.extend_from_slice(b",\"retries\":");
        decimal::append(text, self.retries.into());
        text.extend_from_slice(b",\"key\":");
        optional(text, self.key.map(KeyName::as_str));
        if let Some((provider, subject)) = self.vouched {
            text.extend_from_slice(b",\"auth\":");
            quoted(text, provider.as_str());
            text.extend_from_slice(b",\"subject\":");
            optional(text, subject.map(|subject| String::from_utf8_lossy(subject.as_bytes())).as_deref());
        }
        if let Some(agent) = self.user_agent {
            text.extend_from_slice(b",\"user_agent\":");
            quoted(text, &String::from_utf8_lossy(agent.as_bytes()));
        }
        if let Some(trace) = self.trace {
            text.extend_from_slice(b",\"trace_id\":\"");
            _ = write!(text, "{trace}");
            text.push(b'"');
        }
        text.extend_from_slice(b"}\n");
    }
}

impl TlsOfEntry<'_> {
    fn append_to(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b",\"tls\":\"");
        text.extend_from_slice(self.version.as_bytes());
        text.extend_from_slice(b"\",\"sni\":");
        optional(text, self.sni);
        text.extend_from_slice(b",\"resumed\":");
        text.extend_from_slice(if self.resumed { b"true" } else { b"false" });
    }
}

fn quoted(text: &mut Vec<u8>, value: &str) {
    // Writing to a Vec cannot fail, nor can turning a text into JSON.
    _ = serde_json::to_writer(text, value);
}

fn optional(text: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => quoted(text, value),
        None => text.extend_from_slice(b"null"),
    }
}

/// Caches the text of a second: most lines are of the same second as the line before.
#[derive(Default)]
pub(super) struct Times {
    second: Option<i64>,
    text: String,
}

impl Times {
    fn append(&mut self, unix_ms: i64, text: &mut Vec<u8>) {
        let second = unix_ms.div_euclid(1000);
        if self.second != Some(second) {
            self.text = clock::rfc3339(second * 1000);
            // The milliseconds go before the `Z`.
            self.text.truncate(self.text.trim_end_matches('Z').len());
            self.second = Some(second);
        }
        text.extend_from_slice(self.text.as_bytes());
        decimal::append_thousandths(text, unix_ms.rem_euclid(1000).unsigned_abs());
        text.push(b'Z');
    }
}
