//! HTTP/1.1 by hand, for what no client library would send: malformed targets, half headers, bodies piece by piece.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SOON;

/// A connection to a listener.
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A connection that is there.
    pub(crate) fn of(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends `text` as it is.
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends `text`; `false` where the other side has closed.
    pub(crate) async fn try_send(&mut self, text: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(text.as_ref()).await.is_ok()
    }

    /// Closes the sending side; answers can still be read.
    pub(crate) async fn end_sending(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Everything up to and including `mark`, which must come soon.
    pub(crate) async fn read_until(&mut self, mark: &str) -> String {
        let mut searched = 0;
        loop {
            if let Some(at) = self.unread[searched..].windows(mark.len()).position(|window| window == mark.as_bytes()) {
                let read: Vec<u8> = self.unread.drain(..searched + at + mark.len()).collect();
                return String::from_utf8_lossy(&read).into_owned();
            }
            searched = self.unread.len().saturating_sub(mark.len());
            let more = timeout(SOON, self.stream.read_buf(&mut self.unread)).await;
            let so_far = String::from_utf8_lossy(&self.unread);
            match more {
                Ok(Ok(1..)) => {}
                Ok(end) => panic!("connection ended ({end:?}) before {mark:?}: {so_far}"),
                Err(_) => panic!("no {mark:?} within {SOON:?}: {so_far}"),
            }
        }
    }

    /// One response with a `Content-Length`: its header and its body.
    pub(crate) async fn read_response(&mut self) -> (String, String) {
        let head = self.read_until("\r\n\r\n").await;
        let length = header(&head, "content-length").unwrap_or_else(|| panic!("no Content-Length: {head}"));
        let length: usize = length.parse().unwrap();
        while self.unread.len() < length {
            let more = timeout(SOON, self.stream.read_buf(&mut self.unread)).await.expect("the rest of the body");
            assert_ne!(more.unwrap(), 0, "connection ended within the body: {head}");
        }
        let body: Vec<u8> = self.unread.drain(..length).collect();
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    /// Everything until the other side closes, which it must `within` that time. A reset is an end too.
    pub(crate) async fn read_to_end(&mut self, within: Duration) -> String {
        let reading = async { while !matches!(self.stream.read_buf(&mut self.unread).await, Ok(0) | Err(_)) {} };
        let ended = timeout(within, reading).await.is_ok();
        let read = String::from_utf8_lossy(&std::mem::take(&mut self.unread)).into_owned();
        assert!(ended, "still open after {within:?}: {read}");
        read
    }

    /// Whether the other side has closed, seen without waiting for more than a moment.
    pub(crate) async fn is_closed(&mut self) -> bool {
        matches!(timeout(Duration::from_millis(5), self.stream.read_buf(&mut self.unread)).await, Ok(Ok(0) | Err(_)))
    }
}

/// Sends one request as it is, and gives the whole answer; the request should ask for `Connection: close`.
pub(crate) async fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> String {
    let mut wire = Wire::to(address).await;
    wire.send(request).await;
    wire.read_to_end(SOON).await
}

/// The status of a response.
pub(crate) fn status(response: &str) -> u16 {
    response
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or_else(|| panic!("no HTTP/1.1 response: {response:?}"))
}

/// The first value of a header of a response.
pub(crate) fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find_map(|(given, value)| given.eq_ignore_ascii_case(name).then(|| value.trim()))
}
