//! What is to be there and waits for the store; the command, its answer, and what it is about.

use std::sync::Arc;

use super::caller::Asker;
use super::desired::DesiredState;
use super::differences::Difference;
use crate::model::{Generation, KeyName, MaintenanceScope, RuntimeKey, ServiceName};

/// Records of one write in a shared store: etcd takes 128 comparisons a transaction, one for each of them and some for the gateway's
/// session, the digests of keys and the audit.
pub(super) const MAX_SHARED: usize = 90;
/// Bytes of them, about: etcd takes 1.5 MiB a request.
pub(super) const MAX_SHARED_BYTES: usize = 1 << 20;
/// Applications on their way to the store: more than operators have terminals.
pub(super) const MAX_WAITING: usize = 16;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub struct ApplyCommand {
    /// What is to be there.
    pub desired: Arc<DesiredState>,
    /// It is done only where nothing of it has changed since this generation; `None`: in any case.
    pub seen: Option<Generation>,
    /// Whether the first part of it will do where a shared store takes no more at once.
    pub in_parts: bool,
}

/// The good answer to an [`ApplyCommand`].
#[derive(Debug, Clone, PartialEq)]
pub struct ApplyAnswer {
    /// What was changed, in its order.
    pub done: Vec<Difference>,
    /// How many records are to be changed still, by asking again.
    pub left: usize,
    /// The registry's last change.
    pub generation: Generation,
}

/// One on its way to the store.
pub(super) struct WaitingApply {
    pub(super) command: ApplyCommand,
    pub(super) asker: Asker,
    pub(super) differences: Vec<Difference>,
    pub(super) left: usize,
}

/// What some differences are about.
#[derive(Default)]
pub(super) struct Subjects {
    pub(super) grants: Vec<ServiceName>,
    pub(super) keys: Vec<KeyName>,
    pub(super) put_keys: Vec<Arc<RuntimeKey>>,
    pub(super) maintenance: Vec<MaintenanceScope>,
    pub(super) splits: Vec<ServiceName>,
}

impl Subjects {
    pub(super) fn of(differences: &[Difference]) -> Self {
        let mut all = Self::default();
        for difference in differences {
            match difference {
                Difference::Grant { service, .. } => all.grants.push(service.clone()),
                Difference::Key { name, after, .. } => {
                    all.keys.push(name.clone());
                    all.put_keys.extend(after.iter().map(Arc::clone));
                }
                Difference::Maintenance { scope, .. } => all.maintenance.push(scope.clone()),
                Difference::Split { service, .. } => all.splits.push(service.clone()),
            }
        }
        all
    }
}
