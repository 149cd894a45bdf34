//! What the records say of secrets and settings.

use std::collections::{BTreeMap, BTreeSet};

use super::roster::Roster;
use crate::model::{Claim, Record, Restart, Scope, SecretId, SettingsId};

impl Roster {
    /// The secrets that were announced. Of those of one generation the adopted one, where one was.
    pub(crate) fn announced(&self) -> BTreeSet<SecretId> {
        let secrets = self.valid().filter_map(|claim| if let Claim::Secret(id) = claim { Some(*id) } else { None });
        let all: BTreeSet<_> = secrets.collect();
        let adopted = self.adopted();
        all.into_iter().filter(|id| adopted.get(&id.generation).is_none_or(|taken| taken == id)).collect()
    }

    fn adopted(&self) -> BTreeMap<u64, SecretId> {
        // Of two that were adopted the greater one, at all nodes.
        let adopted = self.valid().filter_map(|claim| if let Claim::Adopted(id) = claim { Some(*id) } else { None });
        adopted.collect::<BTreeSet<_>>().into_iter().map(|id| (id.generation, id)).collect()
    }

    /// Secrets of one generation, where there are several and none was adopted.
    pub(crate) fn split(&self) -> Option<BTreeSet<SecretId>> {
        let announced = self.announced();
        let of = |id: &SecretId| -> BTreeSet<_> {
            announced.iter().filter(|one| one.generation == id.generation).copied().collect()
        };
        announced.iter().rev().map(of).find(|same| same.len() > 1)
    }

    /// The secret that all are to seal by: the latest that was activated and is not one of several.
    pub(crate) fn active(&self) -> Option<SecretId> {
        let announced = self.announced();
        let is_single = |id: &SecretId| announced.iter().filter(|one| one.generation == id.generation).count() == 1;
        let activated: BTreeSet<_> =
            self.valid().filter_map(|claim| if let Claim::Active(id) = claim { Some(*id) } else { None }).collect();
        activated.into_iter().rfind(|id| announced.contains(id) && is_single(id))
    }

    /// The record that says which document of the scope is in force.
    pub(crate) fn settings(&self, scope: Scope) -> Option<(&Record, SettingsId, Restart)> {
        let of_scope = self.records().filter_map(|record| match record.claim {
            Claim::Settings { scope: of, id, restart } if of == scope => Some((record, id, restart)),
            _ => None,
        });
        of_scope.filter(|(record, ..)| self.standing(&record.by).is_commander()).max_by_key(|(_, id, _)| *id)
    }

    /// The documents in force, by their scopes.
    pub(crate) fn all_settings(&self) -> BTreeMap<Scope, SettingsId> {
        let mut heads = BTreeMap::<Scope, SettingsId>::new();
        for claim in self.valid() {
            if let Claim::Settings { scope, id, .. } = claim {
                let head = heads.entry(*scope).or_insert(*id);
                *head = (*head).max(*id);
            }
        }
        heads
    }

    /// Scopes with two documents of one generation.
    pub(crate) fn split_settings(&self) -> BTreeSet<(Scope, u64)> {
        let mut ids = BTreeMap::<(Scope, u64), BTreeSet<SettingsId>>::new();
        for claim in self.valid() {
            if let Claim::Settings { scope, id, .. } = claim {
                ids.entry((*scope, id.generation)).or_default().insert(*id);
            }
        }
        ids.into_iter().filter(|(_, ids)| ids.len() > 1).map(|(key, _)| key).collect()
    }
}
