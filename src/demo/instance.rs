//! One instance: its port, its mode, its life from start to crash to start again, and its end.
//!
//! It serves with the listener that runs furt's own internal API, on a port that it opens and closes itself. What it
//! answers is in `handlers`, how it joins in `joining`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use pingora::apps::ServerApp as _;
use pingora::protocols::l4::stream::Stream;
use pingora::server::ShutdownWatch;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::joining::{Heard, Joining, Way};
use super::modes::{Health, Mode};
use super::settings::HEARTBEAT_TTL;
use crate::api;
use crate::listener::OpenConnections;
use crate::telemetry::ConnectionMetrics;

/// How long an instance that crashes goes on with what it has: so that who made it crash gets an answer.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How long one that ends waits for the requests that it has.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// Between two attempts to register, or to have the port back. Until the demo ends: that is what bounds them.
const AGAIN: Duration = Duration::from_millis(100);

/// An instance of a service.
pub(super) struct Instance {
    joining: Joining,
    mode: watch::Sender<Mode>,
    is_registered: watch::Sender<bool>,
}

/// Why an instance does not serve any more.
#[derive(PartialEq, Eq)]
enum End {
    Crash(Duration),
    Stop,
}

impl Instance {
    pub(super) fn new(joining: Joining) -> Self {
        Self { joining, mode: watch::Sender::new(Mode::Ok), is_registered: watch::Sender::new(false) }
    }

    pub(super) fn service(&self) -> &'static str {
        self.joining.service
    }

    pub(super) fn id(&self) -> &str {
        &self.joining.id
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.joining.address
    }

    pub(super) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    pub(super) fn switch(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits for a mode of which that is true.
    pub(super) async fn becomes(&self, is_it: impl Fn(Mode) -> bool) -> Mode {
        let mut modes = self.mode.subscribe();
        // The sender is the instance's own.
        modes.wait_for(|mode| is_it(*mode)).await.map_or(Mode::Ok, |mode| *mode)
    }

    /// Waits until furt has taken its registration.
    pub(super) async fn registered(&self) {
        _ = self.is_registered.subscribe().wait_for(|is_registered| *is_registered).await;
    }

    /// Serves `router` until `stop` says so, and has deregistered then.
    ///
    /// # Errors
    /// It cannot serve at all.
    pub(super) async fn live(
        self: Arc<Self>,
        first: TcpListener,
        router: Router,
        mut stop: ShutdownWatch,
    ) -> Result<()> {
        let open = OpenConnections::new(ConnectionMetrics::unexposed()?);
        let server = Arc::new(api::Listener::alone(router, Arc::new(open)));
        let mut port = tokio::net::TcpListener::from_std(first).context("no port")?;
        loop {
            match self.serve(port, &server, &mut stop).await {
                End::Stop => return Ok(()),
                End::Crash(time) => {
                    tokio::select! {
                        () = sleep(time) => {}
                        () = told_to_stop(&mut stop) => return self.leave().await,
                    }
                }
            }
            self.switch(Mode::Ok);
            port = tokio::select! {
                port = self.port() => port,
                () = told_to_stop(&mut stop) => return self.leave().await,
            };
        }
    }

    async fn serve(
        self: &Arc<Self>,
        port: tokio::net::TcpListener,
        server: &Arc<api::Listener>,
        stop: &mut ShutdownWatch,
    ) -> End {
        let mut connections = JoinSet::new();
        let closing = watch::Sender::new(false);
        let end = tokio::select! {
            () = accept(&port, server, &mut connections, &closing) => End::Stop,
            () = self.stay_known() => End::Stop,
            mode = self.becomes(|mode| matches!(mode, Mode::Refuse(_))) => match mode {
                Mode::Refuse(time) => End::Crash(time),
                _ => End::Stop,
            },
            () = told_to_stop(stop) => End::Stop,
        };
        if end == End::Stop {
            // What cannot be deregistered any more is gone with the gateway.
            _ = self.leave().await;
            closing.send_replace(true);
        }
        drop(port);
        let limit = if end == End::Stop { LAST_REQUESTS } else { LAST_WORDS };
        _ = timeout(limit, async { while connections.join_next().await.is_some() {} }).await;
        connections.shutdown().await;
        end
    }

    /// Its own port again; another process may have it for a while.
    async fn port(&self) -> tokio::net::TcpListener {
        loop {
            match tokio::net::TcpListener::bind(self.address()).await {
                Ok(port) => return port,
                Err(error) => log::warn!("{} cannot open its port again: {error}", self.id()),
            }
            sleep(AGAIN).await;
        }
    }

    /// Registers at its start and whenever it is well again or unknown, and sends heartbeats if it is of that kind.
    async fn stay_known(self: &Arc<Self>) {
        loop {
            self.becomes(|mode| mode.health() == Health::Good).await;
            self.register().await;
            tokio::select! {
                () = self.beat_until_unknown() => {}
                _ = self.becomes(|mode| mode.health() != Health::Good) => {}
            }
        }
    }

    async fn register(&self) {
        while let Err(error) = self.told(Joining::register).await {
            log::debug!("{} cannot register: {error:#}", self.id());
            sleep(AGAIN).await;
        }
        self.is_registered.send_replace(true);
    }

    async fn beat_until_unknown(&self) {
        if self.joining.way == Way::Routes {
            return std::future::pending().await;
        }
        loop {
            sleep(HEARTBEAT_TTL / 3).await;
            match self.told(Joining::beat).await {
                Ok(Heard::Known) => {}
                Ok(Heard::Unknown) => return,
                Err(error) => log::debug!("a heartbeat of {} failed: {error:#}", self.id()),
            }
        }
    }

    async fn leave(&self) -> Result<()> {
        self.told(Joining::leave).await
    }

    /// Says something to furt, on a thread that may wait for the answer.
    async fn told<T: Send + 'static>(&self, what: fn(&Joining) -> Result<T>) -> Result<T> {
        let joining = self.joining.clone();
        spawn_blocking(move || what(&joining)).await?
    }
}

async fn told_to_stop(stop: &mut ShutdownWatch) {
    // Where the sender is gone, so is the demo.
    _ = stop.wait_for(|stops| *stops).await;
}

async fn accept(
    port: &tokio::net::TcpListener,
    server: &Arc<api::Listener>,
    connections: &mut JoinSet<()>,
    closing: &watch::Sender<bool>,
) {
    loop {
        // Those that have ended must not pile up.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = port.accept().await else {
            // No file descriptor is left: others must close theirs first.
            sleep(AGAIN).await;
            continue;
        };
        // Without it an answer might wait for more to send; where it cannot be set, it does.
        _ = stream.set_nodelay(true);
        let (server, closing) = (Arc::clone(server), closing.subscribe());
        connections.spawn(async move {
            server.process_new(Box::new(Stream::from(stream)), &closing).await;
        });
    }
}
