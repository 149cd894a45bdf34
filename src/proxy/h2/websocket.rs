//! WebSockets of clients that speak HTTP/2 (RFC 8441). Services know them from HTTP/1 alone, so each becomes an upgrade: `CONNECT` a
//! `GET` with a key, the 101 that answers it a 200.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, Method, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

/// Follows the key in what a service answers with (RFC 6455 §1.3).
const ANSWERED_WITH: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of an upgrade, by whose answer furt knows that the service understood it.
#[derive(Debug)]
pub(in crate::proxy) struct WebSocketKey(String);

impl WebSocketKey {
    /// Makes a `GET` of a request for a WebSocket; `None`: it is none.
    pub(super) fn take(request: &mut RequestHeader) -> Option<Self> {
        let is_one = request.method == Method::CONNECT
            && request.extensions.get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
            && request.uri.path_and_query().is_some();
        if !is_one {
            return None;
        }
        request.set_method(Method::GET);
        // The client's own would be for nobody (RFC 8441 §5).
        request.remove_header(&SEC_WEBSOCKET_KEY);
        Some(Self(STANDARD.encode(fastrand::u128(..).to_ne_bytes())))
    }

    /// Asks a service of HTTP/1.
    ///
    /// # Errors
    /// A header that cannot be made; none of these.
    pub(in crate::proxy) fn ask(&self, request: &mut RequestHeader) -> Result<()> {
        request.insert_header(CONNECTION, HeaderValue::from_static("Upgrade"))?;
        request.insert_header(UPGRADE, HeaderValue::from_static("websocket"))?;
        request.insert_header(SEC_WEBSOCKET_KEY, self.0.as_str())
    }

    /// Checks the answer: to the client a 200 is a WebSocket, and so must not be anything else.
    ///
    /// # Errors
    /// It says that all is well, and is no WebSocket.
    pub(in crate::proxy) fn check(&self, response: &ResponseHeader) -> std::result::Result<(), &'static str> {
        let is_switched = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let says = |name, is_it: &dyn Fn(&[u8]) -> bool| {
            response.headers.get(name).is_some_and(|value: &HeaderValue| is_it(value.as_bytes()))
        };
        let is_one = || {
            says(UPGRADE, &|value| value.eq_ignore_ascii_case(b"websocket"))
                && says(SEC_WEBSOCKET_ACCEPT, &|value| value == self.answer().as_bytes())
        };
        if is_switched && is_one() || !is_switched && !response.status.is_success() {
            return Ok(());
        }
        Err("the service did not answer a WebSocket with one")
    }

    fn answer(&self) -> String {
        let text = format!("{}{ANSWERED_WITH}", self.0);
        STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
    }
}

/// Makes of the answer of HTTP/1 one of HTTP/2.
///
/// # Errors
/// A status that there is not; not this one.
pub(super) fn plain_answer(response: &mut ResponseHeader) -> Result<()> {
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        response.remove_header(&name);
    }
    response.set_status(StatusCode::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, protocol: Option<&'static str>) -> RequestHeader {
        let mut request =
            http::Request::builder().method(method).uri("https://g/live?a").header("sec-websocket-key", "x");
        if let Some(protocol) = protocol {
            request = request.extension(Protocol::from_static(protocol));
        }
        request.body(()).unwrap().into_parts().0.into()
    }

    #[test]
    fn only_a_connect_for_a_websocket_is_one() {
        for (method, protocol, is_one) in [
            ("CONNECT", Some("websocket"), true),
            ("CONNECT", Some("connect-udp"), false),
            ("CONNECT", None, false),
            ("GET", Some("websocket"), false),
        ] {
            let mut request = asked(method, protocol);
            assert_eq!(WebSocketKey::take(&mut request).is_some(), is_one, "{method} {protocol:?}");
            assert_eq!((request.method == method, request.headers.is_empty()), (!is_one, is_one), "{method}");
        }
    }

    #[test]
    fn the_service_is_asked_with_a_key_of_furts_own_and_has_to_answer_it() {
        let (one, other) =
            [(); 2].map(|()| WebSocketKey::take(&mut asked("CONNECT", Some("websocket"))).unwrap()).into();
        assert_ne!(one.0, other.0);
        let mut request = asked("CONNECT", Some("websocket"));
        one.ask(&mut request).unwrap();
        assert_eq!(request.headers["sec-websocket-key"].to_str().unwrap(), one.0);

        // The example of RFC 6455 §1.3.
        let key = WebSocketKey("dGhlIHNhbXBsZSBub25jZQ==".to_owned());
        let good = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        for (status, upgrade, accept, is_well) in [
            (101, "websocket", good, true),
            (101, "WebSocket", good, true),
            (101, "h2c", good, false),
            (101, "websocket", "s3pPLMBiTxaQ9kYGzzhZRbK-xOo=", false),
            (200, "websocket", good, false),
            (204, "", "", false),
            (304, "", "", true),
            (404, "", "", true),
            (503, "", "", true),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            response.insert_header("upgrade", upgrade).unwrap();
            response.insert_header("sec-websocket-accept", accept).unwrap();
            assert_eq!(key.check(&response).is_ok(), is_well, "{status} {upgrade} {accept}");
        }
    }
}
