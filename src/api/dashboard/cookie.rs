//! The cookie of a session.
//!
//! Under TLS its name says that this very host set it by TLS (`__Host-`, RFC 6265bis §4.1.3.2). Its name has the port that the browser
//! asks at: cookies are one for all ports of a host, and two gateways on one would take it from each other.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::api::listener::UnderTls;

/// What the browser sees of this listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen<'a> {
    /// Whether it is asked by TLS.
    pub(super) is_under_tls: bool,
    /// `Host`, as it was sent.
    pub(super) host: &'a str,
}

impl<'a> Seen<'a> {
    /// That of whoever sends a request.
    pub(super) fn of(request: &'a Request) -> Self {
        let is_under_tls = request.extensions().get::<UnderTls>().is_some();
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { is_under_tls, host }
    }

    fn name(&self) -> String {
        let port = self.host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or_default();
        let prefix = if self.is_under_tls { "__Host-" } else { "" };
        format!("{prefix}furt-{port}")
    }

    /// The value that was sent; `None`: none was, or several were.
    pub(super) fn sent<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        let name = self.name();
        let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut values = pairs
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(own, _)| *own == name)
            .map(|(_, value)| value);
        let value = values.next()?;
        // A stranger on another port may have set a second one for a longer path.
        values.next().is_none().then_some(value)
    }

    /// Sets it, for as long as the browser is open. Without TLS it is for the pages alone, below whichever prefix.
    pub(super) fn set(&self, value: &str) -> Option<HeaderValue> {
        let more = if self.is_under_tls { "; Path=/; Secure" } else { "" };
        HeaderValue::from_str(&format!("{}={value}{more}; HttpOnly; SameSite=Strict", self.name())).ok()
    }

    /// Takes it away.
    pub(super) fn removed(&self) -> Option<HeaderValue> {
        let more = if self.is_under_tls { "; Path=/; Secure" } else { "" };
        HeaderValue::from_str(&format!("{}={more}; HttpOnly; SameSite=Strict; Max-Age=0", self.name())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Seen<'_> = Seen { is_under_tls: false, host: "127.0.0.1:8081" };
    const SECURE: Seen<'_> = Seen { is_under_tls: true, host: "furt.example.org" };

    fn sent(seen: &Seen<'_>, cookies: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        cookies.iter().for_each(|cookie| _ = headers.append(header::COOKIE, HeaderValue::from_static(cookie)));
        seen.sent(&headers).map(str::to_owned)
    }

    #[test]
    fn it_is_read_among_others_and_once() {
        assert_eq!(sent(&PLAIN, &["a=b; furt-8081=x; c=d"]).as_deref(), Some("x"));
        assert_eq!(sent(&PLAIN, &["a=b", "furt-8081=x"]).as_deref(), Some("x"));
        assert_eq!(sent(&SECURE, &["__Host-furt-0=x"]).as_deref(), Some("x"));
        for cookies in
            [&[][..], &["furt-8082=x"], &["furt-8081=x; furt-8081=y"], &["furt-8081"], &["__Host-furt-8081=x"]]
        {
            assert_eq!(sent(&PLAIN, cookies), None, "{cookies:?}");
        }
        assert_eq!(sent(&SECURE, &["furt-0=x"]), None, "one that was set without TLS");
    }

    #[test]
    fn it_is_as_narrow_as_can_be() {
        assert_eq!(PLAIN.set("x").unwrap(), "furt-8081=x; HttpOnly; SameSite=Strict");
        assert_eq!(SECURE.set("x").unwrap(), "__Host-furt-0=x; Path=/; Secure; HttpOnly; SameSite=Strict");
        assert_eq!(SECURE.removed().unwrap(), "__Host-furt-0=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}
