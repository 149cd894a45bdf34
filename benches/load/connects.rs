//! How many connections the origin has accepted, and how many a gateway may need.
//!
//! Where all clients stay and all ask one service, a gateway with a pool that fits opens none once it is warm. One that
//! does is measured by its handshakes, and the bench fails by its name: its configuration is at fault, or its pool.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, bail};

use super::http1::{Framing, Head};
use super::origin::CONNECTIONS;
use super::peers::Peer;

/// The most connections to a service a request, where none is needed.
const MOST: f64 = 0.01;

/// One connection to the origin that is kept to ask for the count: it counts once, before anything is measured.
pub(super) struct Connects {
    stream: TcpStream,
}

impl Connects {
    /// Connects.
    ///
    /// # Errors
    /// The origin does not listen.
    pub(super) fn open(origin: SocketAddr) -> Result<Self> {
        Ok(Self { stream: TcpStream::connect(origin).context("cannot connect to the origin")? })
    }

    /// Connections that the origin has accepted so far, from everyone.
    ///
    /// # Errors
    /// The origin does not answer.
    pub(super) fn so_far(&self) -> Result<u64> {
        let mut stream = &self.stream;
        write!(stream, "GET {CONNECTIONS} HTTP/1.1\r\nHost: origin\r\n\r\n")?;
        let mut answer = Vec::new();
        loop {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece).context("the origin does not say how many connections it had")?;
            if length == 0 {
                bail!("the origin has closed the connection that asks it for its connections");
            }
            answer.extend_from_slice(&piece[..length]);
            if let Some(head) = Head::read(&answer)
                && let Framing::Length(length) = head.framing
                && let body = &answer[head.length..]
                && body.len() as u64 == length
            {
                return String::from_utf8_lossy(body).parse().context("the origin's count of connections");
            }
        }
    }
}

/// What is wrong with the pool of a gateway that opened so many connections for so many requests of so many clients to one
/// service. A pool that is still filling opens one for each client at most.
pub(super) fn fault(peer: Peer, traffic: &str, clients: usize, opened: u64, requests: u64) -> Option<String> {
    let a_request = opened as f64 / requests.max(1) as f64;
    (opened > clients as u64 && a_request > MOST).then(|| {
        format!(
            "{}: {a_request:.3} connections to the service a request of {traffic}, where {MOST} is the most: it does not \
             keep the connections that it needs",
            peer.name()
        )
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_pool_may_fill_and_one_that_does_not_hold_is_named() {
        use super::*;
        let fault = |opened, requests| fault(Peer::Haproxy, "pass", 64, opened, requests);
        assert_eq!(fault(0, 100_000), None);
        assert_eq!(fault(64, 100), None, "one for each client");
        assert_eq!(fault(1_000, 100_000), None, "one in a hundred");
        let named = fault(34_000, 100_000).unwrap();
        assert!(named.starts_with("haproxy: 0.340 connections"), "{named}");
    }
}
