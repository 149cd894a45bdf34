//! The rim of the public listener: how many connections, how long a header may take, who is still there at the end.
//!
//! Pingora times each read of a header, not the header; a client that drips is cut here. On a connection that is used
//! again the time it may lie idle comes on top, since nothing tells from outside when the next header begins.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::Gateway;
use crate::connections::{OpenConnections, turn_away};

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
    header_timeout: Duration,
    keepalive_timeout: Duration,
    options: HttpServerOptions,
}

impl Edge {
    /// Its connections are counted in `open`.
    pub fn new(proxy: HttpProxy<Gateway>, open: Arc<OpenConnections>, client: &crate::config::ClientConfig) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(u32::MAX);
        Self {
            options,
            proxy: Arc::new(proxy),
            open,
            header_timeout: client.header_timeout,
            keepalive_timeout: client.keepalive_timeout,
        }
    }
}

#[async_trait]
impl HttpServerApp for Edge {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let Some(_place) = self.open.place() else {
            turn_away(session).await;
            return None;
        };
        let is_reused = session.get_keepalive_reuses_remaining() != Some(u32::MAX);
        let idle = if is_reused { self.keepalive_timeout } else { Duration::ZERO };
        session.set_read_timeout(Some(self.header_timeout));
        let state = HeaderState { is_received: Cell::new(false) };
        let serve = HEADER.scope(state, async {
            let request = self.proxy.process_new_http(session, shutdown);
            tokio::pin!(request);
            tokio::select! {
                biased;
                outcome = &mut request => return outcome,
                () = tokio::time::sleep(idle + self.header_timeout) => {}
            }
            if HEADER.with(|state| state.is_received.get()) { request.await } else { None }
        });
        serve.await
    }

    /// No limit to requests on a connection in practice: the count tells a new connection from one that is used again.
    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
