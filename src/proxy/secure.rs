//! Where furt has TLS: authorities of certificates are answered, plain requests are sent to https, or refused where an API key
//! came in the clear, connections are held to their hosts, and answers say that browsers are to come under TLS at once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::challenges::CHALLENGES;
use super::client::{Client, FORWARDED_PROTO};
use super::credentials::API_KEY;
use super::upload;
use crate::clock;
use crate::config::{KeyAccept, TlsConfig};
use crate::tls::{Challenges, Tls, Unwelcome};
use crate::wire::GatewayProblem;
use furt_core::model::{KeyName, Scheme};

/// The port that `https://` means.
const HTTPS_PORT: u16 = 443;
/// Keys that came in the clear are told at most once in this time: strangers would fill the log otherwise.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What the public listener has under TLS.
pub struct Https {
    /// Where clients find it.
    pub port: u16,
    /// What authorities of certificates are answered.
    pub challenges: Arc<Challenges>,
}

/// What is done with requests where the public listener has TLS.
#[derive(Default)]
pub(super) struct Secure {
    /// `None`: it has none.
    https: Option<Https>,
    /// What is in force there.
    tls: Option<Arc<Tls>>,
    keys_in_the_clear: Mutex<KeysInTheClear>,
}

/// How many good keys came in the clear, and when that was said last.
#[derive(Default)]
struct KeysInTheClear {
    count: u64,
    said: Option<Instant>,
}

impl Secure {
    pub(super) fn new(https: Option<Https>, tls: Option<Arc<Tls>>) -> Self {
        Self { https, tls, keys_in_the_clear: Mutex::default() }
    }

    /// The token of the challenge that a request asks for, where there is TLS.
    pub(super) fn token<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.https.is_none() { None } else { path.strip_prefix(CHALLENGES) }
    }

    /// What furt itself answers to it: on both listeners, before routes, keys and limits.
    pub(super) fn answer(&self, token: &str, method: &Method) -> Option<Bytes> {
        let https = self.https.as_ref().filter(|_| matches!(*method, Method::GET | Method::HEAD))?;
        https.challenges.text(token)
    }

    /// Looks whether a request may come as it did. `host` is without its port, `path` normalized; `name_of_key` is asked for the
    /// name of the key that it came with.
    ///
    /// # Errors
    /// It is to come under TLS.
    pub(super) fn check(
        &self,
        request: &RequestHeader,
        (host, path): (&str, &str),
        client: &Client,
        tls: &TlsConfig,
        (accept, name_of_key): (KeyAccept, impl FnOnce() -> Option<KeyName>),
    ) -> Result<(), GatewayAnswer> {
        let Some(port) = self.https.as_ref().map(|https| https.port) else { return Ok(()) };
        if client.scheme == Scheme::Https || path.starts_with(CHALLENGES) {
            return Ok(());
        }
        if !tls.redirect || came_by_https(request, client) {
            // Where a certificate must be shown, none can be without TLS.
            return if self.needs_certificate(host) { Err(GatewayProblem::TlsRequired.into()) } else { Ok(()) };
        }
        let has_header = request.headers.contains_key(API_KEY);
        // `Authorization` may be the service's own.
        let may_be_key =
            has_header || accept.reads_authorization() && request.headers.contains_key(header::AUTHORIZATION);
        let name = if may_be_key { name_of_key() } else { None };
        if let Some(name) = &name {
            self.tell(name, client);
        }
        if has_header || name.is_some() {
            return Err(GatewayProblem::TlsRequired.into());
        }
        // Of HTTP/1.0, and nobody knows where it should have gone.
        if host.is_empty() {
            return Err(GatewayProblem::TlsRequired.into());
        }
        Err(GatewayAnswer::redirect(location(host, port, request.raw_path())))
    }

    fn needs_certificate(&self, host: &str) -> bool {
        let host = Some(host).filter(|host| !host.is_empty());
        self.tls.as_ref().is_some_and(|tls| tls.served().rule(host).is_some_and(|rule| rule.is_required()))
    }

    /// Looks whether the connection of a request is one for its host, and whether its client has shown what that host asks for by now;
    /// what it has shown goes into `client`. A trusted proxy connects for many, by whatever name.
    ///
    /// # Errors
    /// It is not: the client is to open another one (RFC 9110 §15.5.20).
    pub(super) fn check_host(&self, session: &Session, host: &str, client: &mut Client) -> Result<(), GatewayAnswer> {
        let Some(secured) = upload::secured(session) else { return Ok(()) };
        let misdirected = || GatewayAnswer::from(GatewayProblem::Misdirected);
        let served = self.tls.as_ref().map(|tls| tls.served());
        // No clock is read where nobody is asked for a certificate.
        if let Some(served) = served.filter(|served| served.has_rules()) {
            match secured.check_client(&served, host, clock::unix_ms().div_euclid(1000)) {
                Ok(false) => {}
                Ok(true) => client.secured = Some(Arc::clone(secured)),
                Err(Unwelcome::OtherRule) => return Err(misdirected()),
                // On this connection it cannot show anything else any more.
                Err(Unwelcome::NotEnough) => return Err(misdirected().into_last()),
            }
        }
        let is_covered = host.is_empty() || client.is_peer_trusted || secured.covers(host);
        if is_covered { Ok(()) } else { Err(misdirected()) }
    }

    fn tell(&self, name: &KeyName, client: &Client) {
        let mut keys = self.keys_in_the_clear.lock().unwrap_or_else(PoisonError::into_inner);
        keys.count += 1;
        let now = clock::now();
        if keys.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_AGAIN_AFTER) {
            let from = client.address.map_or_else(String::new, |address| format!(" from {address}"));
            log::warn!(
                "the API key {name} came in the clear{from}, so others may know it by now; {} such requests so far",
                keys.count
            );
            keys.said = Some(now);
        }
    }
}

/// Whether a trusted proxy says that its client came by https.
pub(super) fn came_by_https(request: &RequestHeader, client: &Client) -> bool {
    let first = |value: &HeaderValue| {
        let first = value.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default();
        first.trim_ascii().eq_ignore_ascii_case(b"https")
    };
    client.is_peer_trusted && request.headers.get(FORWARDED_PROTO).is_some_and(first)
}

fn location(host: &str, port: u16, target: &[u8]) -> Vec<u8> {
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    [b"https://", host.as_bytes(), port.as_bytes(), target].concat()
}

/// `Strict-Transport-Security` for an answer; `None`: it has one, or gets none.
pub(super) fn hsts(seconds: u64, sent: &header::HeaderMap) -> Option<(HeaderName, String)> {
    let is_due = seconds > 0 && !sent.contains_key(header::STRICT_TRANSPORT_SECURITY);
    is_due.then(|| (header::STRICT_TRANSPORT_SECURITY, format!("max-age={seconds}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn checked(secure: &Secure, request: &RequestHeader, at: (&str, &str), client: &Client) -> Result<(), String> {
        let tls = Config::default().tls;
        secure.check(request, at, client, &tls, (KeyAccept::default(), || None)).map_err(|answer| {
            let header = answer.header(&bytes::Bytes::new()).unwrap();
            let location = header.headers.get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
            location.unwrap_or_else(|| answer.status().as_u16().to_string())
        })
    }

    fn secure(port: u16) -> Secure {
        Secure::new(Some(Https { port, challenges: Arc::default() }), None)
    }

    fn request(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    #[test]
    fn a_plain_request_is_sent_to_the_port_under_tls() {
        let client = Client::default();
        for (port, host, target, location) in [
            (443, "a.example", "/", "https://a.example/"),
            (8443, "a.example", "/b?c=%20&d", "https://a.example:8443/b?c=%20&d"),
            (8443, "[::1]", "//b", "https://[::1]:8443//b"),
            (8443, "", "/b", "403"),
        ] {
            let answer = checked(&secure(port), &request(target, &[]), (host, target), &client);
            assert_eq!(answer, Err(location.to_owned()), "{host}{target}");
        }
        assert_eq!(checked(&Secure::new(None, None), &request("/", &[]), ("a", "/"), &client), Ok(()));
    }

    #[test]
    fn what_came_under_tls_or_asks_for_a_challenge_goes_on_and_a_key_in_the_clear_does_not() {
        let secure = secure(443);
        let at = |path| checked(&secure, &request(path, &[]), ("a", path), &Client::default());
        assert_eq!(at("/.well-known/acme-challenge/token"), Ok(()));
        assert_eq!(at("/.well-known/acme-challenge"), Err("https://a/.well-known/acme-challenge".to_owned()));
        let with = |headers: &[_], client: &Client| checked(&secure, &request("/", headers), ("a", "/"), client);
        assert_eq!(with(&[("X-API-Key", "x")], &Client::default()), Err("403".to_owned()));
        assert_eq!(with(&[], &Client { scheme: Scheme::Https, ..Client::default() }), Ok(()));
        for (told, goes_on) in [("https", true), ("HTTPS , http", true), ("http", false), ("http, https", false)] {
            for is_peer_trusted in [true, false] {
                let client = Client { is_peer_trusted, ..Client::default() };
                let answer = with(&[("X-Forwarded-Proto", told)], &client);
                assert_eq!(answer.is_ok(), goes_on && is_peer_trusted, "{told}");
            }
        }
    }
}
