//! Sockets: bound before anything else, all failures told at once, then handed to Pingora.
//!
//! Binding is furt's own because Pingora tries a port in use for 30 s and panics then. It looks for a bound socket in the
//! table of its graceful upgrade, by the address as text.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;

use pingora::server::ListenFds;

/// A bound socket and where it really listens.
pub struct BoundListener {
    /// With the real port.
    pub address: SocketAddr,
    socket: TcpListener,
}

/// The sockets of both listeners.
pub struct Sockets {
    /// For clients.
    pub public: Vec<BoundListener>,
    /// For services and operators.
    pub internal: Vec<BoundListener>,
}

impl Sockets {
    /// Where furt listens, with the real ports.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.public.iter().chain(&self.internal).map(|listener| listener.address).collect()
    }
}

/// Their addresses, with a comma between.
pub fn address_list(listeners: &[BoundListener]) -> String {
    listeners.iter().map(|listener| listener.address.to_string()).collect::<Vec<_>>().join(", ")
}

/// A line for each address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotListen(String);

/// Binds every listener.
///
/// # Errors
/// Those that could not be bound, a line each.
pub fn bind(public: &[SocketAddr], internal: &[SocketAddr]) -> Result<Sockets, CannotListen> {
    let mut failures = Vec::new();
    let mut bind = |key: &str, addresses: &[SocketAddr]| {
        let mut bound = Vec::with_capacity(addresses.len());
        for address in addresses {
            match open(*address) {
                Ok(listener) => bound.push(listener),
                Err(error) => failures.push(format!("cannot listen on {address} ({key}): {error}")),
            }
        }
        bound
    };
    let (public, internal) = (bind("server.listen", public), bind("internal.listen", internal));
    if failures.is_empty() { Ok(Sockets { public, internal }) } else { Err(CannotListen(failures.join("\n"))) }
}

fn open(address: SocketAddr) -> std::io::Result<BoundListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    // A port whose last owner's connections still linger may be taken, one that is listened on may not.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can stand side by side, and an IPv6 listener never sees mapped addresses.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    // Pingora raises the backlog when it adopts the socket.
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    let socket = TcpListener::from(socket);
    Ok(BoundListener { address: socket.local_addr()?, socket })
}

/// Puts the sockets where Pingora looks before it binds: the table that a graceful upgrade would fill.
pub fn hand_over(sockets: impl IntoIterator<Item = BoundListener>, table: &ListenFds) {
    for listener in sockets {
        table.lock().add(listener.address.to_string(), listener.socket.into_raw_fd());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_that_cannot_be_bound_is_told() {
        let taken = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = taken.each_ref().map(|socket| socket.local_addr().unwrap());
        let error = bind(&[addresses[0], "127.0.0.1:0".parse().unwrap()], &[addresses[1]]).err().unwrap().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].contains(&addresses[0].to_string()) && lines[0].contains("server.listen"), "{error}");
        assert!(lines[1].contains(&addresses[1].to_string()) && lines[1].contains("internal.listen"), "{error}");
    }

    #[test]
    fn port_0_becomes_a_real_port() {
        let any = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&[any], &[any]).unwrap();
        assert!(bound.addresses().iter().all(|address| address.port() != 0));
    }
}
