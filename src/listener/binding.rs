//! Binding: before anything else, with all failures told at once.

use std::net::SocketAddr;

use super::given::{GivenListeners, ListenerKind};
use super::sockets::{CannotListen, Sockets, open};

/// Sockets of one port. The loops are tasks of one runtime, and each socket is a file that a client might need.
const MOST_SOCKETS: usize = 16;

/// Binds every listener that is not `given`, those for clients with a socket for each of `threads`, up to 16.
///
/// # Errors
/// Those that could not be bound, a line each.
pub fn bind(
    public: &[SocketAddr],
    tls: &[SocketAddr],
    internal: &[SocketAddr],
    threads: usize,
    given: &mut GivenListeners,
) -> Result<Sockets, CannotListen> {
    let mut failures = Vec::new();
    let mut bind = |kind: ListenerKind, addresses: &[SocketAddr], count| {
        let mut bound = Vec::with_capacity(addresses.len());
        for address in addresses {
            if let Some(mut listener) = given.take(kind, *address) {
                listener.share_until(count);
                bound.push(listener);
                continue;
            }
            match open(*address, count) {
                Ok(listener) => bound.push(listener),
                Err(error) => failures.push(format!("cannot listen on {address} ({}): {error}", kind.key())),
            }
        }
        bound
    };
    let most = threads.min(MOST_SOCKETS);
    let public = bind(ListenerKind::Public, public, most);
    let (tls, internal) = (bind(ListenerKind::Tls, tls, most), bind(ListenerKind::Internal, internal, 1));
    if failures.is_empty() { Ok(Sockets { public, tls, internal }) } else { Err(CannotListen::new(&failures)) }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::given::GivenListener;
    use super::super::sockets::BoundListener;
    use super::*;

    /// With nothing given.
    fn bind(
        public: &[SocketAddr],
        tls: &[SocketAddr],
        internal: &[SocketAddr],
        threads: usize,
    ) -> Result<Sockets, CannotListen> {
        super::bind(public, tls, internal, threads, &mut GivenListeners::default())
    }

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
        let addresses: Vec<_> = listener.sockets().iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(addresses, [listener.address; 3]);
        assert!(bind(&[listener.address], &[], &none, 3).is_err() && bind(&[], &[listener.address], &none, 1).is_err());
    }

    #[test]
    fn a_port_is_free_again_once_its_sockets_are_gone() {
        let (any, none) = ("127.0.0.1:0".parse().unwrap(), []);
        let address = bind(&[any], &[], &none, 2).unwrap().public[0].address;
        assert_eq!(bind(&[address], &[], &none, 2).unwrap().public[0].sockets().len(), 2);
    }

    #[test]
    fn what_is_accepted_sends_without_delay() {
        let bound = bind(&["127.0.0.1:0".parse().unwrap()], &[], &[], 1).unwrap();
        let listener = &bound.public[0];
        let _client = TcpStream::connect(listener.address).unwrap();
        listener.sockets()[0].set_nonblocking(false).unwrap();
        let (accepted, _) = listener.sockets()[0].accept().unwrap();
        assert!(accepted.nodelay().unwrap());
    }

    #[test]
    fn a_given_listener_is_taken_for_its_address_and_key_with_all_its_queues() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = bind(&[any], &[], &[any], 3).unwrap();
        let given = |kind, listener: &BoundListener| GivenListener {
            kind: Some(kind),
            configured: any,
            listener: listener.try_clone().unwrap(),
        };
        let listeners = [
            given(ListenerKind::Internal, &bound.internal[0]),
            given(ListenerKind::Public, &bound.public[0]),
            given(ListenerKind::Tls, &bound.public[0]),
        ];
        let mut given = GivenListeners::new(listeners.into());
        let again = super::bind(&[any], &[], &[any], 1, &mut given).unwrap();
        assert_eq!(again.addresses(), bound.addresses());
        assert_eq!(again.public[0].sockets().len(), 3, "clients may wait in each");
        assert_eq!(given.addresses().collect::<Vec<_>>(), [any]);
    }

    #[test]
    fn a_given_listener_gets_a_queue_for_each_further_thread_where_it_may_be_shared() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sockets_for = |listener: &BoundListener| {
            let listener = listener.try_clone().unwrap();
            let one = GivenListener { kind: None, configured: any, listener };
            super::bind(&[any], &[], &[], 4, &mut GivenListeners::new(vec![one])).unwrap().public[0].sockets().len()
        };
        assert_eq!(sockets_for(&bind(&[any], &[], &[], 2).unwrap().public[0]), 4);
        assert_eq!(sockets_for(&bind(&[any], &[], &[], 1).unwrap().public[0]), 1);
    }
}
