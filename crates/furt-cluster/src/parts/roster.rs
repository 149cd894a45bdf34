//! The records, and what follows from them: who is approved, who is revoked, which secrets and settings are in force.
//!
//! A record is kept if its signer ever was a commander, that is, if approvals as commander lead from the founder to it. From
//! the set of kept records alone follows the rest, so nodes with the same set agree, in whatever order it came:
//! - *revoked* is each key but the founder's that a kept record revokes, whoever is revoked besides. Revoked wins.
//! - *approved* is each key that is not revoked and that the founder or an approved commander approves.
//! - secrets and settings count where the founder or an approved commander says so; of settings the greatest of a scope.
//!
//! What a revoked commander approved is void with it, unless another one approves it too. So the node that revokes says again
//! what the revoked one said and is to stay.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Claim, Fingerprint, Fnv, Record, Role, Standing};

/// The most keys that are approved at a time: more nodes than an operator looks after in one list.
pub(crate) const MAX_NODES: usize = 256;
/// The most records but revocations.
const MAX_RECORDS: usize = 1_024;
/// The most records in all: there is always room to revoke.
const MAX_WITH_REVOCATIONS: usize = 2_048;

/// What a merge did.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// Records that are new.
    pub(crate) added: Vec<Record>,
    /// Records that are superseded.
    pub(crate) dropped: Vec<(Claim, Fingerprint)>,
    /// Records whose signer never was a commander.
    pub(crate) unfounded: usize,
    /// Records for which there is no room.
    pub(crate) overfull: usize,
}

/// The records of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    founder: Option<Fingerprint>,
    records: BTreeMap<(Claim, Fingerprint), Record>,
    standings: BTreeMap<Fingerprint, Standing>,
    /// Keys that ever were commanders.
    commanders: BTreeSet<Fingerprint>,
    sum: u64,
}

impl Roster {
    pub(crate) fn new(founder: Fingerprint, records: BTreeMap<(Claim, Fingerprint), Record>) -> Self {
        let mut roster = Self { founder: Some(founder), records, ..Self::default() };
        roster.evaluate();
        roster
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn is_empty(&self) -> bool {
        self.founder.is_none()
    }

    /// How the key stands by the records.
    pub(crate) fn standing(&self, key: &Fingerprint) -> Standing {
        self.standings.get(key).copied().unwrap_or(Standing::Pending)
    }

    /// Every key that the records speak of, and how it stands.
    pub(crate) fn standings(&self) -> impl Iterator<Item = (&Fingerprint, Standing)> {
        self.standings.iter().map(|(key, standing)| (key, *standing))
    }

    pub(crate) fn approved(&self) -> usize {
        self.standings.values().filter(|standing| standing.is_approved()).count()
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// The checksum of the records: two nodes with the same have the same records.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// Whether there is room for so many more approvals and documents.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        let revocations = self.records.keys().filter(|(claim, _)| matches!(claim, Claim::Revoked { .. })).count();
        self.records.len() - revocations + more <= MAX_RECORDS
    }

    /// Takes records whose signatures the seal verified.
    pub(crate) fn merge(&mut self, records: Vec<Record>) -> Merged {
        let mut merged = Merged::default();
        let mut left: Vec<_> =
            records.into_iter().filter(|record| !self.records.contains_key(&record.name())).collect();
        // A record may rest on a later one.
        loop {
            let (founded, unfounded): (Vec<_>, Vec<_>) = left.into_iter().partition(|record| self.is_founded(record));
            left = unfounded;
            if founded.is_empty() {
                break;
            }
            for record in founded {
                let is_revocation = matches!(record.claim, Claim::Revoked { .. });
                let has_room = if is_revocation { self.records.len() < MAX_WITH_REVOCATIONS } else { self.has_room(1) };
                if self.records.contains_key(&record.name()) {
                    continue;
                }
                if !has_room {
                    merged.overfull += 1;
                    continue;
                }
                self.records.insert(record.name(), record.clone());
                merged.added.push(record);
            }
            merged.dropped.append(&mut self.evaluate());
        }
        merged.unfounded = left.len();
        let records = &self.records;
        merged.added.retain(|record| records.contains_key(&record.name()));
        merged
    }

    fn is_founded(&self, record: &Record) -> bool {
        Some(record.by) == self.founder || self.commanders.contains(&record.by)
    }

    /// The records that approve the key, up to the founder; those nearest to the founder first.
    pub(crate) fn chain(&self, key: &Fingerprint) -> Vec<Record> {
        let (mut chain, mut key) = (Vec::new(), *key);
        while Some(key) != self.founder && chain.len() < MAX_NODES {
            // The nearest to the founder approves first, so this ends.
            let depth = |by: &Fingerprint| self.depth(by);
            let approvals = self.approvals(&key).filter(|record| self.standing(&record.by).is_commander());
            let Some(record) = approvals.min_by_key(|record| (depth(&record.by), record.name())) else { break };
            chain.push(record.clone());
            key = record.by;
        }
        chain.reverse();
        chain
    }

    /// How many approvals lead from the founder to an approved commander.
    fn depth(&self, key: &Fingerprint) -> usize {
        let mut reached: BTreeSet<_> = self.founder.into_iter().collect();
        for depth in 0..MAX_NODES {
            if reached.contains(key) {
                return depth;
            }
            let next: Vec<_> = self
                .records
                .values()
                .filter(|record| reached.contains(&record.by))
                .filter_map(|record| match record.claim {
                    Claim::Approved { subject, role: Role::Commander } => Some(subject),
                    _ => None,
                })
                .filter(|subject| self.standing(subject).is_commander())
                .collect();
            reached.extend(next);
        }
        usize::MAX
    }

    fn approvals(&self, key: &Fingerprint) -> impl Iterator<Item = &Record> {
        self.records
            .values()
            .filter(move |record| matches!(record.claim, Claim::Approved { subject, .. } if subject == *key))
    }

    /// What would be void if the key were revoked and nobody said it again.
    pub(crate) fn resting_on(&self, key: &Fingerprint) -> Vec<Claim> {
        let mut without = self.records.clone();
        without.retain(|(_, by), _| by != key);
        let founder = self.founder.unwrap_or(*key);
        let without = Self::new(founder, without);
        let approvals = self.standings().filter(|(of, standing)| {
            *of != key && standing.is_approved() && without.standing(of) != *standing && Some(**of) != self.founder
        });
        let mut claims: Vec<_> = approvals
            .filter_map(|(subject, standing)| Some(Claim::Approved { subject: *subject, role: standing.role()? }))
            .collect();
        let is_said = |claim: &Claim| {
            self.records.keys().any(|(said, by)| said == claim && by != key && self.standing(by).is_commander())
        };
        let others = self.records.keys().filter(|(_, by)| by == key).map(|(claim, _)| *claim);
        claims.extend(others.filter(|claim| match claim {
            Claim::Approved { .. } | Claim::Revoked { .. } => false,
            Claim::Secret(_) | Claim::Active(_) | Claim::Adopted(_) | Claim::Settings { .. } => !is_said(claim),
        }));
        claims
    }

    /// What is said by approved commanders.
    pub(super) fn valid(&self) -> impl Iterator<Item = &Claim> {
        self.records.keys().filter(|(_, by)| self.standing(by).is_commander()).map(|(claim, _)| claim)
    }

    /// Draws all conclusions anew, and drops what is superseded.
    fn evaluate(&mut self) -> Vec<(Claim, Fingerprint)> {
        let ever = self.reach(|_| true);
        let founder = self.founder;
        let revoked: BTreeSet<_> = self
            .records
            .keys()
            .filter(|(_, by)| Some(*by) == founder || ever.contains_key(by))
            .filter_map(|(claim, _)| if let Claim::Revoked { subject } = claim { Some(*subject) } else { None })
            .filter(|subject| Some(*subject) != founder)
            .collect();
        let approved = self.reach(|key| !revoked.contains(key));
        self.commanders = ever.into_iter().filter(|(_, role)| *role == Role::Commander).map(|(key, _)| key).collect();
        self.standings = approved.into_iter().map(|(key, role)| (key, Standing::Approved(role))).collect();
        self.standings.extend(revoked.iter().map(|key| (*key, Standing::Revoked)));
        self.standings.extend(founder.map(|key| (key, Standing::Approved(Role::Commander))));
        let dropped = self.superseded(&revoked);
        for name in &dropped {
            self.records.remove(name);
        }
        let mut sum = Fnv::default();
        for (claim, by) in self.records.keys() {
            sum.write(&claim.bytes());
            sum.write(by.as_bytes());
        }
        self.sum = sum.finish();
        dropped
    }

    /// The keys that approvals lead to from the founder over commanders, with their roles; only over those that `counts`.
    fn reach(&self, counts: impl Fn(&Fingerprint) -> bool) -> BTreeMap<Fingerprint, Role> {
        let mut reached = BTreeMap::new();
        let mut commanders: Vec<_> = self.founder.into_iter().collect();
        while let Some(by) = commanders.pop() {
            for (claim, signer) in self.records.keys() {
                let Claim::Approved { subject, role } = claim else { continue };
                if *signer != by || !counts(subject) || Some(*subject) == self.founder {
                    continue;
                }
                let before = reached.get(subject).copied();
                if before.is_none_or(|before| before < *role) {
                    reached.insert(*subject, *role);
                    if *role == Role::Commander {
                        commanders.push(*subject);
                    }
                }
            }
        }
        reached
    }

    /// What is said of a generation by a revoked key, and of secrets and documents that later ones took the place of. Approvals and
    /// revocations stay: others rest on them.
    fn superseded(&self, revoked: &BTreeSet<Fingerprint>) -> Vec<(Claim, Fingerprint)> {
        let (active, heads) = (self.active(), self.all_settings());
        let is_superseded = |(claim, by): &&(Claim, Fingerprint)| match claim {
            Claim::Approved { .. } | Claim::Revoked { .. } => false,
            Claim::Secret(id) | Claim::Active(id) | Claim::Adopted(id) => {
                revoked.contains(by) || active.is_some_and(|active| id.generation < active.generation)
            }
            Claim::Settings { scope, id, .. } => {
                // Of one generation all stay, so that a split is seen.
                revoked.contains(by) || heads.get(scope).is_some_and(|head| id.generation < head.generation)
            }
        };
        self.records.keys().filter(is_superseded).copied().collect()
    }
}
