//! A Pingora proxy with nothing of furt's but what the comparison needs equal: the same header edits, `ServerConf`, pool,
//! timeouts, keep-alive and an empty list of modules. What furt costs beyond it are furt's own hooks.
//!
//! It has no routes, keys, permissions, limits, choice of an instance, retries, metrics or log, and believes what it is
//! sent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use pingora::apps::HttpServerOptions;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::listeners::ListenerConfig;
use pingora::modules::http::HttpModules;
use pingora::prelude::Server;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, ProxyServiceBuilder, Session};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY_NAME: HeaderName = HeaderName::from_static("x-api-key-name");
// As furt sets them: of a text Pingora makes no copy.
const FORWARDED_FOR: &str = "X-Forwarded-For";
const FORWARDED_PROTO: &str = "X-Forwarded-Proto";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
const REQUEST_ID: &str = "X-Request-Id";
const GATEWAY: &str = "X-Gateway";
const SERVER_TIMING: &str = "Server-Timing";

/// Idle connections to the origin, of which there are never more than clients.
const POOL: usize = 16_384;
/// As in furt's default configuration.
const KEEPALIVE: u64 = 75;
/// How long an idle connection to the origin is kept, as every gateway of the bench keeps it.
pub(super) const UPSTREAM_IDLE: Duration = Duration::from_secs(60);

/// Serves until the process ends. `idle` is how long an unused connection to the origin is kept; `None`: each is closed after
/// its answer.
pub(super) fn serve(listen: SocketAddr, origin: SocketAddr, threads: usize, idle: Option<Duration>) -> Result<()> {
    let conf = ServerConf {
        threads,
        // As furt's.
        work_stealing: threads > 1,
        max_retries: 11,
        upstream_keepalive_pool_size: (POOL / threads).max(1),
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(u32::MAX);
    let mut service =
        ProxyServiceBuilder::new(&server.configuration, Bare { origin, idle }).server_options(options).build();
    let buffers = L4BufferSettings::new(0, 4096);
    service.add_listener(ListenerConfig::tcp(listen.to_string()).l4_buffer(buffers));
    server.add_service(service);
    server.run_forever()
}

struct Bare {
    origin: SocketAddr,
    idle: Option<Duration>,
}

struct Context {
    began: Instant,
    sent: Option<Instant>,
    id: HeaderValue,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        Context { began: Instant::now(), sent: None, id: HeaderValue::from_static("") }
    }

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _ctx: &mut Context) -> pingora::Result<()> {
        session.set_read_timeout(Some(Duration::from_secs(30)));
        session.set_write_timeout(Some(Duration::from_secs(30)));
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(KEEPALIVE));
        }
        Ok(())
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Context) -> pingora::Result<Box<HttpPeer>> {
        ctx.sent = Some(Instant::now());
        let mut peer = HttpPeer::new(self.origin, false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(2));
        peer.options.total_connection_timeout = Some(Duration::from_secs(2));
        peer.options.read_timeout = Some(Duration::from_secs(60));
        peer.options.write_timeout = Some(Duration::from_secs(60));
        peer.options.idle_timeout = self.idle;
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Context,
    ) -> pingora::Result<()> {
        ctx.id = furt::telemetry::request_id::of(&session.req_header().headers);
        if self.idle.is_none() {
            request.insert_header(http::header::CONNECTION, HeaderValue::from_static("close"))?;
        }
        request.remove_header(&API_KEY);
        request.remove_header(&API_KEY_NAME);
        if let Some(peer) = session.client_addr().and_then(|address| address.as_inet()) {
            request.insert_header(FORWARDED_FOR, furt_core::model::address_text(peer.ip().to_canonical()))?;
        }
        request.insert_header(FORWARDED_PROTO, HeaderValue::from_static("http"))?;
        if let Some(host) = session.req_header().headers.get(http::header::HOST) {
            request.insert_header(FORWARDED_HOST, host.clone())?;
        }
        request.insert_header(REQUEST_ID, ctx.id.clone())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> pingora::Result<()> {
        let upstream = ctx.sent.map_or(Duration::ZERO, |sent| sent.elapsed());
        let own = ctx.began.elapsed().saturating_sub(upstream);
        let (own, upstream) = (own.as_micros(), upstream.as_micros());
        response.insert_header(GATEWAY, HeaderValue::from_static("furt"))?;
        let timing =
            format!("gw;dur={}.{:03}, upstream;dur={}.{:03}", own / 1000, own % 1000, upstream / 1000, upstream % 1000);
        response.append_header(SERVER_TIMING, timing)?;
        response.insert_header(REQUEST_ID, ctx.id.clone())
    }
}
