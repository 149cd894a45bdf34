//! Ports for listeners, outside the range from which Linux takes ports of outgoing connections, so that a port stays
//! free while a gateway or an origin is stopped or restarts on it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Mutex;

/// Below Linux's default `ip_local_port_range`, which starts at 32768.
const RANGE: std::ops::Range<u16> = 10_000..32_000;
/// A machine on which so many random ports are taken has another trouble.
const MOST_TRIES: usize = 1000;

/// The UDP sockets of the ports that this process chose. They keep the tests of other processes from choosing such a
/// port while its TCP listener is closed: a gateway would go on with what listens there then.
static CHOSEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A listener on a free port of 127.0.0.1.
pub(crate) fn listener() -> TcpListener {
    listener_at(Ipv4Addr::LOCALHOST)
}

/// The same for a service of a test's own, and the url of that service.
pub(crate) fn service() -> (tokio::net::TcpListener, String) {
    let listener = listener();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (tokio::net::TcpListener::from_std(listener).unwrap(), url)
}

/// A listener on a port that is free at every address.
pub(crate) fn listener_everywhere() -> TcpListener {
    listener_at(Ipv4Addr::UNSPECIFIED)
}

fn listener_at(address: Ipv4Addr) -> TcpListener {
    let choose = || {
        let at = (address, fastrand::u16(RANGE));
        let chosen = UdpSocket::bind(at).ok()?;
        let listener = TcpListener::bind(at).ok()?;
        CHOSEN.lock().unwrap().push(chosen);
        Some(listener)
    };
    (0..MOST_TRIES).find_map(|_| choose()).expect("a free port between 10000 and 32000")
}

/// An address of 127.0.0.1 that nothing listens on, and that no other test chooses.
pub(crate) fn free_address() -> SocketAddr {
    listener().local_addr().unwrap()
}
