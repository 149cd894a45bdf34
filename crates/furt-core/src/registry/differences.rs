//! What would have to change for what is there to be what is desired, in the order in which it is done.
//!
//! Values are compared as they were read, and never who made them or when. API keys that exchange digests are one step: half of it
//! would take a key from its holder.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::audits::audit;
use super::change::Change;
use super::desired::{DesiredKey, DesiredMaintenance, DesiredState};
use super::keys::{KeyRefusal, MAX_KEYS};
use super::maintenances::MAX_MAINTENANCES;
use super::refusal::Refusal;
use super::runtime_grants::MAX_GRANTS;
use super::splits::MAX_SPLITS;
use crate::model::{
    Actor, AuditAction, KeyName, Maintenance, MaintenanceScope, RuntimeGrant, RuntimeKey, ServiceName, Sha256Digest,
    Split,
};
use crate::routing::Snapshot;

/// One record that is to be another one. `None` before: it is new; after: it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Of a grant.
    Grant {
        /// The service.
        service: ServiceName,
        /// As it is.
        before: Option<Arc<RuntimeGrant>>,
        /// As it is to be.
        after: Option<Arc<RuntimeGrant>>,
    },
    /// Of an API key.
    Key {
        /// Its name.
        name: KeyName,
        /// As it is.
        before: Option<Arc<RuntimeKey>>,
        /// As it is to be.
        after: Option<Arc<RuntimeKey>>,
    },
    /// Of what is in maintenance.
    Maintenance {
        /// What it is of.
        scope: MaintenanceScope,
        /// As it is.
        before: Option<Arc<Maintenance>>,
        /// As it is to be.
        after: Option<Arc<Maintenance>>,
    },
    /// Of a split.
    Split {
        /// The service.
        service: ServiceName,
        /// As it is.
        before: Option<Arc<Split>>,
        /// As it is to be.
        after: Option<Arc<Split>>,
    },
}

impl Difference {
    /// How many bytes it takes in a store with its entry of the audit, about and not less.
    pub(super) fn size(&self) -> usize {
        // Names, times, the digests of a key, and what stands around them.
        const FIXED: usize = 1024;
        const NETWORK: usize = 48;
        const TEXT: usize = 4;
        let of_grant = |one: &Arc<RuntimeGrant>| {
            let grant = &one.grant;
            let entries = grant.permissions.rules().len() + grant.paths.len() + grant.hosts.len();
            let networks = grant.upstreams.as_ref().map_or(0, |set| set.len());
            grant.text_bytes() + (entries + grant.origins.texts().len()) * TEXT + networks * NETWORK
        };
        let of_key = |key: &Arc<RuntimeKey>| {
            let rules = key.spec.permissions.rules().iter().map(|rule| rule.to_string().len() + TEXT);
            rules.sum::<usize>() + key.spec.allow_from.len() * NETWORK
        };
        let of_maintenance = |one: &Arc<Maintenance>| {
            let message = one.message.as_ref().map_or(0, |message| message.as_str().len());
            message + one.allow_from.len() * NETWORK
        };
        // What is put is in the record and in the audit, and what was before in the audit.
        let both = |before: Option<usize>, after: Option<usize>| before.unwrap_or(0) + 2 * after.unwrap_or(0);
        FIXED
            + match self {
                Self::Grant { before, after, .. } => both(before.as_ref().map(of_grant), after.as_ref().map(of_grant)),
                Self::Key { before, after, .. } => both(before.as_ref().map(of_key), after.as_ref().map(of_key)),
                Self::Maintenance { before, after, .. } => {
                    both(before.as_ref().map(of_maintenance), after.as_ref().map(of_maintenance))
                }
                // Eight versions at most.
                Self::Split { .. } => 0,
            }
    }

    /// What the store is to change, with what the audit keeps of it.
    pub(super) fn changes(&self, by: &Actor, now_ms: i64) -> Vec<Change> {
        let (change, action) = match self {
            Self::Grant { service, before, after: Some(after) } => {
                let (before, kept) = (before.clone(), Arc::clone(after));
                let action = AuditAction::SetGrant { service: service.clone(), before, after: kept };
                (Change::PutGrant(service.clone(), Arc::clone(after)), Some(action))
            }
            Self::Grant { service, before, after: None } => {
                let action = |before| AuditAction::RemoveGrant { service: service.clone(), before };
                (Change::RemoveGrant(service.clone()), before.clone().map(action))
            }
            Self::Key { before, after: Some(after), .. } => {
                let action = match before {
                    None => AuditAction::CreateKey(Arc::clone(after)),
                    Some(before) => AuditAction::ChangeKey { before: Arc::clone(before), after: Arc::clone(after) },
                };
                (Change::PutKey(Arc::clone(after)), Some(action))
            }
            Self::Key { name, after: None, .. } => {
                (Change::RemoveKey(name.clone()), Some(AuditAction::RevokeKey(name.clone())))
            }
            Self::Maintenance { scope, before, after: Some(after) } => {
                let (before, kept) = (before.clone(), Arc::clone(after));
                let action = AuditAction::BeginMaintenance { scope: scope.clone(), before, after: kept };
                (Change::PutMaintenance(scope.clone(), Arc::clone(after)), Some(action))
            }
            Self::Maintenance { scope, before, after: None } => {
                let action = |before| AuditAction::EndMaintenance { scope: scope.clone(), before };
                (Change::RemoveMaintenance(scope.clone()), before.clone().map(action))
            }
            Self::Split { service, before, after: Some(after) } => {
                let (before, kept) = (before.clone(), Arc::clone(after));
                let action = AuditAction::SetSplit { service: service.clone(), before, after: kept };
                (Change::PutSplit(service.clone(), Arc::clone(after)), Some(action))
            }
            Self::Split { service, before, after: None } => {
                let action = |before| AuditAction::RemoveSplit { service: service.clone(), before };
                (Change::RemoveSplit(service.clone()), before.clone().map(action))
            }
        };
        [change].into_iter().chain(action.map(|action| audit(action, by, now_ms))).collect()
    }
}

/// What differs, as steps of which none is done in part.
///
/// # Errors
/// What is desired cannot be: a name or a digest is another's, or there would be too many.
pub fn differences(
    snapshot: &Snapshot,
    desired: &DesiredState,
    by: &Actor,
    now_ms: i64,
) -> Result<Vec<Vec<Difference>>, Refusal> {
    let DesiredState { grants, keys, maintenance, splits } = desired;
    let mut steps = Vec::new();
    if let Some(desired) = grants {
        let set = |grant: &Arc<_>| RuntimeGrant { grant: Arc::clone(grant), by: by.clone(), set_ms: now_ms };
        let all = compared(
            snapshot.runtime_grants.iter(),
            desired.iter(),
            |before, desired| before.grant == *desired,
            |_, desired| Ok(set(desired)),
        )?;
        bounded(snapshot.runtime_grants.len(), &all, MAX_GRANTS, Refusal::TooManyGrants)?;
        for (service, before, after) in all {
            if after.is_some() && snapshot.is_grant_configured(&service) {
                return Err(Refusal::ConfiguredGrant(service));
            }
            steps.push(vec![Difference::Grant { service, before, after }]);
        }
    }
    if let Some(desired) = keys {
        steps.extend(of_keys(snapshot, desired, now_ms)?);
    }
    if let Some(desired) = maintenance {
        let on = snapshot.maintenance.iter().flat_map(|table| table.iter());
        let on: BTreeMap<_, _> = on.filter(|(_, one)| !one.is_over(now_ms)).map(|(scope, one)| (scope, one)).collect();
        let is_on = |(_, one): &(_, &DesiredMaintenance)| one.ends_ms.is_none_or(|end| end > now_ms);
        let begin = |one: &DesiredMaintenance| Maintenance {
            allow_from: one.allow_from.clone(),
            message: one.message.clone(),
            by: by.clone(),
            began_ms: now_ms,
            ends_ms: one.ends_ms,
        };
        let count = on.len();
        let all = compared(
            on.into_iter(),
            desired.iter().filter(is_on),
            |before, desired| DesiredMaintenance::of(before) == *desired,
            |_, desired| Ok(begin(desired)),
        )?;
        bounded(count, &all, MAX_MAINTENANCES, Refusal::TooManyMaintenances)?;
        let step = |(scope, before, after)| vec![Difference::Maintenance { scope, before, after }];
        steps.extend(all.into_iter().map(step));
    }
    if let Some(desired) = splits {
        let set = |spec: &_| Split { spec: Clone::clone(spec), by: by.clone(), set_ms: now_ms };
        let all = compared(
            snapshot.splits.iter(),
            desired.iter(),
            |before, desired| before.spec == *desired,
            |_, desired| Ok(set(desired)),
        )?;
        bounded(snapshot.splits.len(), &all, MAX_SPLITS, Refusal::TooManySplits)?;
        let step = |(service, before, after)| vec![Difference::Split { service, before, after }];
        steps.extend(all.into_iter().map(step));
    }
    Ok(steps)
}

type Compared<K, T> = Vec<(K, Option<Arc<T>>, Option<Arc<T>>)>;

/// What goes, then what is new or another one, each by its name.
fn compared<'a, K: Ord + Clone + 'a, T: 'a, D: 'a>(
    there: impl Iterator<Item = (&'a K, &'a Arc<T>)>,
    desired: impl Iterator<Item = (&'a K, &'a D)>,
    is_same: impl Fn(&T, &D) -> bool,
    make: impl Fn(Option<&T>, &D) -> Result<T, Refusal>,
) -> Result<Compared<K, T>, Refusal> {
    let (there, desired): (BTreeMap<&K, &Arc<T>>, BTreeMap<&K, &D>) = (there.collect(), desired.collect());
    let gone = there.iter().filter(|(name, _)| !desired.contains_key(*name));
    let mut all: Compared<K, T> = gone.map(|(name, one)| ((*name).clone(), Some(Arc::clone(one)), None)).collect();
    for (name, desired) in desired {
        let before = there.get(name).copied();
        if !before.is_some_and(|before| is_same(before, desired)) {
            let after = Arc::new(make(before.map(|before| &**before), desired)?);
            all.push((name.clone(), before.map(Arc::clone), Some(after)));
        }
    }
    Ok(all)
}

fn bounded<K, T>(there: usize, all: &Compared<K, T>, most: usize, refusal: Refusal) -> Result<(), Refusal> {
    let gone = all.iter().filter(|(_, _, after)| after.is_none()).count();
    let new = all.iter().filter(|(_, before, _)| before.is_none()).count();
    if new > 0 && there - gone + new > most { Err(refusal) } else { Ok(()) }
}

fn of_keys(
    snapshot: &Snapshot,
    desired: &BTreeMap<KeyName, DesiredKey>,
    now_ms: i64,
) -> Result<Vec<Vec<Difference>>, Refusal> {
    let runtime = &snapshot.keys.runtime;
    let is_there = |name: &KeyName| {
        runtime.get(name).filter(|listed| listed.stays && !listed.key.is_over(now_ms)).map(|listed| &listed.key)
    };
    let there = runtime.keys().filter_map(|name| Some((name, is_there(name)?)));
    let is_good = |(_, key): &(_, &DesiredKey)| key.expires_ms.is_none_or(|end| end > now_ms);
    let make = |before: Option<&RuntimeKey>, desired: &DesiredKey| {
        let created_ms = before.map_or(now_ms, |before| before.created_ms);
        let old = old_digests(before, desired, now_ms);
        RuntimeKey::try_new(desired.spec.clone(), created_ms, desired.expires_ms, old).map_err(Refusal::Invalid)
    };
    let is_same = |before: &RuntimeKey, desired: &DesiredKey| {
        let old = old_digests(Some(before), desired, now_ms);
        let is_old = before.still_good(now_ms).eq(old);
        before.spec == desired.spec && before.expires_ms == desired.expires_ms && is_old
    };
    let all = compared(there, desired.iter().filter(is_good), is_same, make)?;
    bounded(runtime.len(), &all, MAX_KEYS, KeyRefusal::TooMany.into())?;
    for (name, before, after) in &all {
        if after.is_none() {
            continue;
        }
        if snapshot.keys.configured.contains_key(name) {
            return Err(KeyRefusal::Configured(name.clone()).into());
        }
        if before.is_none() && runtime.contains_key(name) {
            let (what, holder) = (format!("name \"{name}\""), "a runtime key that is removed soon,".to_owned());
            return Err(KeyRefusal::Taken { what, holder }.into());
        }
    }
    in_steps(snapshot, all)
}

/// The digests before the present one that are good for a while.
fn old_digests(before: Option<&RuntimeKey>, desired: &DesiredKey, now_ms: i64) -> Vec<crate::model::OldDigest> {
    match &desired.old {
        Some(old) => old.iter().copied().filter(|old| old.until_ms > now_ms).collect(),
        None => {
            let still_good = before.into_iter().flat_map(|before| before.still_good(now_ms));
            still_good.filter(|old| old.sha256 != desired.spec.sha256).collect()
        }
    }
}

/// Puts keys together that exchange digests; those first, so that what is free is free for who comes after.
fn in_steps(snapshot: &Snapshot, all: Compared<KeyName, RuntimeKey>) -> Result<Vec<Vec<Difference>>, Refusal> {
    let configured: BTreeMap<Sha256Digest, &KeyName> =
        snapshot.keys.configured.values().map(|spec| (spec.sha256, &spec.name)).collect();
    let runtime = snapshot.keys.runtime.values();
    let holders: BTreeMap<Sha256Digest, &KeyName> =
        runtime.flat_map(|one| one.key.digests().map(|sha256| (sha256, one.key.name()))).collect();
    let changed: BTreeMap<&KeyName, &Option<Arc<RuntimeKey>>> =
        all.iter().map(|(name, _, after)| (name, after)).collect();
    let keeps = |name: &KeyName, sha256: Sha256Digest| match changed.get(name) {
        None => true,
        Some(after) => after.iter().flat_map(|after| after.digests()).any(|one| one == sha256),
    };
    let taken =
        |holder: &KeyName| KeyRefusal::Taken { what: "digest".to_owned(), holder: format!("the API key \"{holder}\"") };
    let mut groups = Groups::default();
    let mut claimed: BTreeMap<Sha256Digest, &KeyName> = BTreeMap::new();
    for (name, _, after) in &all {
        for sha256 in after.iter().flat_map(|after| after.digests()) {
            if let Some(holder) = configured.get(&sha256).copied().or_else(|| claimed.insert(sha256, name)) {
                return Err(taken(holder).into());
            }
            match holders.get(&sha256) {
                Some(holder) if *holder != name && keeps(holder, sha256) => return Err(taken(holder).into()),
                Some(holder) if *holder != name => groups.join(name, holder),
                Some(_) | None => {}
            }
        }
    }
    let (mut together, mut alone): (BTreeMap<KeyName, Vec<Difference>>, _) = (BTreeMap::new(), Vec::new());
    for (name, before, after) in &all {
        let difference = Difference::Key { name: name.clone(), before: before.clone(), after: after.clone() };
        match groups.of(name) {
            Some(group) => together.entry(group.clone()).or_default().push(difference),
            None => alone.push(vec![difference]),
        }
    }
    Ok(together.into_values().chain(alone).collect())
}

/// Sets of names, each called by one of them: a forest, in which each name leads to the one that its set is called by.
#[derive(Default)]
struct Groups<'a>(BTreeMap<&'a KeyName, &'a KeyName>);

impl<'a> Groups<'a> {
    fn join(&mut self, one: &'a KeyName, other: &'a KeyName) {
        let (one, other) = (self.first(one), self.first(other));
        // Each leads somewhere from now on, and its set has more than itself.
        self.0.insert(other, one);
        self.0.insert(one, one);
    }

    fn of(&mut self, name: &'a KeyName) -> Option<&'a KeyName> {
        self.0.contains_key(name).then(|| self.first(name))
    }

    fn first(&mut self, name: &'a KeyName) -> &'a KeyName {
        let mut first = name;
        while let Some(next) = self.0.get(first).copied().filter(|next| *next != first) {
            first = next;
        }
        // What was passed on the way leads there at once.
        let mut at = name;
        while at != first {
            at = self.0.insert(at, first).unwrap_or(first);
        }
        first
    }
}
