//! The accept loops: each connection is given a permit before anything is read of it, or is turned away, and has a task of its
//! own then. Where its peer connects for others, that begins with a PROXY header ([`proxy_protocol`]).
//!
//! The task sends what its connection has written whenever it waits for something ([`Unsent`]). Where the machine has no file
//! or memory for one more connection the loop pauses, since the kernel would tell it so again at once. Knows no protocol: a
//! [`ConnectionHandler`] is given the stream.
//!
//! [`Unsent`]: super::unsent::Unsent

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::protocols::Stream;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::connections::{OpenConnections, turn_away};
use super::handshake::Handshakes;
use super::proxy_protocol::{self, ProxiedClient, Unread};
use super::sides::Incoming;
use super::sockets::{BoundListener, CannotListen};
use super::stream::{ClientStream, take_refused};
use crate::clock;
use crate::telemetry::ProxyHeaderOutcome;

/// The pause after a failure, and the longest after several: a file may be free at any moment, and clients wait.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How often the runtime's clock wakes for nothing. A timer that is due before all others wakes its runtime by a system call when
/// it is set, and requests set timers of a second and more: with this one none of theirs is ever the first.
const TICK: Duration = Duration::from_millis(900);
/// A loop says at most once in this time that it cannot accept.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What is left of serving a connection whose last request may not be answered.
pub struct Unanswered<H: ConnectionHandler + ?Sized> {
    /// What served it.
    pub handler: Arc<H>,
    /// Its permit.
    pub permit: H::Permit,
    /// Says when to stop.
    pub shutdown: ShutdownWatch,
}

/// Who a new connection is let in for.
pub enum Admitted<P> {
    /// For its peer.
    Peer(P),
    /// For whom its peer names in a PROXY header, which may take that long.
    Proxied(P, Duration),
}

/// What serves the connections of a listener.
pub trait ConnectionHandler: Send + Sync + 'static {
    /// Kept as long as the connection is open.
    type Permit: Send + 'static;

    /// Where its connections are counted.
    fn open(&self) -> &Arc<OpenConnections>;

    /// A permit for one more connection of this peer.
    ///
    /// # Errors
    /// What the client is told before it is cut.
    fn admit(&self, peer: SocketAddr) -> Result<Admitted<Self::Permit>, &'static [u8]>;

    /// The permit of a connection whose peer has named this client.
    ///
    /// # Errors
    /// What the client is told before it is cut.
    fn admit_proxied(&self, permit: Self::Permit, client: SocketAddr) -> Result<Self::Permit, &'static [u8]> {
        _ = client;
        Ok(permit)
    }

    /// A PROXY header was read, or was not.
    fn note_proxy_header(&self, outcome: ProxyHeaderOutcome) {
        _ = outcome;
    }

    /// Becomes true when connections without a request are to end. Not before nothing more is accepted.
    fn idle_ends(&self) -> &ShutdownWatch;

    /// Serves a connection until it ends. Once `shutdown` says so, its next answer is its last. Returns what
    /// [`Self::refuse`] needs where the last request may be one that Pingora's parser refused.
    fn handle(
        self: Arc<Self>,
        stream: Stream,
        permit: Self::Permit,
        shutdown: ShutdownWatch,
    ) -> impl Future<Output = Option<Unanswered<Self>>> + Send;

    /// Answers such a request; nothing is known of it but whose connection it came on.
    fn refuse(unanswered: Unanswered<Self>, stream: Stream) -> impl Future<Output = ()> + Send {
        drop((unanswered, stream));
        std::future::ready(())
    }

    /// Called once nothing more is accepted; connections may still be open.
    fn stop_accepting(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// The accept loops of all sockets of a listener, as a Pingora service.
pub struct ListenService<H> {
    name: &'static str,
    threads: Option<usize>,
    listeners: Vec<BoundListener>,
    /// Those whose clients speak TLS.
    under_tls: Vec<BoundListener>,
    handshakes: Option<Arc<Handshakes>>,
    handler: Arc<H>,
    outcome: Option<mpsc::Sender<Result<(), CannotListen>>>,
}

impl<H: ConnectionHandler> ListenService<H> {
    /// `threads` of `None`: as many as the server's configuration says.
    pub fn new(name: &'static str, threads: Option<usize>, listeners: Vec<BoundListener>, handler: H) -> Self {
        let handler = Arc::new(handler);
        Self { name, threads, listeners, under_tls: Vec::new(), handshakes: None, handler, outcome: None }
    }

    /// With these listeners beside, whose clients speak TLS.
    pub fn with_tls(self, under_tls: Vec<BoundListener>, handshakes: Handshakes) -> Self {
        Self { under_tls, handshakes: Some(Arc::new(handshakes)), ..self }
    }

    /// Where it says, once it is started, whether it accepts at each of its sockets; it ends where it does not.
    pub fn outcome(&mut self) -> mpsc::Receiver<Result<(), CannotListen>> {
        let (outcome, told) = mpsc::channel();
        self.outcome = Some(outcome);
        told
    }

    /// Its sockets for the runtime that this is called on.
    fn take_sockets(&mut self) -> Result<Vec<Accepting>, CannotListen> {
        let (mut taken, mut failures) = (Vec::new(), Vec::new());
        let plain = self.listeners.drain(..).map(|listener| (listener, None));
        let under_tls = self.under_tls.drain(..).map(|listener| (listener, self.handshakes.clone()));
        for (BoundListener { address, sockets }, handshakes) in plain.chain(under_tls) {
            for socket in sockets {
                match TcpListener::from_std(socket) {
                    Ok(socket) => taken.push(Accepting { address, socket, handshakes: handshakes.clone() }),
                    Err(error) => failures.push(format!("cannot accept connections at {address}: {error}")),
                }
            }
        }
        if failures.is_empty() { Ok(taken) } else { Err(CannotListen::new(&failures)) }
    }
}

#[async_trait]
impl<H: ConnectionHandler> Service for ListenService<H> {
    async fn start_service(&mut self, _: Option<ListenFds>, shutdown: ShutdownWatch, _: usize) {
        let (sockets, outcome) = match self.take_sockets() {
            Ok(sockets) => (sockets, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        if let Some(told) = self.outcome.take() {
            // Nobody may wait for it any more.
            _ = told.send(outcome);
        }
        let mut loops = JoinSet::new();
        for accepting in sockets {
            loops.spawn(accept_all(accepting, Arc::clone(&self.handler), shutdown.clone()));
        }
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                ended = loops.join_next() => if ended.is_none() { break },
                _ = tick.tick() => {}
            }
        }
        self.handler.stop_accepting().await;
    }

    fn name(&self) -> &str {
        self.name
    }

    fn threads(&self) -> Option<usize> {
        self.threads
    }
}

/// A socket that connections are accepted at.
struct Accepting {
    address: SocketAddr,
    socket: TcpListener,
    /// Where its clients speak TLS.
    handshakes: Option<Arc<Handshakes>>,
}

/// Accepts until `shutdown` says so.
async fn accept_all<H: ConnectionHandler>(accepting: Accepting, handler: Arc<H>, shutdown: ShutdownWatch) {
    let Accepting { address, socket, handshakes } = accepting;
    let mut stopping = shutdown.clone();
    let mut stops = pin!(async { _ = stopping.wait_for(|stops| *stops).await });
    let mut failures = Failures::new(address);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stops => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                failures.end();
                start(&handler, handshakes.as_ref(), stream, peer, shutdown.clone());
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                handler.open().note_accept_failed();
                tokio::select! {
                    () = &mut stops => return,
                    () = tokio::time::sleep(failures.next_pause(&error)) => {}
                }
            }
        }
    }
}

/// Starts the task of a connection.
fn start<H: ConnectionHandler>(
    handler: &Arc<H>,
    handshakes: Option<&Arc<Handshakes>>,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: ShutdownWatch,
) {
    let (permit, timeout) = match handler.admit(peer) {
        Ok(Admitted::Peer(permit)) => (permit, None),
        Ok(Admitted::Proxied(permit, timeout)) => (permit, Some(timeout)),
        Err(why) => return refuse(&**handler, handshakes.is_some(), stream, peer, why),
    };
    let handler = Arc::clone(handler);
    match (handshakes, timeout) {
        (None, None) => {
            tokio::spawn(serve(handler, move || ClientStream::new(stream, peer), by_the_kernel, permit, shutdown));
        }
        (Some(handshakes), None) => {
            tokio::spawn(serve_under_tls(handler, Arc::clone(handshakes), stream, peer, permit, shutdown));
        }
        (handshakes, Some(timeout)) => {
            let serving = Proxied { handler, handshakes: handshakes.cloned(), stream, peer, shutdown };
            tokio::spawn(serving.serve(permit, timeout));
        }
    }
}

/// Tells a client why it is turned away, where it can be told.
fn refuse<H: ConnectionHandler>(
    handler: &H,
    is_under_tls: bool,
    stream: TcpStream,
    peer: SocketAddr,
    why: &'static [u8],
) {
    // Under TLS nothing can be told without a handshake, which is what there is no room for.
    if !is_under_tls && let Some(one) = handler.open().try_turn_away() {
        tokio::spawn(async move {
            let _one = one;
            turn_away(Box::new(ClientStream::new(stream, peer)), why).await;
        });
    }
}

/// A connection whose peer says first for whom it connects.
struct Proxied<H> {
    handler: Arc<H>,
    handshakes: Option<Arc<Handshakes>>,
    stream: TcpStream,
    peer: SocketAddr,
    shutdown: ShutdownWatch,
}

impl<H: ConnectionHandler> Proxied<H> {
    /// Ends where it is known who the client is: what is served then has a task of its own.
    async fn serve(mut self, permit: H::Permit, timeout: Duration) {
        let mut stopping = self.handler.idle_ends().clone();
        let client = tokio::select! {
            biased;
            client = tokio::time::timeout(timeout, self.read_header()) => client,
            // Nothing was asked for yet.
            _ = stopping.wait_for(|stops| *stops) => return,
        };
        let Self { handler, handshakes, stream, peer, shutdown } = self;
        let Ok(client) = client else { return handler.note_proxy_header(ProxyHeaderOutcome::TimedOut) };
        let Some(client) = client else { return };
        let address = client.map_or(peer, |client| client.address);
        let permit = match handler.admit_proxied(permit, address) {
            Ok(permit) => permit,
            Err(why) => return refuse(&*handler, handshakes.is_some(), stream, address, why),
        };
        let told = move |_: &TcpStream| Some(address);
        match handshakes {
            None => {
                tokio::spawn(serve(handler, move || ClientStream::new(stream, address), told, permit, shutdown));
            }
            Some(handshakes) => {
                let reached = client.map(|client| client.reached.ip());
                if let Some(session) = handshakes.shake_until_stopped(stream, reached, handler.idle_ends()).await {
                    let stream = move || ClientStream::under_tls(session, address);
                    tokio::spawn(serve(handler, stream, told, permit, shutdown));
                }
            }
        }
    }

    /// For whom the peer connects, or that it does for itself; `None`: there is no header, and that is counted.
    async fn read_header(&mut self) -> Option<Option<ProxiedClient>> {
        let (outcome, read) = match proxy_protocol::read(&mut self.stream).await {
            Ok(Some(client)) => (ProxyHeaderOutcome::Client, Some(Some(client))),
            Ok(None) => (ProxyHeaderOutcome::Own, Some(None)),
            Err(why) => {
                log::debug!("a connection of {} was closed: {why}", self.peer);
                let is_closed = !matches!(why, Unread::Malformed(_));
                (if is_closed { ProxyHeaderOutcome::Closed } else { ProxyHeaderOutcome::Malformed }, None)
            }
        };
        self.handler.note_proxy_header(outcome);
        read
    }
}

/// Ends with the handshake: what is served then has a task of its own, without room for one.
async fn serve_under_tls<H: ConnectionHandler>(
    handler: Arc<H>,
    handshakes: Arc<Handshakes>,
    socket: TcpStream,
    peer: SocketAddr,
    permit: H::Permit,
    shutdown: ShutdownWatch,
) {
    if let Some(session) = handshakes.shake_until_stopped(socket, None, handler.idle_ends()).await {
        let stream = move || ClientStream::under_tls(session, peer);
        tokio::spawn(serve(handler, stream, by_the_kernel, permit, shutdown));
    }
}

/// Whose a connection is by its socket. It is asked again only where it is needed: the task would have room for the address.
fn by_the_kernel(socket: &TcpStream) -> Option<SocketAddr> {
    socket.peer_addr().ok()
}

/// The task of a connection. Its stream is made within: the task would have room for it twice. `peer` says whose it is.
#[expect(clippy::manual_async_fn, reason = "an async fn has room for what it is given twice")]
fn serve<H: ConnectionHandler, I: Incoming>(
    handler: Arc<H>,
    stream: impl FnOnce() -> ClientStream<I> + Send,
    peer: impl Fn(&TcpStream) -> Option<SocketAddr> + Send,
    permit: H::Permit,
    shutdown: ShutdownWatch,
) -> impl Future<Output = ()> + Send {
    async move {
        let stream = stream();
        let unsent = stream.unsent();
        let handled = {
            // Made here, and not handed in: the task would have room for it twice.
            let mut handling = pin!(handler.handle(Box::new(stream), permit, shutdown));
            poll_fn(|context| {
                let handled = handling.as_mut().poll(context);
                if handled.is_pending() {
                    unsent.poll_send(context);
                }
                handled
            })
            .await
        };
        if let Some(unanswered) = handled
            && let Some(stream) = take_refused(&unsent, peer)
        {
            // In a box: the task would have room for it while its client is idle.
            Box::pin(H::refuse(unanswered, stream)).await;
        }
    }
}

/// Whether the failure is of the connection that was to be accepted, and not of the machine or of furt (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

/// The failures of a loop one after the other, and what was said of them.
struct Failures {
    address: SocketAddr,
    pause: Duration,
    count: u64,
    said: Option<Instant>,
}

impl Failures {
    fn new(address: SocketAddr) -> Self {
        Self { address, pause: FIRST_PAUSE, count: 0, said: None }
    }

    /// How long to wait after one more.
    fn next_pause(&mut self, error: &io::Error) -> Duration {
        self.count += 1;
        let now = clock::now();
        if self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_AGAIN_AFTER) {
            log::warn!("cannot accept connections at {}, {} times by now: {error}", self.address, self.count);
            self.said = Some(now);
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// A connection was accepted.
    fn end(&mut self) {
        self.pause = FIRST_PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::{Semaphore, watch};

    use super::super::binding::bind;
    use super::super::connections::{ConnectionPermit, TOO_MANY};
    use super::*;
    use crate::telemetry::ConnectionMetrics;

    /// Serves one connection at a time: writes a number, flushes nothing, and waits to be told before the next.
    struct Counting {
        open: Arc<OpenConnections>,
        idle_ends: ShutdownWatch,
        steps: Semaphore,
    }

    impl Counting {
        fn new(open: Arc<OpenConnections>) -> Self {
            Self { open, idle_ends: watch::channel(false).1, steps: Semaphore::new(0) }
        }
    }

    impl ConnectionHandler for Counting {
        type Permit = ConnectionPermit;

        fn open(&self) -> &Arc<OpenConnections> {
            &self.open
        }

        fn idle_ends(&self) -> &ShutdownWatch {
            &self.idle_ends
        }

        fn admit(&self, _: SocketAddr) -> Result<Admitted<ConnectionPermit>, &'static [u8]> {
            self.open.try_acquire(1).map(Admitted::Peer).ok_or(TOO_MANY)
        }

        async fn handle(
            self: Arc<Self>,
            mut stream: Stream,
            _permit: ConnectionPermit,
            mut shutdown: ShutdownWatch,
        ) -> Option<Unanswered<Self>> {
            let peer = stream.get_socket_digest().unwrap().peer_addr().unwrap().to_string();
            stream.write_all(peer.as_bytes()).await.unwrap();
            stream.write_all(b"\n").await.unwrap();
            for number in 0.. {
                let step = tokio::select! {
                    step = self.steps.acquire() => step.unwrap(),
                    _ = shutdown.changed() => break,
                };
                step.forget();
                stream.write_all(format!("{number}\n").as_bytes()).await.unwrap();
            }
            // Never flushed: sent as the stream is dropped.
            stream.write_all(b"end\n").await.unwrap();
            None
        }
    }

    struct Running {
        handler: Arc<Counting>,
        address: SocketAddr,
        stop: watch::Sender<bool>,
        service: tokio::task::JoinHandle<()>,
    }

    fn running() -> Running {
        let open = Arc::new(OpenConnections::new(ConnectionMetrics::unexposed().unwrap()));
        let listeners = bind(&["127.0.0.1:0".parse().unwrap()], &[], &[], 2, &mut Default::default()).unwrap().public;
        let address = listeners[0].address;
        let mut service = ListenService::new("test", None, listeners, Counting::new(open));
        let (handler, (stop, stopping)) = (Arc::clone(&service.handler), watch::channel(false));
        let service = tokio::spawn(async move { service.start_service(None, stopping, 1).await });
        Running { handler, address, stop, service }
    }

    async fn read_line(stream: &mut TcpStream) -> String {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            line.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(line).unwrap()
    }

    #[tokio::test]
    async fn what_is_written_is_sent_when_the_task_waits_and_the_rest_when_it_ends() {
        let running = running();
        let mut client = TcpStream::connect(running.address).await.unwrap();
        assert_eq!(read_line(&mut client).await, format!("{}\n", client.local_addr().unwrap()));
        for number in 0..3 {
            running.handler.steps.add_permits(1);
            assert_eq!(read_line(&mut client).await, format!("{number}\n"));
        }
        running.stop.send_replace(true);
        assert_eq!(read_line(&mut client).await, "end\n");
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        running.service.await.unwrap();
        running.handler.open.all_closed().await;
        assert!(TcpStream::connect(running.address).await.is_err());
    }

    #[tokio::test]
    async fn a_client_without_a_permit_is_told_before_it_has_sent_anything() {
        let running = running();
        let mut first = TcpStream::connect(running.address).await.unwrap();
        read_line(&mut first).await;
        let mut second = TcpStream::connect(running.address).await.unwrap();
        let mut told = Vec::new();
        second.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, TOO_MANY);
        running.stop.send_replace(true);
        running.service.await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_cannot_be_taken_is_told_and_nothing_is_accepted() {
        let open = Arc::new(OpenConnections::new(ConnectionMetrics::unexposed().unwrap()));
        let mut listeners =
            bind(&["127.0.0.1:0".parse().unwrap(); 2], &[], &[], 1, &mut Default::default()).unwrap().public;
        let good = listeners[0].address;
        // No reactor takes a file.
        let file = std::net::TcpListener::from(OwnedFd::from(tempfile::tempfile().unwrap()));
        file.set_nonblocking(true).unwrap();
        listeners[1].sockets.push(file);
        let bad = listeners[1].address;
        let mut service = ListenService::new("test", None, listeners, Counting::new(open));
        let told = service.outcome();
        let (_stop, stopping) = watch::channel(false);
        service.start_service(None, stopping, 1).await;
        let error = told.recv().unwrap().unwrap_err().to_string();
        assert!(error.contains(&bad.to_string()) && !error.contains(&good.to_string()), "{error}");
        assert!(TcpStream::connect(good).await.is_err());
    }

    #[test]
    fn a_loop_that_fails_again_and_again_waits_longer_up_to_a_tenth_of_a_second() {
        let mut failures = Failures::new("127.0.0.1:80".parse().unwrap());
        let mut next = || failures.next_pause(&io::Error::from_raw_os_error(24)).as_millis();
        assert_eq!([next(), next(), next(), next(), next(), next()], [10, 20, 40, 80, 100, 100]);
        failures.end();
        assert_eq!(failures.next_pause(&io::Error::from_raw_os_error(24)), FIRST_PAUSE);
        assert_eq!(failures.count, 7);
    }

    #[test]
    fn a_client_that_left_before_it_was_accepted_is_no_reason_to_wait() {
        // ECONNABORTED, EINTR, ECONNRESET, ENETDOWN; then EMFILE, ENFILE, ENOBUFS, ENOMEM.
        for (number, goes_on) in
            [(103, true), (4, true), (104, true), (100, true), (24, false), (23, false), (105, false), (12, false)]
        {
            assert_eq!(is_of_one_connection(&io::Error::from_raw_os_error(number)), goes_on, "{number}");
        }
    }
}
