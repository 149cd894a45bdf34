//! How an instance makes itself known, keeps itself known and leaves: over the internal listener, as any service does.
//!
//! The one kind sends its routes to `/internal/register-service` and is probed; the other speaks edgeProxy's `/api/v1` and
//! sends heartbeats.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use furt_api::backends::BackendRegistration;
use furt_api::registration::{HealthEndpoint, Registration, Route};
use ureq::Agent;

use super::client::{agent, send};

/// For one exchange: registering waits for the store.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How a service joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// With routes, and probes.
    Routes,
    /// As edgeProxy's backends: an id, an address, heartbeats.
    Heartbeats,
}

/// What furt answered to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Known,
    /// Not registered, so not any more.
    Unknown,
}

/// An instance, as furt gets to know it.
#[derive(Debug, Clone)]
pub(super) struct Joining {
    pub(super) way: Way,
    pub(super) service: &'static str,
    pub(super) id: String,
    pub(super) address: SocketAddr,
    pub(super) weight: u8,
    agent: Agent,
    internal: String,
}

impl Joining {
    /// Over the internal listener at `internal`.
    pub(super) fn new(
        way: Way,
        service: &'static str,
        number: usize,
        address: SocketAddr,
        internal: SocketAddr,
    ) -> Self {
        // So that weights are seen: the first backend of edgeProxy's gets twice the share of each other.
        let weight = if way == Way::Heartbeats && number == 1 { 2 } else { 1 };
        let internal = format!("http://{internal}");
        Self { way, service, id: format!("{service}-{number}"), address, weight, agent: agent(TIMEOUT), internal }
    }

    /// Registers, blocking.
    ///
    /// # Errors
    /// It was refused, or nobody answered.
    pub(super) fn register(&self) -> Result<()> {
        let (path, body) = match self.way {
            Way::Routes => ("/internal/register-service", serde_json::to_string(&self.registration())?),
            Way::Heartbeats => ("/api/v1/register", serde_json::to_string(&self.backend())?),
        };
        self.done("POST", path, &body)
    }

    /// Sends a heartbeat, blocking.
    ///
    /// # Errors
    /// It was refused, or nobody answered.
    pub(super) fn beat(&self) -> Result<Heard> {
        let (status, text) = self.exchange("POST", &format!("/api/v1/heartbeat/{}", self.id), "")?;
        match status {
            200 => Ok(Heard::Known),
            404 => Ok(Heard::Unknown),
            _ => bail!("{status}: {text}"),
        }
    }

    /// Deregisters, blocking.
    ///
    /// # Errors
    /// It was refused, or nobody answered.
    pub(super) fn leave(&self) -> Result<()> {
        let path = match self.way {
            Way::Routes => format!("/internal/services/{}/instances/{}", self.service, self.id),
            Way::Heartbeats => format!("/api/v1/backends/{}", self.id),
        };
        self.done("DELETE", &path, "")
    }

    fn registration(&self) -> Registration {
        Registration {
            instance: Some(self.id.as_str().into()),
            health_endpoint: HealthEndpoint::Path("/health".to_owned()),
            weight: Some(self.weight),
            routes: Some(vec![
                Route::protected("GET", "/orders/*", "orders:read"),
                Route::protected("POST", "/orders/*", "orders:write"),
            ]),
            ..Registration::new(self.service, format!("http://{}", self.address))
        }
    }

    fn backend(&self) -> BackendRegistration {
        BackendRegistration {
            id: self.id.as_str().into(),
            app: self.service.into(),
            region: "eu".to_owned(),
            ip: self.address.ip().to_string(),
            port: self.address.port(),
            country: None,
            weight: Some(self.weight),
            soft_limit: None,
            hard_limit: None,
        }
    }

    fn done(&self, method: &str, path: &str, body: &str) -> Result<()> {
        let (status, text) = self.exchange(method, path, body)?;
        if !(200..300).contains(&status) {
            bail!("{status}: {text}");
        }
        Ok(())
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let url = format!("{}{path}", self.internal);
        send(&self.agent, method, &url, &[("content-type", "application/json")], body.to_owned())
    }
}
