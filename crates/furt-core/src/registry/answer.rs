//! What callers are answered where their command was carried out.

use std::sync::Arc;
use std::time::Duration;

use super::applies::ApplyAnswer;
use super::ids::InstanceRef;
use super::keys::KeyAnswer;
use super::maintenances::MaintenanceAnswer;
use super::refusal::Refusal;
use super::runtime_grants::GrantAnswer;
use super::splits::SplitAnswer;
use crate::model::{Epoch, Generation, Incarnation, InstanceId, Misfit, ServiceName, Status, UpstreamUrl};
use crate::routing::Drained;

/// The good answer to a caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To a registration.
    Registered(Registered),
    /// To a heartbeat.
    Heard {
        /// The instance's status.
        status: Status,
        /// The identity of the registry.
        epoch: Epoch,
        /// The time within which the next heartbeat must come.
        heartbeat_ttl: Duration,
    },
    /// To a deregistration: how many instances left.
    Deregistered {
        /// How many instances are removed.
        instances: usize,
        /// What they still have in flight.
        drained: Drained,
        /// The generation of the snapshot in which it is published.
        generation: Generation,
    },
    /// To a drain: of those whose drain began or had begun, or of those whose drain ended.
    Drained {
        /// The instances.
        instances: Drained,
        /// The registry's last change.
        generation: Generation,
    },
    /// To the request for a probe: it is under way.
    Probing {
        /// The status before it.
        status: Status,
    },
    /// To a command about an API key.
    Key(KeyAnswer),
    /// To a command about maintenance.
    Maintenance(MaintenanceAnswer),
    /// To a command about the split of a service.
    Split(SplitAnswer),
    /// To a command about a grant.
    Grant(GrantAnswer),
    /// To what is to be there: it is.
    Applied(ApplyAnswer),
    /// To an entry for the audit: it is stored.
    Audited,
    /// To another configuration: it is in force.
    Reconfigured(Reconfigured),
}

/// The good answer to another configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconfigured {
    /// The generation of the snapshot in which it is published.
    pub generation: Generation,
    /// Every service that is suspended, and why.
    pub suspended: Vec<(ServiceName, Arc<str>)>,
    /// Rules that match requests of a route and are skipped for it, at most 100 of them.
    pub skipped_rules: Vec<SkippedRule>,
}

/// A rule that is skipped for a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRule {
    /// The place of the rule among the operator's, from 0.
    pub rule: usize,
    /// The route, as `METHOD HOST/PATH`.
    pub route: String,
    /// The service that registered it; `None`: it is of the configuration.
    pub service: Option<ServiceName>,
    /// Why.
    pub why: Misfit,
}

/// An instance that a registration replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Its id.
    pub id: InstanceId,
    /// Where it was.
    pub url: UpstreamUrl,
    /// Which process it was; `None`: it did not say.
    pub incarnation: Option<Incarnation>,
}

/// Of an instance that joined as one of the versions that a split names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Canary {
    /// Why what it says of the service could not be installed without the split, as things are; `None`: it could, or nothing was
    /// written.
    pub obstacle: Option<Refusal>,
}

/// The good answer to a registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// The instance.
    pub instance: InstanceRef,
    /// Routes of the installed definition.
    pub routes: usize,
    /// The instance's status.
    pub status: Status,
    /// The registry's last change.
    pub generation: Generation,
    /// The identity of the registry.
    pub epoch: Epoch,
    /// The TTL that holds, or would hold once the instance heartbeats.
    pub heartbeat_ttl: Duration,
    /// What it replaced: an instance that was UP at another url under its id, and others of the service at its url.
    pub replaced: Vec<Replaced>,
    /// Where a split names the instance's version: it joined, and the definition stayed as it was installed.
    pub canary: Option<Canary>,
    /// Whether anything was written; `false`: it was registered just so, and this counts as a heartbeat.
    pub is_change: bool,
}
