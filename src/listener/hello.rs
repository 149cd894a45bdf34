//! What a client says first where TLS is spoken: its `ClientHello`, or a request of HTTP that has come to the wrong port.
//!
//! The bytes are read once, for rustls. Only where they begin with a capital letter, as no record of TLS does, they are looked at:
//! a client that speaks HTTP is told so in its own words. No more of its request is read than its method, and what came with that.

use std::io::{self, ErrorKind, Read};
use std::time::Duration;

use furt_api::problem::MEDIA_TYPE;
use furt_api::{Code, Problem};
use http::{HeaderMap, StatusCode};
use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

use super::lingering::Lingering;
use crate::telemetry::request_id;
use crate::wire::{self, DetailPosition};

/// IANA's registry has no method of more than 17 letters.
const LONGEST_METHOD: usize = 20;
/// What begins a PROXY header, and no request.
const PROXY: &[u8] = b"PROXY";
/// What is read and dropped of a request that was answered, and how long at most: so that its client sees the answer.
const MOST_DROPPED: usize = 64 * 1024;
const DROPPING_TIME: Duration = Duration::from_secs(1);

/// What came first.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it arrives")]
pub(super) enum Hello {
    /// A `ClientHello`.
    Tls(StartHandshake<TcpStream>),
    /// The beginning of a request.
    Http(HttpRequest),
}

/// A request that came without TLS.
pub(super) struct HttpRequest {
    socket: TcpStream,
    /// Whether its answer has no body.
    is_head: bool,
}

/// Reads what comes first.
///
/// # Errors
/// It is neither, which the client has been told by an alert, or the connection has ended.
pub(super) async fn read(mut socket: TcpStream) -> io::Result<Hello> {
    let (mut acceptor, mut begun) = (Acceptor::default(), Begun::Unknown);
    loop {
        socket.readable().await?;
        let read = match &mut begun {
            Begun::Letters { bytes, .. } => socket.try_read_buf(bytes),
            begun => acceptor.read_tls(&mut Reader { socket: &socket, begun }),
        };
        match read {
            Ok(1..) => {}
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        }
        if let Begun::Letters { bytes, known } = &begun {
            match Letters::of(bytes) {
                Letters::Unclear => continue,
                Letters::Method { is_head } => return Ok(Hello::Http(HttpRequest { socket, is_head })),
                // For an alert of rustls.
                Letters::Other => {
                    let mut rest = &bytes[*known..];
                    while !rest.is_empty() {
                        acceptor.read_tls(&mut rest)?;
                    }
                    begun = Begun::Tls;
                }
            }
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => return Ok(Hello::Tls(StartHandshake::from_parts(accepted, socket))),
            Err((error, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write_all(&mut bytes)?;
                socket.write_all(&bytes).await?;
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }
}

/// How a connection has begun.
enum Begun {
    /// Nothing came.
    Unknown,
    /// With what is for rustls alone.
    Tls,
    /// With a capital letter: all that came, of which rustls knows so many bytes.
    Letters { bytes: Vec<u8>, known: usize },
}

/// Reads for rustls.
struct Reader<'a> {
    socket: &'a TcpStream,
    begun: &'a mut Begun,
}

impl Read for Reader<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.try_read(room)?;
        if matches!(self.begun, Begun::Unknown) {
            *self.begun = match &room[..count] {
                bytes @ [b'A'..=b'Z', ..] => Begun::Letters { bytes: bytes.to_vec(), known: count },
                _ => Begun::Tls,
            };
        }
        Ok(count)
    }
}

/// What bytes are that begin with a letter.
#[derive(Debug, PartialEq, Eq)]
enum Letters {
    /// More must come.
    Unclear,
    /// A method, and the space after it.
    Method { is_head: bool },
    /// Nothing of HTTP.
    Other,
}

impl Letters {
    fn of(bytes: &[u8]) -> Self {
        let of_method = |byte: &u8| byte.is_ascii_uppercase() || *byte == b'-';
        let length = bytes.iter().take_while(|byte| of_method(byte)).count();
        match bytes.get(length) {
            _ if length > LONGEST_METHOD => Self::Other,
            None => Self::Unclear,
            Some(b' ') if &bytes[..length] != PROXY => Self::Method { is_head: &bytes[..length] == b"HEAD" },
            Some(_) => Self::Other,
        }
    }
}

impl HttpRequest {
    /// Answers that the port speaks TLS, and ends the connection. `mark` is the header that tells the listener's answers.
    pub(super) async fn refuse(mut self, mark: (&str, &str)) {
        let answer = answer(self.is_head, mark);
        // A client that is gone needs no answer.
        if self.socket.write_all(answer.as_bytes()).await.is_ok()
            && let Some(lingering) = Lingering::of(&self.socket)
        {
            lingering.end(MOST_DROPPED, DROPPING_TIME).await;
        }
    }
}

fn answer(is_head: bool, (name, value): (&str, &str)) -> String {
    let (status, id) = (StatusCode::BAD_REQUEST, request_id::of(&HeaderMap::new()));
    let id = request_id::text(&id);
    let title = "The request came without TLS to a port that speaks it";
    let mut problem = Problem::new(status.as_u16(), Code::HttpsExpected, title, id);
    problem.detail = Some("this port speaks HTTP under TLS alone: use https://".to_owned());
    let body = wire::problem_body(problem, DetailPosition::Last);
    let (length, body) = (body.len(), String::from_utf8_lossy(&body));
    let body = if is_head { "" } else { &*body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {length}\r\nCache-Control: no-store\r\n\
         Proxy-Status: furt; error=http_request_error\r\nX-Request-Id: {id}\r\n{name}: {value}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_capital_letters_before_a_space() {
        for (bytes, is_head) in
            [("GET /", false), ("HEAD / HTTP/1.1", true), ("M-SEARCH *", false), ("PRI * HTTP/2.0", false)]
        {
            assert_eq!(Letters::of(bytes.as_bytes()), Letters::Method { is_head }, "{bytes}");
        }
        for bytes in ["G", "GET", "HEAD", "PROXY", "ABCDEFGHIJKLMNOPQRST"] {
            assert_eq!(Letters::of(bytes.as_bytes()), Letters::Unclear, "{bytes}");
        }
        for bytes in [
            "GET\r\n",
            "PROXY TCP4 ",
            "SSH-2.0-OpenSSH",
            "Get / ",
            "A\0",
            "ABCDEFGHIJKLMNOPQRSTU",
            "ABCDEFGHIJKLMNOPQRSTU ",
        ] {
            assert_eq!(Letters::of(bytes.as_bytes()), Letters::Other, "{bytes}");
        }
    }

    #[test]
    fn the_answer_is_whole_and_without_a_body_to_head() {
        let whole = answer(false, ("X-Gateway", "furt"));
        let (header, body) = whole.split_once("\r\n\r\n").unwrap();
        assert!(
            header.starts_with("HTTP/1.1 400 Bad Request\r\n") && header.contains("\r\nX-Gateway: furt\r\n"),
            "{header}"
        );
        assert!(header.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{header}");
        let problem: Problem = serde_json::from_str(body).unwrap();
        assert!(problem.code == Code::HttpsExpected && header.contains(&problem.request_id), "{whole}");
        assert!(answer(true, ("a", "b")).ends_with("\r\na: b\r\nConnection: close\r\n\r\n"));
    }
}
