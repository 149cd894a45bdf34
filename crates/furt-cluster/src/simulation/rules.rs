//! What holds after every event, and what holds after healing.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Node;
use super::seal::fingerprint;
use super::{CLUSTER, OWNED, STRANGER, standing};
use crate::model::{Claim, Digest, Fingerprint, Now, Program, Restart, Role, Scope, SecretId, SettingsId, Standing};
use crate::{Cluster, Command, Membership, Report};

pub(super) struct Rules {
    founder: Fingerprint,
    /// Keys that an operator let in at some time, with the greatest role.
    admitted: BTreeMap<Fingerprint, Role>,
    /// Keys that an operator revoked at some time.
    revoked: BTreeSet<Fingerprint>,
    /// The secret of each generation.
    pub(super) secrets: BTreeMap<u64, SecretId>,
    /// Documents that an operator set.
    pub(super) documents: BTreeSet<Digest>,
    /// Programs that an operator named.
    pub(super) programs: BTreeSet<Program>,
    /// Who is to join by a token of whom.
    pub(super) tokens: BTreeMap<usize, usize>,
    /// The settings that each node had last.
    had: BTreeMap<(Fingerprint, Scope), SettingsId>,
    /// What happened, and how often.
    pub(super) seen: BTreeMap<&'static str, u64>,
}

impl Rules {
    pub(super) fn new(founder: Fingerprint) -> Self {
        Self {
            founder,
            admitted: [(founder, Role::Commander)].into(),
            revoked: BTreeSet::new(),
            secrets: BTreeMap::new(),
            documents: BTreeSet::new(),
            programs: BTreeSet::new(),
            tokens: BTreeMap::new(),
            had: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    pub(super) fn admit(&mut self, key: Fingerprint, role: Role) {
        let admitted = self.admitted.entry(key).or_insert(role);
        *admitted = role.max(*admitted);
    }

    /// An operator approves a key at this node, if it can.
    pub(super) fn admit_if(&mut self, at: &Node, key: Fingerprint, role: Role) {
        if at.core.as_ref().is_some_and(|core| core.is_commander()) {
            self.admit(key, role);
        }
    }

    pub(super) fn revoke_if(&mut self, at: &Node, key: Fingerprint) {
        if at.core.as_ref().is_some_and(|core| core.is_commander()) {
            self.revoked.insert(key);
        }
    }

    /// What holds at a node after every event.
    pub(super) fn check(&mut self, node: &mut Node, ms: u64) {
        let own = node.fingerprint();
        for (id, to) in node.given.drain(..) {
            assert!(self.admitted.contains_key(&to), "{ms}: {id:?} leaves for {to}, which nobody admitted");
            *self.seen.entry("secret given").or_default() += 1;
        }
        for to in std::mem::take(&mut node.tokens_given) {
            assert!(self.admitted.contains_key(&to), "{ms}: a token leaves for {to}, which nobody admitted");
            let is_revoked = standing(node, to) == Standing::Revoked;
            assert!(!is_revoked, "{ms}: a token leaves for {to}, which this node knows to be revoked");
        }
        *self.seen.entry("upgraded").or_default() += (node.version != "0.1.0") as u64;
        *self.seen.entry("restarted").or_default() += std::mem::take(&mut node.successions);
        for report in node.reports.drain(..) {
            *self.seen.entry(label(&report)).or_default() += 1;
        }
        // Programs only grow, and are those that an operator named.
        assert!(node.ran.is_sorted_by(|one, next| one.version < next.version), "{ms}: {own} runs an older one");
        assert!(node.ran.iter().all(|program| self.programs.contains(program)), "{ms}: {own} runs what nobody named");
        // Settings only grow, on the disk as well.
        for (scope, (id, document)) in &node.disk.applied {
            let before = self.had.insert((own, *scope), *id);
            assert!(before.is_none_or(|before| before <= *id), "{ms}: {own} goes back from {before:?} to {id:?}");
            assert_eq!(document.digest(), id.digest, "what is applied is what was said");
            assert!(self.documents.contains(&id.digest), "{ms}: {own} has settings that no operator set");
        }
        let Some(core) = &node.core else { return };
        Self::check_disk(node, core, ms);
        let expected = Membership { cluster: CLUSTER, founder: self.founder };
        assert!(core.membership.is_none_or(|membership| membership == expected), "{ms}: {own} is in another cluster");
        for id in core.roster.announced() {
            let known = *self.secrets.entry(id.generation).or_insert(id);
            assert_eq!(known, id, "{ms}: two secrets of generation {}", id.generation);
        }
        for (id, bytes) in &node.seal.secrets {
            assert_eq!(id.check, super::seal::check_of(*bytes), "{ms}: a secret is another one");
        }
        for (key, standing) in core.roster.standings() {
            match standing {
                Standing::Approved(role) => {
                    let admitted = self.admitted.get(key).copied();
                    assert!(
                        admitted.is_some_and(|admitted| role <= admitted),
                        "{ms}: {key} is {role}, not {admitted:?}"
                    );
                }
                Standing::Revoked => assert!(self.revoked.contains(key), "{ms}: {key} was revoked by no operator"),
                Standing::Pending => {}
            }
        }
        let commands = |key: &Fingerprint| self.admitted.get(key) == Some(&Role::Commander);
        let by = core.in_flight.checked_for().find(|key| !commands(key));
        assert_eq!(by, None, "{ms}: {own} does what a member says");
        let of_others = [fingerprint(OWNED), fingerprint(STRANGER)];
        let forged = core.roster.records().find(|record| of_others.contains(&record.by));
        assert!(forged.is_none(), "{ms}: a member commands: {forged:?}");
        assert_eq!(core.roster.standing(&fingerprint(STRANGER)), Standing::Pending, "{ms}: a stranger is let in");
    }

    /// What a core knows and is to know after a start is on its disk: a stop of all nodes loses nothing.
    fn check_disk(node: &Node, core: &Cluster, ms: u64) {
        let (own, disk) = (node.fingerprint(), &node.disk);
        assert_eq!((disk.boot, disk.membership), (Some(core.boot()), core.membership), "{ms}: {own}");
        assert!(core.roster.records().eq(disk.records.values()), "{ms}: {own} has other records on its disk");
        assert!(core.secrets.held().eq(disk.secrets.keys().copied()), "{ms}: {own} has other secrets on its disk");
        assert!(
            disk.secrets.keys().all(|id| node.seal.secrets.contains_key(id)),
            "{ms}: {own} has names of secrets alone"
        );
        assert_eq!((disk.active, disk.made), (core.secrets.active(), core.secrets.made()), "{ms}: {own}");
        for (scope, (id, _)) in &disk.applied {
            assert_eq!(core.documents.applied(*scope), Some(*id), "{ms}: {own} has other settings on its disk");
        }
    }

    /// The nodes that belong together.
    fn members<'a>(&self, nodes: &'a [Node]) -> Vec<&'a Node> {
        let founder = &nodes[0];
        nodes
            .iter()
            .filter(|node| standing(founder, node.fingerprint()).is_approved() && node.disk.membership.is_some())
            .collect()
    }

    /// A beat and a round trip after healing all have the same approvals, revocations and settings. `until_ms`: what was signed
    /// after that is on its way.
    pub(super) fn all_agree_on_records(
        &mut self,
        nodes: &[Node],
        until_ms: i64,
        old_ones: &BTreeSet<Fingerprint>,
        had_secret: &BTreeSet<Fingerprint>,
    ) {
        let old = |node: &Node| -> BTreeSet<Claim> {
            let core = node.core.as_ref().unwrap();
            let old = core.roster.records().filter(|record| record.at_ms < until_ms);
            old.map(|record| record.claim)
                .filter(|claim| !matches!(claim, Claim::Secret(_) | Claim::Active(_)))
                .collect()
        };
        let members = self.members(nodes);
        let expected = old(members[0]);
        for node in members.iter().filter(|node| old_ones.contains(&node.fingerprint())) {
            assert_eq!(old(node), expected, "{} knows something else", node.fingerprint());
            if had_secret.contains(&node.fingerprint()) {
                self.has_settings(node, nodes, until_ms);
            }
        }
        *self.seen.entry("members").or_default() += members.len() as u64;
    }

    /// The settings that were set before `until_ms` are in force at the node, or cannot be.
    fn has_settings(&self, node: &Node, nodes: &[Node], until_ms: i64) {
        let members = self.members(nodes);
        let core = node.core.as_ref().unwrap();
        for scope in [Scope::Cluster, Scope::Node(node.fingerprint())] {
            let Some((record, head, restart)) = core.roster.settings(scope) else { continue };
            if record.at_ms >= until_ms || restart == Restart::OneByOne {
                continue;
            }
            // A node's own document is at the node that set it, which may be gone from the cluster.
            let author = nodes.iter().find(|node| node.fingerprint() == record.by);
            let has_author =
                author.is_some_and(|author| members.iter().any(|one| one.fingerprint() == author.fingerprint()));
            // It may have what a commander set that was revoked since: settings do not go back.
            let is_settled = core.documents.applied(scope) >= Some(head)
                || core.documents.is_refused(scope, head)
                || core.documents.is_applying()
                || (matches!(scope, Scope::Node(_)) && !has_author);
            assert!(
                is_settled,
                "{} has {:?} of {scope:?}, not {head:?} by {}; {:?}",
                node.fingerprint(),
                core.documents.applied(scope),
                record.by.short(),
                core.documents,
            );
        }
    }

    pub(super) fn all_have_the_secret(&mut self, nodes: &[Node], until_ms: i64, old_ones: &BTreeSet<Fingerprint>) {
        let members = self.members(nodes);
        for node in members.iter().filter(|node| old_ones.contains(&node.fingerprint())) {
            let core = node.core.as_ref().unwrap();
            // One that was announced a moment ago may be on its way.
            let active = members[0].core.as_ref().unwrap().roster.active();
            assert!(active.is_none_or(|active| core.secrets.has(&active)), "{} lacks {active:?}", node.fingerprint());
            self.has_settings(node, nodes, until_ms);
        }
    }

    /// Long after healing nothing is left to be done.
    pub(super) fn all_is_done(&mut self, nodes: &[Node], now: Now) {
        let members = self.members(nodes);
        let first = members[0].core.as_ref().unwrap();
        for node in &members {
            let core = node.core.as_ref().unwrap();
            assert_eq!(core.roster.sum(), first.roster.sum(), "{} has other records", node.fingerprint());
            assert_eq!(core.secrets.active(), first.roster.active(), "{} seals by another secret", node.fingerprint());
            assert_eq!(core.secrets.wanted().next(), None, "{} lacks a secret", node.fingerprint());
            assert_eq!(node.approved(), members[0].approved(), "{} knows others", node.fingerprint());
            // Whoever owns a member can say that it has no secret, and be waited for.
            let is_owned = standing(node, fingerprint(OWNED)).is_approved();
            assert!(
                core.next_secret().is_none() || is_owned,
                "{} waits to rotate: {:?}",
                node.fingerprint(),
                core.view(now).secret
            );
        }
        // What an operator was told is revoked, is revoked everywhere.
        let revoked: BTreeSet<_> = members.iter().flat_map(|node| node.revoked.iter().copied()).collect();
        for (node, key) in members.iter().flat_map(|node| revoked.iter().map(move |key| (node, key))) {
            assert_eq!(standing(node, *key), Standing::Revoked, "{} lets {key} in", node.fingerprint());
        }
        for node in nodes {
            // Restarts of one node after the other have a minute each.
            let is_slow = |command: &&Command| matches!(command, Command::Set { restart: Restart::OneByOne, .. });
            let owed: Vec<_> = node.open.values().filter(|command| !is_slow(command)).collect();
            assert!(owed.is_empty(), "{} owes answers: {owed:?}", node.fingerprint());
        }
        for (to, at) in &self.tokens {
            let (joiner, maker) = (&nodes[*to], &nodes[*at]);
            let key = joiner.fingerprint();
            let can = standing(&nodes[0], maker.fingerprint()).is_commander() && !self.revoked.contains(&key);
            // A maker that was killed before it stored the token does not have it.
            let has_token = maker.disk.tokens.contains_key(&super::token_id(joiner.token.unwrap()));
            let is_in = standing(&nodes[0], key).is_approved() && joiner.disk.membership.is_some();
            // The approval of one that was in became void with its commander; nobody told it to join again.
            let was_in = joiner.disk.membership.is_some() && joiner.core.as_ref().unwrap().joins.joining.is_none();
            assert!(is_in || was_in || !can || !has_token, "{key} has a token of {} and is out", maker.fingerprint());
        }
    }
}

fn label(report: &Report) -> &'static str {
    match report {
        Report::Refused { why, .. } => why.as_str(),
        Report::PendingHeard(..) => "pending",
        Report::NodeStateChanged { .. } => "state",
        Report::Joined(_) => "joined",
        Report::Approved(..) => "welcomed",
        Report::Revoked(_) => "revoked",
        Report::SecretGiven(..) => "given",
        Report::SecretTaken(_) => "taken",
        Report::SecretActivated(_) => "rotated",
        Report::VaultTokenGiven(_) => "vault token given",
        Report::VaultTokenFailed(..) => "vault token failed",
        Report::VaultTokenTaken(_) => "vault token taken",
        Report::SecretSplit(_) => "split",
        Report::SettingsApplied(..) => "settings applied",
        Report::SettingsFailed(..) => "settings failed",
        Report::Result(_) => "result",
    }
}
