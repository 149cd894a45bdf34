//! Listening sockets that furt did not open itself: a supervisor did (socket activation), or the furt that this one replaces.
//!
//! Each is used where the configuration names its address. The port of a given socket stays open while it goes from one
//! process to the next: a connection that nobody has accepted yet waits.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};
use socket2::SockRef;

use super::sockets::{BoundListener, Sockets};

/// Which key of the configuration names a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenerKind {
    /// `server.listen`
    Public,
    /// `tls.listen`
    Tls,
    /// `internal.listen`
    Internal,
}

impl ListenerKind {
    /// The key.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Public => "server.listen",
            Self::Tls => "tls.listen",
            Self::Internal => "internal.listen",
        }
    }
}

/// A listener that furt is given.
pub struct GivenListener {
    /// `None`: whichever names its address.
    pub kind: Option<ListenerKind>,
    /// As the configuration names it: a port of 0 is found again.
    pub configured: SocketAddr,
    /// Its sockets, at least one.
    pub listener: BoundListener,
}

impl Sockets {
    /// All of them once more, for another process, as the configuration names them: in the order of its keys.
    ///
    /// # Errors
    /// The process may open no more files.
    pub fn try_clone(
        &self,
        public: &[SocketAddr],
        tls: &[SocketAddr],
        internal: &[SocketAddr],
    ) -> io::Result<Vec<GivenListener>> {
        let kinds = [
            (ListenerKind::Public, public, &self.public),
            (ListenerKind::Tls, tls, &self.tls),
            (ListenerKind::Internal, internal, &self.internal),
        ];
        let each = kinds.into_iter().flat_map(|(kind, addresses, listeners)| {
            addresses.iter().zip(listeners).map(move |(configured, listener)| {
                let listener = listener.try_clone()?;
                Ok(GivenListener { kind: Some(kind), configured: *configured, listener })
            })
        });
        each.collect()
    }
}

/// Those that nobody has asked for yet.
#[derive(Default)]
pub struct GivenListeners(Vec<GivenListener>);

impl GivenListeners {
    /// Of the furt that this one replaces.
    pub fn new(listeners: Vec<GivenListener>) -> Self {
        Self(listeners)
    }

    /// Of the supervisor (`LISTEN_FDS`). To be called once, at the start: the variables are taken out of the environment.
    ///
    /// # Errors
    /// A sentence for each that is no listening TCP socket.
    pub fn of_supervisor() -> Result<Self, Vec<String>> {
        let mut passed = ListenFd::from_env();
        let (mut given, mut failures) = (Vec::new(), Vec::new());
        for index in 0..passed.len() {
            match passed.take_tcp_listener(index).and_then(|socket| socket.map(supervisors).transpose()) {
                Ok(listener) => given.extend(listener),
                Err(error) => failures.push(format!("socket {index} of LISTEN_FDS cannot be listened on: {error}")),
            }
        }
        if failures.is_empty() { Ok(Self(given)) } else { Err(failures) }
    }

    /// The one for this address of that key.
    pub(super) fn take(&mut self, kind: ListenerKind, address: SocketAddr) -> Option<BoundListener> {
        let is_it = |one: &GivenListener| one.configured == address && one.kind.is_none_or(|of| of == kind);
        let at = self.0.iter().position(is_it)?;
        Some(self.0.swap_remove(at).listener)
    }

    /// The addresses that no key names.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|one| one.configured)
    }
}

fn supervisors(socket: TcpListener) -> io::Result<GivenListener> {
    let as_socket = SockRef::from(&socket);
    if !as_socket.is_listener()? {
        return Err(io::Error::other("it is no TCP socket that listens"));
    }
    as_socket.set_nonblocking(true)?;
    as_socket.set_tcp_nodelay(true)?;
    let address = socket.local_addr()?;
    Ok(GivenListener { kind: None, configured: address, listener: BoundListener { address, sockets: vec![socket] } })
}
