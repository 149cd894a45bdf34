//! The request that the hooks answer in the place of one that is no HTTP/1.1: one that Pingora's parser takes, made of what can
//! be read of the one that came. The hooks refuse it by the verdict beside it (`malformed`), count it, and write its line.

use bytes::BytesMut;
use http::{HeaderName, header};

use super::credentials::API_KEY;
use super::framing;
use super::headers::FORWARDED_FOR;
use crate::telemetry::request_id;

/// The longest path that is taken over for the access log.
const MAX_PATH: usize = 1024;
/// The longest field that is, and how many lines are looked at for it.
const MAX_FIELD: usize = 1024;
const MAX_LINES: usize = 512;
/// Stands for a method or a path that cannot be read.
const UNREADABLE: [&[u8]; 2] = [b"-", b"*"];

/// A request that Pingora's parser takes, with what can be read of method, path and of the fields that tell who asks.
pub(super) fn stand_in(sent: &[u8]) -> BytesMut {
    let mut lines = sent.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let line = lines.next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut head = BytesMut::with_capacity(512);
    head.extend_from_slice(if is_method(method) { method } else { UNREADABLE[0] });
    head.extend_from_slice(b" ");
    head.extend_from_slice(path(target).unwrap_or(UNREADABLE[1]));
    head.extend_from_slice(b" HTTP/1.1\r\nConnection: close\r\n");
    let mut has_host = false;
    for line in lines.take(MAX_LINES).take_while(|line| !line.is_empty()) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let Some(known) = KEPT.iter().find(|known| known.as_str().as_bytes().eq_ignore_ascii_case(name)) else {
            continue;
        };
        let is_host = *known == header::HOST;
        if value.len() > MAX_FIELD || !value.iter().all(|byte| matches!(byte, b' '..=b'~')) || is_host && has_host {
            continue;
        }
        if is_host && !framing::is_host(value) {
            continue;
        }
        has_host |= is_host;
        for part in [known.as_str().as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The fields that are taken over.
static KEPT: [HeaderName; 5] = [header::HOST, FORWARDED_FOR, API_KEY, header::AUTHORIZATION, request_id::HEADER];

fn is_method(word: &[u8]) -> bool {
    (1..=32).contains(&word.len())
        && word != b"CONNECT"
        && word.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// The beginning of the path, as far as it can be read.
fn path(target: &[u8]) -> Option<&[u8]> {
    let is_read = |byte: &u8| byte.is_ascii_graphic() && !b"?#<>`".contains(byte);
    let end = target.iter().position(|byte| !is_read(byte)).unwrap_or(target.len()).min(MAX_PATH);
    target.starts_with(b"/").then(|| &target[..end])
}

#[cfg(test)]
mod tests {
    use pingora::http::RequestHeader;

    use super::*;

    #[test]
    fn of_what_can_be_read_the_path_and_who_asks_are_taken_over() {
        let sent = b"POST /a/b?c HTTP/1.2\r\nX: 1\r\nhost: g:80\r\nHost: h\r\nx-forwarded-for: 192.0.2.1\r\n\
            X-Api-Key: k\r\nX-Request-Id: \x01\r\nno colon\r\nX-Request-Id: i\r\n\r\nX-Api-Key: body\r\n";
        assert_eq!(
            stand_in(sent),
            "POST /a/b HTTP/1.1\r\nConnection: close\r\nhost: g:80\r\nx-forwarded-for: 192.0.2.1\r\nx-api-key: k\r\n\
             x-request-id: i\r\n\r\n"
        );
        assert_eq!(stand_in(b""), "- * HTTP/1.1\r\nConnection: close\r\n\r\n");
    }

    #[test]
    fn whatever_was_sent_what_stands_for_it_is_a_request() {
        let words: [&[u8]; 20] = [
            b"GET",
            b"CONNECT",
            b" ",
            b"/",
            b"*",
            b"?",
            b"#",
            b"HTTP/1.1",
            b"\r\n",
            b"\n",
            b"\r",
            b"host",
            b"Host: ",
            b"X-Api-Key",
            b":",
            b"a@b",
            b"[::1]:80",
            b"\0",
            b"\xc3\xa9",
            b"<\">`\\%{|}^",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..100_000 {
            let sent = (0..random.usize(0..16)).flat_map(|_| words[random.usize(..words.len())]).copied();
            let sent: Vec<u8> = sent.collect();
            let head = stand_in(&sent);
            let mut headers = [httparse::EMPTY_HEADER; 16];
            let mut request = httparse::Request::new(&mut headers);
            let parsed = request.parse(&head);
            assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())), "{:?}", String::from_utf8_lossy(&sent));
            let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host"));
            assert!(hosts.clone().count() <= 1 && hosts.clone().all(|host| !host.value.contains(&b'@')));
            assert_ne!(request.method, Some("CONNECT"));
            let target = request.path.unwrap();
            assert!(RequestHeader::build(request.method.unwrap(), target.as_bytes(), None).is_ok(), "{target}");
        }
    }
}
