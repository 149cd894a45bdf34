//! Who drives a gateway: clients of plain HTTP/1.1, or those of a workload under TLS.

use anyhow::{Context as _, Result};

use super::driver::Driver;
use super::pace::{Outcome, Pace, Requests, Until};
use super::peers::Running;
use super::secure::Secure;
use super::workload::{Traffic, Workload};

/// Either.
pub(super) enum Clients {
    /// Connections that stay.
    Plain(Driver),
    /// Handshakes, or HTTP/2.
    Secure(Box<Secure>),
}

impl Clients {
    /// Those of a workload.
    ///
    /// # Errors
    /// The gateway does not let them in.
    pub(super) fn connect(running: &Running, workload: Workload, traffic: &Traffic) -> Result<Self> {
        let Some(habit) = workload.habit() else {
            return Ok(Self::Plain(Driver::connect(running.address, None, traffic.connections)?));
        };
        let trusted = running.certificate.as_ref().context("a gateway without a certificate")?;
        let secure = Secure::connect(running.address, habit, trusted, traffic.connections, &traffic.requests)?;
        Ok(Self::Secure(Box::new(secure)))
    }

    /// Sends requests and waits for all their answers.
    ///
    /// # Errors
    /// The gateway does not answer.
    pub(super) fn drive(&mut self, requests: &Requests, pace: Pace, until: Until) -> Result<Outcome> {
        match self {
            Self::Plain(driver) => driver.drive(requests, pace, until),
            Self::Secure(secure) => secure.drive(requests, pace, until),
        }
    }
}
