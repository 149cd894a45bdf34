//! What operators do: mostly where the cluster was made, and at any node.

use std::time::Duration;

use super::seal::{document, fingerprint, token_id};
use super::{CLUSTER, OWNED, World};
use crate::model::{Program, Restart, Role, Scope, Version};
use crate::{Agreement, Command, Setting};

impl World {
    fn command(&mut self, at: usize, command: Command) {
        let (ms, now) = (self.ms, self.nodes[at].now(self.start, self.ms));
        self.nodes[at].command(command, now, ms);
        self.flush(at);
    }

    pub(super) fn operate(&mut self, at: usize) {
        if self.nodes[at].core.is_none() {
            return;
        }
        let whom = self.random.usize(1..self.nodes.len());
        let key = self.nodes[whom].fingerprint();
        match self.random.u8(..20) {
            0..5 => self.hand_out_token(at, whom),
            5 | 6 => {
                let role = if self.chance(3) { Role::Commander } else { Role::Member };
                self.rules.admit_if(&self.nodes[at], key, role);
                // An operator compares fingerprints at both ends.
                let founder = self.nodes[0].fingerprint();
                let is_commander = self.nodes[at].core.as_ref().is_some_and(|core| core.is_commander());
                if is_commander && self.nodes[whom].disk.membership.is_none() && self.nodes[whom].token.is_none() {
                    self.command(whom, Command::Approve(founder, Role::Commander));
                }
                self.command(at, Command::Approve(key, role));
            }
            // At a node that is in no cluster this would be trust in the attacker's cluster.
            7 if self.nodes[at].disk.membership.is_some() => {
                let owned = fingerprint(OWNED);
                self.rules.admit_if(&self.nodes[at], owned, Role::Member);
                self.command(at, Command::Approve(owned, Role::Member));
            }
            8 => {
                let key = if self.random.bool() { fingerprint(OWNED) } else { key };
                if self.random.u8(..3) == 0 {
                    self.rules.revoke_if(&self.nodes[at], key);
                    self.command(at, Command::Revoke(key));
                }
            }
            9..12 => self.command(at, Command::Rotate),
            12 => self.command(at, Command::Forget(key)),
            13 => {
                self.versions += 1;
                let version = Version::try_new(&format!("0.{}.{}", self.random.u8(1..4), self.versions)).unwrap();
                let program = Program { version, digest: document(&version.to_string()).digest() };
                self.rules.programs.insert(program);
                self.command(at, Command::Update(key, program));
            }
            _ => self.set(at, whom),
        }
    }

    /// An operator makes a token at a node, and gives it to another one.
    fn hand_out_token(&mut self, at: usize, to: usize) {
        if self.nodes[to].token.is_some() || self.nodes[to].disk.membership.is_some() || at == to {
            return;
        }
        if !self.nodes[at].core.as_ref().is_some_and(|core| core.is_commander()) {
            return;
        }
        self.tokens += 1;
        let (token, role) = (self.tokens, if self.chance(4) { Role::Commander } else { Role::Member });
        let key = self.nodes[to].fingerprint();
        self.rules.admit(key, role);
        self.nodes[at].seal.tokens.insert(token_id(token), token);
        self.nodes[to].seal.tokens.insert(token_id(token), token);
        self.nodes[to].token = Some(token);
        let ttl = Duration::from_secs(24 * 3600);
        self.command(at, Command::MakeToken { token: token_id(token), uses: 1, ttl, role });
        self.rules.tokens.insert(to, at);
        self.command(to, Command::Join(CLUSTER, token_id(token)));
    }

    fn set(&mut self, at: usize, whom: usize) {
        self.documents += 1;
        let bad = if self.chance(3) { format!("bad{} ", self.random.u64(1..8)) } else { String::new() };
        let document = document(&format!("{bad}document {}", self.documents));
        self.rules.documents.insert(document.digest());
        let scope = if self.chance(3) { Scope::Node(self.nodes[whom].fingerprint()) } else { Scope::Cluster };
        let has = self.nodes[at].core.as_ref().and_then(|core| core.roster.settings(scope));
        let expect = has.map_or(0, |(_, id, _)| id.generation);
        let agreement = if self.chance(2) { Agreement::Partial } else { Agreement::All };
        let restart = if self.chance(4) { Restart::OneByOne } else { Restart::Never };
        let settings = vec![Setting { scope, document, expect }];
        self.command(at, Command::Set { settings, agreement, restart });
    }
}
