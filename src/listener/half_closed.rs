//! A client that has closed its sending side while its request is served: it may still wait for the answer (RFC 9112 §9.6), or
//! be gone. TCP says the same of both, until something is sent to it: a client that is gone answers with a reset.
//!
//! So before an answer begins the first bytes are sent that every answer has, one at a time and ever more rarely. Within an
//! answer nothing can be sent that is not of it; then a client is given up where nothing of the answer was sent for a while. In a
//! tunnel the same pause ends the client's side.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::outgoing::Sent;
use super::sides::Incoming;
use super::unsent::Unsent;
use crate::clock;

/// The first and the longest pause between two looks whether the client has reset the connection. The first is what most
/// resets need to arrive.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// From the first probe to the second; then twice as long each time.
const SECOND_PROBE: Duration = Duration::from_secs(1);
/// The longest pause within an answer whose client has closed its sending side.
const SILENCE: Duration = Duration::from_secs(5);
/// The same in a tunnel, where the service is to know soon that nothing more comes.
const TUNNEL_SILENCE: Duration = Duration::from_secs(3);
/// When the system begins to ask whether the client's system still knows the connection; one that closed it forgets it after a
/// minute.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What the request's connection is, once the client sends no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serving {
    /// An answer is awaited, or under way.
    Request,
    /// A tunnel.
    Tunnel,
}

/// What is known since the client closed its sending side.
#[derive(Debug)]
pub(super) struct HalfClosed {
    timer: Pin<Box<Sleep>>,
    pause: Duration,
    next_probe: Instant,
    probe_pause: Duration,
    /// Since when nothing was sent within the answer.
    silent_since: Instant,
}

impl HalfClosed {
    pub(super) fn new(incoming: &impl Incoming) -> Self {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        // Where it fails there is one sign less that the client is gone.
        _ = incoming.with_socket(|socket| SockRef::from(socket).set_tcp_keepalive(&keepalive));
        let now = clock::now();
        Self {
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            pause: FIRST_LOOK,
            next_probe: now,
            probe_pause: SECOND_PROBE,
            silent_since: now,
        }
    }

    /// Ready once the client is gone, with an error, or the tunnel's client has nothing more to get.
    pub(super) fn poll_gone<I: Incoming>(
        &mut self,
        serving: Serving,
        incoming: &I,
        unsent: &Unsent<I::Writer>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if let Some(error) = incoming.with_socket(TcpStream::take_error)? {
                return Poll::Ready(Err(error));
            }
            let now = clock::now();
            let silence = match serving {
                Serving::Request => SILENCE,
                Serving::Tunnel => TUNNEL_SILENCE,
            };
            match unsent.look(now >= self.next_probe, context) {
                Sent::Nothing { probed } => {
                    self.silent_since = now;
                    if probed {
                        self.next_probe = now + self.probe_pause;
                        self.probe_pause *= 2;
                    }
                }
                Sent::Something => self.silent_since = now,
                Sent::NothingSince if now.saturating_duration_since(self.silent_since) < silence => {}
                Sent::NothingSince if serving == Serving::Tunnel => return Poll::Ready(Ok(())),
                Sent::NothingSince => return Poll::Ready(Err(ErrorKind::ConnectionAborted.into())),
            }
            self.timer.as_mut().reset((now + self.pause).into());
            self.pause = (self.pause * 2).min(LONGEST_LOOK);
        }
    }
}
