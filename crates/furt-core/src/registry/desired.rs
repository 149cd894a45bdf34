//! What operators make at run time, as a file says that it is to be: grants, API keys, maintenance, splits.
//!
//! Neither who made it nor when is a part of it, nor what is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    CidrSet, Grant, KeyName, KeySpec, Maintenance, MaintenanceMessage, MaintenanceScope, OldDigest, RuntimeKey,
    ServiceName, SplitSpec,
};
use crate::routing::Snapshot;

/// What is to be there. Of a collection that is `None` nothing is said; one that is empty is to be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredState {
    /// Grants, by services.
    pub grants: Option<BTreeMap<ServiceName, Arc<Grant>>>,
    /// Runtime keys.
    pub keys: Option<BTreeMap<KeyName, DesiredKey>>,
    /// What is in maintenance.
    pub maintenance: Option<BTreeMap<MaintenanceScope, DesiredMaintenance>>,
    /// How callers are split, by services.
    pub splits: Option<BTreeMap<ServiceName, SplitSpec>>,
}

/// A runtime key as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredKey {
    /// What it may do, and its digest.
    pub spec: KeySpec,
    /// When it is over, in ms since the Unix epoch; `None`: never.
    pub expires_ms: Option<i64>,
    /// The digests before this one that are good for a while; `None`: those that are good now stay so.
    pub old: Option<Vec<OldDigest>>,
}

/// A maintenance as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredMaintenance {
    /// Clients that are let in all the same.
    pub allow_from: CidrSet,
    /// What the others are told.
    pub message: Option<MaintenanceMessage>,
    /// When it ends by itself, in ms since the Unix epoch; `None`: it does not.
    pub ends_ms: Option<i64>,
}

impl DesiredState {
    /// All that is there at `now_ms`: what changes nothing where it is asked for.
    pub fn of(snapshot: &Snapshot, now_ms: i64) -> Self {
        let grants = snapshot.runtime_grants.iter();
        let keys = snapshot.keys.runtime.values().filter(|listed| listed.stays && !listed.key.is_over(now_ms));
        let maintenance = snapshot.maintenance.iter().flat_map(|table| table.iter());
        let maintenance = maintenance.filter(|(_, one)| !one.is_over(now_ms));
        let splits = snapshot.splits.iter();
        Self {
            grants: Some(grants.map(|(service, one)| (service.clone(), Arc::clone(&one.grant))).collect()),
            keys: Some(keys.map(|one| (one.key.name().clone(), DesiredKey::of(&one.key, now_ms))).collect()),
            maintenance: Some(maintenance.map(|(scope, one)| (scope.clone(), DesiredMaintenance::of(one))).collect()),
            splits: Some(splits.map(|(service, one)| (service.clone(), one.spec.clone())).collect()),
        }
    }
}

impl DesiredKey {
    pub(super) fn of(key: &RuntimeKey, now_ms: i64) -> Self {
        let old = key.still_good(now_ms).collect();
        Self { spec: key.spec.clone(), expires_ms: key.expires_ms, old: Some(old) }
    }
}

impl DesiredMaintenance {
    pub(super) fn of(maintenance: &Maintenance) -> Self {
        let Maintenance { allow_from, message, by: _, began_ms: _, ends_ms } = maintenance;
        Self { allow_from: allow_from.clone(), message: message.clone(), ends_ms: *ends_ms }
    }
}
