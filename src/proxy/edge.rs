//! The rim of the public listener: how many connections, how long a header may take, who is still there at the end.
//!
//! Pingora times each read of a header, not the header; a client that drips is cut here.

use std::cell::Cell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::Gateway;
use crate::config::ClientConfig;
use crate::connections::{self, OpenConnections, header_deadline, turn_away};
use crate::routing::Snapshot;

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

/// Pingora's proxy around [`Gateway`], with the rim around it.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<OpenConnections>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    options: HttpServerOptions,
}

impl Edge {
    /// Its connections are counted in `open`.
    pub fn new(proxy: HttpProxy<Gateway>, open: Arc<OpenConnections>, snapshots: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { proxy: Arc::new(proxy), open, snapshots, options: connections::options() }
    }

    /// The most connections, and the timeouts, as values: an idle connection must not keep an old configuration.
    fn limits(&self) -> (usize, ClientConfig) {
        let snapshot = self.snapshots.load();
        (snapshot.config.server.max_connections, snapshot.config.client.clone())
    }
}

#[async_trait]
impl HttpServerApp for Edge {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let (most, client) = self.limits();
        let Some(_place) = self.open.place(most) else {
            turn_away(session).await;
            return None;
        };
        let deadline = header_deadline(&session, &client);
        session.set_read_timeout(Some(client.header_timeout));
        let state = HeaderState { is_received: Cell::new(false) };
        let serve = HEADER.scope(state, async {
            let request = self.proxy.process_new_http(session, shutdown);
            tokio::pin!(request);
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
