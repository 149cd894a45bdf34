//! What is shown of all this, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::cluster::{Bus, Cluster};
use crate::issue::Issue;
use crate::model::{Claim, Fingerprint, Now, Scope, SettingsId, Standing};
use crate::parts::Node;
use crate::view::{NodeView, SecretView, View};

/// From which distance of clocks on it is told, in ms: a sixth of what makes messages be refused.
const TOLD_SKEW_MS: u64 = 10_000;
/// For how long a node may not have a revision of the registry that another one has.
const TOLD_LAG: Duration = Duration::from_secs(60);

impl Cluster {
    /// What is known at `now`. It costs what there are nodes and records; the driver asks for it when someone looks, or with each
    /// beat of this node.
    pub fn view(&self, now: Now) -> View {
        let next = self.next_secret();
        let mut keys: BTreeSet<_> = self.roster.standings().map(|(key, _)| *key).collect();
        keys.extend(self.nodes.iter().map(|(key, _)| *key));
        keys.extend(self.policy.peers.keys());
        keys.insert(self.own());
        View {
            membership: self.membership,
            is_joining: self.joins.joining.is_some(),
            nodes: keys.iter().map(|key| self.node_view(key, now)).collect(),
            secret: SecretView {
                active: self.secrets.active(),
                held: self.secrets.held().collect(),
                next,
                waits_for: next.map(|next| self.lacking(next, now)).unwrap_or_default(),
            },
            settings: self.roster.all_settings(),
            tokens: self
                .joins
                .tokens()
                .iter()
                .filter(|(_, token)| token.uses > 0)
                .map(|(id, token)| (*id, *token))
                .collect(),
            records: self.roster.records().cloned().collect(),
            issues: self.issues(now),
            refused: self.refused.clone(),
            beats: self.nodes.beats,
        }
    }

    fn node_view(&self, key: &Fingerprint, now: Now) -> NodeView {
        let (is_self, standing) = (*key == self.own(), self.standing(key));
        let node = self.nodes.get(key);
        let beat = if is_self { Some(self.own_beat(now)) } else { node.and_then(|node| node.beat.clone()) };
        NodeView {
            fingerprint: *key,
            name: beat.as_ref().map(|beat| beat.name.clone()),
            standing,
            state: if is_self { Some(crate::model::NodeState::Active) } else { node.and_then(|node| node.state(now)) },
            is_self,
            boot: if is_self { Some(self.boot) } else { node.map(|node| node.boot) },
            age: if is_self { Some(Duration::ZERO) } else { node.and_then(|node| node.age(now)) },
            skew_ms: node.map(|node| node.skew_ms),
            beat,
        }
    }

    /// What is wrong at `now`, as `/health` tells it.
    pub fn issues(&self, now: Now) -> Vec<Issue> {
        let mut issues = Vec::new();
        if self.bus == Bus::Down {
            issues.push(Issue::BusDown);
        }
        match (self.membership, self.roster.standing(&self.own())) {
            (None, _) => issues.push(Issue::Unjoined),
            (Some(_), Standing::Pending) => issues.push(Issue::Unapproved),
            (Some(_), Standing::Revoked) => issues.push(Issue::SelfRevoked),
            (Some(_), Standing::Approved(_)) => {}
        }
        self.secret_issues(now, &mut issues);
        let refused = self.documents.refused().filter(|(scope, id)| self.is_head(*scope, *id));
        issues.extend(refused.map(|(scope, id)| Issue::SettingsRefused { scope, id }));
        if !self.policy.passed_over.is_empty() {
            issues.push(Issue::SettingsPassedOver(self.policy.passed_over.clone()));
        }
        for scope in [Scope::Cluster, Scope::Node(self.own())] {
            let (head, has) = (self.roster.settings(scope).map(|(_, id, _)| id), self.documents.applied(scope));
            let node = self.own();
            issues.extend(head.filter(|head| has != Some(*head)).map(|head| Issue::SettingsDiffer {
                node,
                scope,
                has,
                head,
            }));
        }
        let split = self.roster.split_settings();
        issues.extend(split.into_iter().map(|(scope, generation)| Issue::SettingsSplit(scope, generation)));
        let approved = self.nodes.iter().filter(|(key, _)| self.standing(key).is_approved());
        for (key, node) in approved.filter(|(_, node)| node.is_live(now)) {
            self.node_issues(*key, node, now, &mut issues);
        }
        self.name_issues(now, &mut issues);
        if self.nodes.hears_own_key() {
            issues.push(Issue::OwnKey);
        }
        issues.extend(self.nodes.foreign().map(Issue::ForeignCluster));
        issues
    }

    fn is_head(&self, scope: Scope, id: SettingsId) -> bool {
        self.roster.settings(scope).is_some_and(|(_, head, _)| head == id)
    }

    fn secret_issues(&self, now: Now, issues: &mut Vec<Issue>) {
        issues.extend(self.secrets.wanted().map(Issue::SecretMissing));
        issues.extend(self.roster.split().map(Issue::SecretSplit));
        if let Some(next) = self.next_secret() {
            issues.push(Issue::RotationWaits(next, self.lacking(next, now)));
        }
        let active = self.roster.active();
        let at = |is_meant: &dyn Fn(&Claim) -> bool| {
            let meant = self.roster.records().filter(|record| is_meant(&record.claim));
            meant.map(|record| record.at_ms).collect::<Vec<_>>()
        };
        let announced = at(&|claim| matches!(claim, Claim::Secret(id) if Some(*id) == active)).into_iter().min();
        let was_approved = |subject: &Fingerprint| {
            let of = |claim: &Claim| matches!(claim, Claim::Approved { subject: of, .. } if of == subject);
            self.roster.records().any(|record| of(&record.claim))
        };
        let revoked =
            at(&|claim| matches!(claim, Claim::Revoked { subject } if was_approved(subject))).into_iter().max();
        if let (Some(announced), Some(revoked)) = (announced, revoked)
            && announced < revoked
        {
            issues.push(Issue::RotationDue);
        }
    }

    fn node_issues(&self, key: Fingerprint, node: &Node, now: Now, issues: &mut Vec<Issue>) {
        let Some(beat) = &node.beat else { return };
        if node.skew_ms.unsigned_abs() >= TOLD_SKEW_MS {
            issues.push(Issue::Skew { node: key, skew_ms: node.skew_ms });
        }
        if let Some(active) = self.roster.active().filter(|active| beat.secret != Some(*active)) {
            issues.push(Issue::SecretBehind { node: key, has: beat.secret, active });
        }
        for (scope, has) in [(Scope::Cluster, beat.settings), (Scope::Node(key), beat.node_settings)] {
            if let Some((_, head, _)) = self.roster.settings(scope).filter(|(_, head, _)| has != Some(*head)) {
                issues.push(Issue::SettingsDiffer { node: key, scope, has, head });
            }
        }
        if let (Some(own), Some(theirs)) = (self.condition.registry, beat.registry)
            && own.epoch != theirs.epoch
        {
            issues.push(Issue::RegistryEpoch(key));
        }
        if let Some((revision, since)) = node.registry_lag(now).filter(|(_, since)| *since >= TOLD_LAG) {
            issues.push(Issue::RegistryBehind { node: key, revision, since });
        }
    }

    fn name_issues(&self, now: Now, issues: &mut Vec<Issue>) {
        let mut names = BTreeMap::from([(&self.identity.name, self.own())]);
        for (key, node) in self.nodes.iter().filter(|(_, node)| node.is_live(now)) {
            let Some(beat) = &node.beat else { continue };
            if let Some(other) = names.insert(&beat.name, *key) {
                issues.push(Issue::NameTaken { name: beat.name.clone(), keys: (other, *key) });
            }
        }
    }
}
