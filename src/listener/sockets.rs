//! Sockets: bound before anything else, all failures told at once, then handed to the accept loops.
//!
//! A port of clients has a socket for each thread, so that each has an accept queue of its own (`SO_REUSEPORT`). A port that
//! somebody listens on is never shared with them: the first socket is bound alone.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted; the kernel takes `net.core.somaxconn` where that is less.
const BACKLOG: i32 = 65_535;
/// Sockets of one port. The loops are tasks of one runtime, and each socket is a file that a client might need.
const MOST_SOCKETS: usize = 16;

/// The bound sockets of one address.
pub struct BoundListener {
    /// With the real port.
    pub address: SocketAddr,
    /// Several share the port, each with an accept queue of its own.
    pub(super) sockets: Vec<TcpListener>,
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

/// Binds every listener, those for clients with a socket for each of `threads`, up to 16.
///
/// # Errors
/// Those that could not be bound, a line each.
pub fn bind(
    public: &[SocketAddr],
    tls: &[SocketAddr],
    internal: &[SocketAddr],
    threads: usize,
) -> Result<Sockets, CannotListen> {
    let mut failures = Vec::new();
    let mut bind = |key: &str, addresses: &[SocketAddr], count| {
        let mut bound = Vec::with_capacity(addresses.len());
        for address in addresses {
            match open(*address, count) {
                Ok(listener) => bound.push(listener),
                Err(error) => failures.push(format!("cannot listen on {address} ({key}): {error}")),
            }
        }
        bound
    };
    let most = threads.min(MOST_SOCKETS);
    let public = bind("server.listen", public, most);
    let (tls, internal) = (bind("tls.listen", tls, most), bind("internal.listen", internal, 1));
    if failures.is_empty() { Ok(Sockets { public, tls, internal }) } else { Err(CannotListen::new(&failures)) }
}

fn open(address: SocketAddr, count: usize) -> std::io::Result<BoundListener> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    // Only now: bound with it, a second furt would be given the port too. Where it cannot be set, one socket must do.
    let is_shared = count > 1 && first.set_reuse_port(true).is_ok();
    first.listen(BACKLOG)?;
    let first = TcpListener::from(first);
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while is_shared && sockets.len() < count {
        match share(address) {
            Ok(socket) => sockets.push(socket),
            Err(error) => {
                log::warn!("{address} has {} of {count} accept queues: {error}", sockets.len());
                break;
            }
        }
    }
    Ok(BoundListener { address, sockets })
}

/// One more socket on a port that furt listens on.
fn share(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> std::io::Result<Socket> {
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

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn every_listener_that_cannot_be_bound_is_told() {
        let taken = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = taken.each_ref().map(|socket| socket.local_addr().unwrap());
        let error =
            bind(&[addresses[0], "127.0.0.1:0".parse().unwrap()], &[], &[addresses[1]], 2).err().unwrap().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].contains(&addresses[0].to_string()) && lines[0].contains("server.listen"), "{error}");
        assert!(lines[1].contains(&addresses[1].to_string()) && lines[1].contains("internal.listen"), "{error}");
    }

    #[test]
    fn port_0_becomes_a_real_port() {
        let any = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&[any], &[any], &[any], 1).unwrap();
        assert!(bound.addresses().iter().all(|address| address.port() != 0));
    }

    #[test]
    fn each_thread_has_a_socket_on_the_port_and_nobody_else_can_have_one() {
        let (any, none) = ("127.0.0.1:0".parse().unwrap(), []);
        let bound = bind(&[any], &[], &none, 3).unwrap();
        let [listener] = &bound.public[..] else { panic!("one address") };
        let addresses: Vec<_> = listener.sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(addresses, [listener.address; 3]);
        assert!(bind(&[listener.address], &[], &none, 3).is_err() && bind(&[], &[listener.address], &none, 1).is_err());
    }

    #[test]
    fn a_port_is_free_again_once_its_sockets_are_gone() {
        let (any, none) = ("127.0.0.1:0".parse().unwrap(), []);
        let address = bind(&[any], &[], &none, 2).unwrap().public[0].address;
        assert_eq!(bind(&[address], &[], &none, 2).unwrap().public[0].sockets.len(), 2);
    }

    #[test]
    fn what_is_accepted_sends_without_delay() {
        let bound = bind(&["127.0.0.1:0".parse().unwrap()], &[], &[], 1).unwrap();
        let listener = &bound.public[0];
        let _client = TcpStream::connect(listener.address).unwrap();
        listener.sockets[0].set_nonblocking(false).unwrap();
        let (accepted, _) = listener.sockets[0].accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }
}
