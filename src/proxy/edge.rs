//! The rim of the public listener: how many connections, how long a header may take, who is still there at the end.
//!
//! Pingora times each read of a header, not the header; a client that drips is cut here.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::Gateway;
use super::limits::network;
use crate::config::ClientConfig;
use crate::connections::{
    self, AddressConnections, OpenConnections, TOO_MANY, TOO_MANY_OF_ONE, header_deadline, is_new, turn_away,
};
use crate::routing::Snapshot;
use crate::telemetry::Telemetry;

tokio::task_local! {
    static HEADER: HeaderState;
}

/// Of the request that this task is about to serve.
struct HeaderState {
    is_received: Cell<bool>,
}

/// The request's header is complete: its deadline is met.
pub(super) fn note_header_received() {
    // Outside of an edge, as in tests of the hooks, there is no deadline to meet.
    _ = HEADER.try_with(|state| state.is_received.set(true));
}

/// What holds for a connection until its next request, as values: an idle one must not keep an old configuration.
struct Limits {
    /// The most connections.
    connections: usize,
    /// The most of this address, where that is limited.
    of_one: Option<(IpAddr, usize)>,
    /// Timeouts.
    client: ClientConfig,
}

/// Pingora's proxy around [`Gateway`], with the rim around it.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<OpenConnections>,
    addresses: AddressConnections,
    telemetry: Arc<Telemetry>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    options: HttpServerOptions,
}

impl Edge {
    /// Its connections are counted in `open`.
    pub fn new(
        proxy: HttpProxy<Gateway>,
        open: Arc<OpenConnections>,
        telemetry: Arc<Telemetry>,
        snapshots: Arc<ArcSwap<Snapshot>>,
    ) -> Self {
        let addresses = AddressConnections::default();
        Self { proxy: Arc::new(proxy), open, addresses, telemetry, snapshots, options: connections::options() }
    }

    fn limits(&self, session: &ServerSession) -> Limits {
        let snapshot = self.snapshots.load();
        let config = &snapshot.config;
        let most = |most: usize| if is_new(session) { most } else { usize::MAX };
        let of_one = config.limits.address_connections.and_then(|most_of_one| {
            let peer = session.client_addr()?.as_inet()?.ip().to_canonical();
            // A proxy connects for many.
            (!config.server.trusted_proxies.contains(peer)).then(|| (network(peer), most(most_of_one)))
        });
        Limits { connections: most(config.server.max_connections), of_one, client: config.client.clone() }
    }
}

#[async_trait]
impl HttpServerApp for Edge {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let Limits { connections: most, of_one, client } = self.limits(&session);
        let Some(_place) = self.open.place(most) else {
            turn_away(session, TOO_MANY).await;
            return None;
        };
        let place_of_one = of_one.map(|(address, most)| self.addresses.place(address, most));
        if matches!(place_of_one, Some(None)) {
            self.telemetry.limited.connections.inc();
            turn_away(session, TOO_MANY_OF_ONE).await;
            return None;
        }
        let deadline = header_deadline(&session, &client);
        session.set_read_timeout(Some(client.header_timeout));
        let state = HeaderState { is_received: Cell::new(false) };
        // In its box before the scope is made: a session is large, and would be moved with each future around it.
        let mut request = self.proxy.process_new_http(session, shutdown);
        let serve = HEADER.scope(state, async move {
            tokio::select! {
                biased;
                outcome = &mut request => return outcome,
                () = tokio::time::sleep(deadline) => {}
            }
            if HEADER.with(|state| state.is_received.get()) { request.await } else { None }
        });
        serve.await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
