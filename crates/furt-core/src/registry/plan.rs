//! What the prober of instances and the watcher of names are asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::token::{NameToken, ProbeToken};
use crate::model::{Definition, InstanceSpec, Scheme};

/// When and what to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePlan {
    /// To be sent back with each outcome.
    pub token: ProbeToken,
    /// The instance and its addresses.
    pub target: ProbeTarget,
    /// When the first probe is due.
    pub first: FirstProbe,
    /// The time from one probe to the next.
    pub period: Duration,
}

/// When the first probe of a plan is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstProbe {
    /// At once.
    Now,
    /// At once, but not within a second of the last one's begin, and never later than it was due before: for those who may
    /// ask for a probe as often as they like.
    Soon,
    /// At some time within the first second, with all others that were restored.
    Spread,
    /// After one period.
    AfterPeriod,
    /// At some time within one period, or when it was due before where that is sooner: for a plan that is re-timed.
    WithinPeriod,
}

/// What is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The service, which says how its instances are probed.
    pub definition: Arc<Definition>,
    /// The instance: url, protocol, names.
    pub spec: Arc<InstanceSpec>,
    /// The addresses to connect to, at least one: the first that can be reached answers for the instance.
    pub addresses: Arc<[SocketAddr]>,
}

impl ProbeTarget {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.spec.url.scheme == Scheme::Https
    }
}

/// A name to be resolved again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameWatch {
    /// To be sent back with each answer.
    pub token: NameToken,
    /// The host name to resolve.
    pub name: Box<str>,
    /// The port to put beside each address.
    pub port: u16,
}
