//! Furt's own addresses: no instance may be at one of them.
//!
//! A service there would send requests back to furt, in a circle. Registrations, static routes and resolved names are
//! checked by the address, whatever they were called by.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use furt_core::model::is_never_upstream;

/// Why nothing may be forwarded to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenAddress {
    /// No service ever has it ([`is_never_upstream`]).
    #[error("{0} can never be a service's address")]
    NeverUpstream(IpAddr),
    /// It reaches furt.
    #[error("{0} is a listener of furt itself: that would be a loop")]
    OwnListener(SocketAddr),
}

/// Where furt itself listens: no instance may be there, by whatever name, since that would be a loop.
#[derive(Debug, Clone, Default)]
pub struct OwnListeners(Arc<[SocketAddr]>);

impl OwnListeners {
    /// From the real addresses, port 0 resolved.
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(addresses.into_iter().collect())
    }

    /// Whether something may be forwarded to all of `addresses`.
    ///
    /// # Errors
    /// The first that may not be forwarded to.
    pub fn vet(&self, addresses: &[SocketAddr]) -> Result<(), ForbiddenAddress> {
        for &address in addresses {
            if is_never_upstream(address.ip()) {
                return Err(ForbiddenAddress::NeverUpstream(address.ip()));
            }
            if self.0.iter().any(|own| reaches(*own, address)) {
                return Err(ForbiddenAddress::OwnListener(address));
            }
        }
        Ok(())
    }
}

/// Whether a connection to `address` would reach the listener `own`, also one on all addresses of this machine.
fn reaches(own: SocketAddr, address: SocketAddr) -> bool {
    let is_local = || is_own_host(address.ip());
    own.port() == address.port() && (own.ip() == address.ip() || (own.ip().is_unspecified() && is_local()))
}

/// Whether an address is one of this machine's.
pub fn is_own_host(ip: IpAddr) -> bool {
    // Only such a one can be bound.
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn furts_own_listeners_are_told_by_whatever_address_reaches_them() {
        let own = OwnListeners::new(["0.0.0.0:80", "127.0.0.1:81"].map(|text| text.parse().unwrap()));
        let listener = |address: SocketAddr| Err(ForbiddenAddress::OwnListener(address));
        let never = |address: SocketAddr| Err(ForbiddenAddress::NeverUpstream(address.ip()));
        let allowed = |_| Ok(());
        let rows: [(_, fn(_) -> _); 7] = [
            ("127.0.0.1:80", listener),
            ("127.9.9.9:80", listener),
            ("127.0.0.1:81", listener),
            ("127.0.0.2:81", allowed),
            ("127.0.0.1:82", allowed),
            ("198.51.100.7:80", allowed),
            ("169.254.169.254:9", never),
        ];
        for (text, expected) in rows {
            let address = text.parse().unwrap();
            assert_eq!(own.vet(&[address]), expected(address), "{text}");
        }
    }
}
