//! Sockets of listeners: how one is opened, and what is known of those that are.
//!
//! A port of clients has a socket for each thread, so that each has an accept queue of its own (`SO_REUSEPORT`). A port that
//! somebody listens on is never shared with them: the first socket is bound alone.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Connections that wait to be accepted; the kernel takes `net.core.somaxconn` where that is less.
const BACKLOG: i32 = 65_535;

/// The bound sockets of one address.
pub struct BoundListener {
    /// With the real port.
    pub address: SocketAddr,
    /// Several share the port, each with an accept queue of its own.
    pub(super) sockets: Vec<TcpListener>,
}

impl BoundListener {
    /// Its sockets once more, so that another process can be given them.
    ///
    /// # Errors
    /// The process may open no more files.
    pub fn try_clone(&self) -> io::Result<Self> {
        let sockets = self.sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Ok(Self { address: self.address, sockets })
    }

    /// Takes sockets that another process has bound.
    ///
    /// # Errors
    /// There is none, or some are none that listen.
    pub fn of_sockets(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let first = sockets.first().ok_or_else(|| io::Error::other("no socket was given"))?;
        Ok(Self { address: first.local_addr()?, sockets })
    }

    /// Its sockets: an accept queue each.
    pub fn sockets(&self) -> &[TcpListener] {
        &self.sockets
    }

    /// One more accept queue for each thread that has none. A queue is never given up: clients may wait in it.
    pub(super) fn share_until(&mut self, count: usize) {
        // Bound without it, it is alone on its port.
        let is_shared = self.sockets.first().is_some_and(|first| SockRef::from(first).reuse_port().unwrap_or(false));
        while is_shared && self.sockets.len() < count {
            match share(self.address) {
                Ok(socket) => self.sockets.push(socket),
                Err(error) => {
                    log::warn!("{} has {} of {count} accept queues: {error}", self.address, self.sockets.len());
                    return;
                }
            }
        }
    }
}

/// The sockets of both listeners.
pub struct Sockets {
    /// For clients.
    pub public: Vec<BoundListener>,
    /// For clients under TLS.
    pub tls: Vec<BoundListener>,
    /// For services and operators.
    pub internal: Vec<BoundListener>,
}

impl Sockets {
    /// Where furt listens, with the real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.public.iter().chain(&self.tls).chain(&self.internal).map(|listener| listener.address).collect()
    }
}

/// Their addresses, with a comma between.
pub fn address_list<'a>(listeners: impl IntoIterator<Item = &'a BoundListener>) -> String {
    listeners.into_iter().map(|listener| listener.address.to_string()).collect::<Vec<_>>().join(", ")
}

/// A line for each address that could not be bound, or not be accepted at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotListen(String);

impl CannotListen {
    pub(super) fn new(failures: &[String]) -> Self {
        Self(failures.join("\n"))
    }
}

/// Opens and binds a listener with `count` sockets.
pub(super) fn open(address: SocketAddr, count: usize) -> io::Result<BoundListener> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    // Only now: bound with it, a second furt would be given the port too. Where it cannot be set, one socket must do.
    if count > 1
        && let Err(error) = first.set_reuse_port(true)
    {
        log::debug!("{address} has one accept queue: {error}");
    }
    first.listen(BACKLOG)?;
    let mut listener = BoundListener::of_sockets(vec![first.into()])?;
    listener.share_until(count);
    Ok(listener)
}

/// One more socket on a port that furt listens on.
fn share(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last owner's connections still linger may be taken, one that is listened on may not.
    socket.set_reuse_address(true)?;
    // Linux gives it to each connection that is accepted.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can stand side by side, and an IPv6 listener never sees mapped addresses.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
