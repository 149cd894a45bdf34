//! What the driver logs and counts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::answer::Replaced;
use super::ids::{DnsSubject, InstanceRef};
use super::keys::KeyReport;
use super::maintenances::MaintenanceReport;
use super::probes::OutageScope;
use super::refusal::Refusal;
use super::runtime_grants::GrantReport;
use super::splits::SplitReport;
use crate::model::{Actor, DrainUntil, InstanceId, ServiceName, Status};

/// What is logged and counted: each report is one line of the log and one count.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A registration was installed.
    Registered {
        /// The instance.
        instance: InstanceRef,
        /// The url that it registered.
        url: String,
        /// Routes of the installed definition.
        routes: usize,
        /// The instance that was UP at another url under its id before.
        replaced: Option<Replaced>,
        /// Whether it joined as a canary, as far as this gateway knows: it was asked.
        is_canary: bool,
        /// Who gave the command.
        by: Actor,
    },
    /// An instance is gone, since another id of its service registered at its url.
    Replaced {
        /// The instance that is gone.
        instance: InstanceRef,
        /// The id that is there now.
        newer: InstanceId,
        /// The url.
        url: String,
        /// The address that registered the newer one.
        from: IpAddr,
    },
    /// An instance registered at the url of other services' instances, and not all of them say that they share it.
    UrlShared {
        /// The instance.
        instance: InstanceRef,
        /// The url.
        url: String,
        /// Who else is there.
        with: Vec<InstanceRef>,
    },
    /// A registration, heartbeat or deregistration was refused.
    Refused {
        /// The service.
        service: ServiceName,
        /// Who gave the command.
        by: Actor,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// An instance left by its own command or an operator's.
    Deregistered {
        /// The instance.
        instance: InstanceRef,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// An instance gets no new requests from now on.
    DrainBegan {
        /// The instance.
        instance: InstanceRef,
        /// What ends it.
        until: DrainUntil,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// An instance gets requests again, or an id is held no more: it registered again, or the drain was undone.
    DrainEnded {
        /// The instance.
        instance: InstanceRef,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// An instance was not heard in time, or gave its routes, id or url to one that a shared store has.
    Expired(InstanceRef),
    /// A shared store had lost an instance that lives, and has it again.
    Restored(InstanceRef),
    /// The routes of a service without instances are free again.
    Freed(ServiceName),
    /// The status of an instance changed.
    InstanceStatusChanged {
        /// The instance.
        instance: InstanceRef,
        /// The status before.
        from: Status,
        /// The status from now on.
        to: Status,
    },
    /// A service's status changed: with DOWN its routes left the table, with anything else they are back.
    ServiceStatusChanged {
        /// The service.
        service: ServiceName,
        /// The status before.
        from: Status,
        /// The status from now on.
        to: Status,
    },
    /// A probe failed.
    ProbeFailed {
        /// The instance that was probed.
        instance: InstanceRef,
        /// Failed probes in a row, this one included.
        failures: u32,
        /// Why the probe failed.
        error: String,
    },
    /// Too many probes failed; there will be no more.
    ProbingStopped(InstanceRef),
    /// The gateway's own network seems to be out: no instance goes DOWN for it for a while.
    OutageBegan {
        /// How many fail together.
        scope: OutageScope,
        /// How long that lasts at most.
        longest: Duration,
    },
    /// That is over: something answered, or the time is.
    OutageEnded,
    /// A name leads elsewhere.
    AddressesChanged {
        /// The instance or static route that has the name.
        subject: DnsSubject,
        /// The addresses that the name resolves to now.
        addresses: Arc<[SocketAddr]>,
    },
    /// A name leads where the instance may not be; the old addresses stay.
    AddressesRefused {
        /// The instance or static route that has the name.
        subject: DnsSubject,
        /// The reason, in words.
        why: String,
    },
    /// A service is suspended: kept and not routed, since the configuration in force does not allow its routes.
    Suspended {
        /// The service.
        service: ServiceName,
        /// The reason, in words.
        why: Arc<str>,
    },
    /// A service that was suspended is routed again.
    Reinstated(ServiceName),
    /// A removal could not be stored and will be tried again.
    RemovalFailed {
        /// The service that is removed, or of which an instance is.
        service: ServiceName,
        /// The reason, in words.
        why: String,
    },
    /// A report about an API key.
    Key(KeyReport),
    /// A report about maintenance.
    Maintenance(MaintenanceReport),
    /// A report about the split of a service.
    Split(SplitReport),
    /// A report about a grant.
    Grant(GrantReport),
}
