//! What the driver logs and counts.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::ids::{DnsSubject, InstanceRef};
use super::keys::KeyReport;
use super::refusal::Refusal;
use crate::model::{ServiceName, Status};

/// What is logged and counted: one line, one counter each (DESIGN §5.6).
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A registration was installed.
    Registered {
        /// Which.
        instance: InstanceRef,
        /// Where.
        url: String,
        /// Routes of the installed definition.
        routes: usize,
        /// From where.
        from: IpAddr,
    },
    /// A registration, heartbeat or deregistration was refused.
    Refused {
        /// Which.
        service: ServiceName,
        /// From where.
        from: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// An instance left by its own command or an operator's.
    Deregistered {
        /// Which.
        instance: InstanceRef,
        /// From where.
        from: IpAddr,
    },
    /// An instance gets no new requests from now on.
    DrainBegan {
        /// Which.
        instance: InstanceRef,
        /// From where.
        from: IpAddr,
    },
    /// An instance gets requests again: it registered again, or the drain was undone.
    DrainEnded {
        /// Which.
        instance: InstanceRef,
        /// From where.
        from: IpAddr,
    },
    /// An instance was not heard in time.
    Expired(InstanceRef),
    /// The routes of a service without instances are free again.
    Freed(ServiceName),
    /// A verdict changed.
    InstanceStatusChanged {
        /// Whose.
        instance: InstanceRef,
        /// From.
        from: Status,
        /// To.
        to: Status,
    },
    /// A service's status changed: with DOWN its routes left the table, with anything else they are back.
    ServiceStatusChanged {
        /// Whose.
        service: ServiceName,
        /// From.
        from: Status,
        /// To.
        to: Status,
    },
    /// A probe failed.
    ProbeFailed {
        /// Of which instance.
        instance: InstanceRef,
        /// Which one in a row.
        failures: u32,
        /// Why.
        error: String,
    },
    /// Too many probes failed; there will be no more.
    ProbingStopped(InstanceRef),
    /// A name leads elsewhere.
    AddressesChanged {
        /// Whose.
        subject: DnsSubject,
        /// Where to.
        addresses: Arc<[SocketAddr]>,
    },
    /// A name leads where the instance may not be; the old addresses stay.
    AddressesRefused {
        /// Whose.
        subject: DnsSubject,
        /// Why.
        why: String,
    },
    /// A service may not stand by the configuration in force: kept, not routed.
    Blocked {
        /// Which.
        service: ServiceName,
        /// Why.
        why: Arc<str>,
    },
    /// A service that was kept and not routed may stand again.
    Unblocked(ServiceName),
    /// A removal could not be stored and will be tried again.
    RemovalFailed {
        /// Of what.
        service: ServiceName,
        /// Why.
        why: String,
    },
    /// Of an API key.
    Key(KeyReport),
}
