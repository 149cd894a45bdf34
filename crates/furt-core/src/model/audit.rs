//! What operators did, as it is kept for those who ask later.
//!
//! Never a secret: of a key what it may do, and neither the key nor its digest. How an entry is written down, numbered and
//! chained to the one before it is the stores' part.

use std::sync::Arc;

use super::{
    Actor, DrainUntil, InstanceId, KeyName, Maintenance, MaintenanceScope, RuntimeGrant, RuntimeKey, ServiceName, Split,
};

/// Something that an operator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it was asked for, in ms since the Unix epoch.
    pub at_ms: i64,
    /// Who asked for it.
    pub by: Actor,
    /// What it was.
    pub action: AuditAction,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditAction {
    /// An API key was made.
    CreateKey(Arc<RuntimeKey>),
    /// An API key has another secret; the key as it is now.
    RotateKey(Arc<RuntimeKey>),
    /// An API key may do something else, or has another secret.
    ChangeKey {
        /// The key as it was.
        before: Arc<RuntimeKey>,
        /// The key as it is now.
        after: Arc<RuntimeKey>,
    },
    /// An API key is good no more.
    RevokeKey(KeyName),
    /// An API key is as it was before: the command that changed it was answered as failed, and was stored all the same.
    TakeBackKey(KeyName),
    /// Maintenance began.
    BeginMaintenance {
        /// What it is of.
        scope: MaintenanceScope,
        /// The one in whose place it began.
        before: Option<Arc<Maintenance>>,
        /// The maintenance.
        after: Arc<Maintenance>,
    },
    /// Maintenance was ended.
    EndMaintenance {
        /// What it was of.
        scope: MaintenanceScope,
        /// The maintenance.
        before: Arc<Maintenance>,
    },
    /// The callers of a service are split.
    SetSplit {
        /// The service.
        service: ServiceName,
        /// The split in whose place it was set.
        before: Option<Arc<Split>>,
        /// The split.
        after: Arc<Split>,
    },
    /// The callers of a service are split no more.
    RemoveSplit {
        /// The service.
        service: ServiceName,
        /// The split.
        before: Arc<Split>,
    },
    /// A service may register something.
    SetGrant {
        /// The service.
        service: ServiceName,
        /// The grant in whose place it was made.
        before: Option<Arc<RuntimeGrant>>,
        /// The grant.
        after: Arc<RuntimeGrant>,
    },
    /// A service has no grant of run time any more.
    RemoveGrant {
        /// The service.
        service: ServiceName,
        /// The grant.
        before: Arc<RuntimeGrant>,
    },
    /// Instances get no new requests.
    BeginDrain {
        /// The service that they are of.
        service: ServiceName,
        /// The instances.
        instances: Vec<InstanceId>,
        /// What ends it.
        until: DrainUntil,
    },
    /// Instances get requests again, or ids are held no more.
    EndDrain {
        /// The service that they are of.
        service: ServiceName,
        /// The instances.
        instances: Vec<InstanceId>,
    },
    /// Something was registered where another registrant's was, as only an operator may.
    Register {
        /// The service.
        service: ServiceName,
        /// The instance.
        instance: InstanceId,
        /// Whether its definition is another one from now on.
        is_defined: bool,
        /// Instances at the same url, which are gone.
        replaces: Vec<InstanceId>,
    },
    /// Instances were deregistered.
    Deregister {
        /// The service that they were of.
        service: ServiceName,
        /// The instances.
        instances: Vec<InstanceId>,
        /// Whether the service went with them.
        is_whole: bool,
    },
    /// Something that changes nothing in the store; it is noted before it is done, whatever comes of it.
    Order {
        /// What was asked for.
        order: Order,
        /// Of which service, where it is of one.
        service: Option<ServiceName>,
        /// Of which instance, where it is of one.
        instance: Option<InstanceId>,
        /// The rest, in words.
        detail: Option<String>,
    },
}

/// What an operator asks of a gateway beside what is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To probe an instance now.
    Probe,
    /// To reload the configuration.
    Reload,
    /// To be replaced by another version.
    Upgrade,
    /// To show everything that is stored.
    ExportStore,
    /// To get another certificate.
    RenewCertificate,
    /// Something about the cluster.
    Cluster,
}

impl AuditAction {
    /// As it is written down and shown.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::CreateKey(_) => "key-create",
            Self::RotateKey(_) => "key-rotate",
            Self::ChangeKey { .. } => "key-change",
            Self::RevokeKey(_) => "key-revoke",
            Self::TakeBackKey(_) => "key-take-back",
            Self::BeginMaintenance { .. } => "maintenance-begin",
            Self::EndMaintenance { .. } => "maintenance-end",
            Self::SetSplit { .. } => "split-set",
            Self::RemoveSplit { .. } => "split-remove",
            Self::SetGrant { .. } => "grant-set",
            Self::RemoveGrant { .. } => "grant-remove",
            Self::BeginDrain { .. } => "drain-begin",
            Self::EndDrain { .. } => "drain-end",
            Self::Register { .. } => "register",
            Self::Deregister { .. } => "deregister",
            Self::Order { order, .. } => match order {
                Order::Probe => "probe",
                Order::Reload => "reload",
                Order::Upgrade => "upgrade",
                Order::ExportStore => "store-export",
                Order::RenewCertificate => "certificate-renew",
                Order::Cluster => "cluster",
            },
        }
    }
}
